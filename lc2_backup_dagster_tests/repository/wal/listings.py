"""Short ways to listings of archived WAL for tests of what is decided on them."""

from datetime import UTC, datetime

from lc2_backup_dagster.repository.wal.archive import StoredPartial, StoredSegment, StoredTimeline
from lc2_backup_dagster.repository.wal.names import segment_name

SEGMENT = 1 << 20
_NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)


def a_name(timeline: int, number: int) -> str:
    return segment_name(timeline, number * SEGMENT, SEGMENT)


def a_listing(timeline: int, whole: list[int], *, begun: dict[int, int] | None = None) -> StoredTimeline:
    """Return a timeline with the whole segments of these numbers, and beginnings: number → length in bytes."""
    return StoredTimeline(
        tuple(StoredSegment(a_name(timeline, number), 1000, _NOW) for number in sorted(whole)),
        tuple(
            StoredPartial(a_name(timeline, number), number * SEGMENT + length)
            for number, length in sorted((begun or {}).items())
        ),
    )


def at(number: int, offset: int = 0) -> int:
    return number * SEGMENT + offset
