"""Where a receiver begins: at the slot's position, or behind what is archived when that lies further back."""

from collections.abc import Mapping
from dataclasses import dataclass

from lc2_backup_dagster.repository.wal.archive import StoredTimeline, WalArchive
from lc2_backup_dagster.repository.wal.names import parse_segment, segment_name, segment_start
from lc2_backup_dagster.repository.wal.timelines import TimelinePath

# A few segments before the slot's tell that the archive goes on there.
_LOOK_BACK_SEGMENTS = 64


@dataclass(frozen=True, slots=True)
class ReceiveFrom:
    """Where to begin.

    Attributes:
        lsn: first position of a segment.
        timeline: the timeline whose segment holds it.
        kept_from: first position of the segment from which on the server surely keeps WAL; ``lsn`` lies before it
            when somebody moved or made anew the slot, and then the server may no longer have what is between.
        stored_until: end of what is stored up to and in the segment at ``lsn``, or None when nothing was archived.
    """

    lsn: int
    timeline: int
    kept_from: int
    stored_until: int | None


def receive_from(archive: WalArchive, path: TimelinePath, *, restart_lsn: int, segment_bytes: int) -> ReceiveFrom:
    """Choose where to begin, from what is stored and where the slot stands.

    Args:
        archive: the system's archive.
        path: the server's way of timelines.
        restart_lsn: the slot's position.
        segment_bytes: the server's ``wal_segment_size``.
    """
    kept_from = segment_start(restart_lsn, segment_bytes)
    near = max(0, kept_from - _LOOK_BACK_SEGMENTS * segment_bytes)
    begin = choose(
        _listings(archive, path, near, segment_bytes), path, kept_from=kept_from, segment_bytes=segment_bytes
    )
    if begin.stored_until is None and near > 0:
        # Nothing near the slot: it is the first, or somebody moved it. Look at everything once.
        whole = _listings(archive, path, 0, segment_bytes)
        begin = choose(whole, path, kept_from=kept_from, segment_bytes=segment_bytes)
    return begin


def choose(
    listings: Mapping[int, StoredTimeline], path: TimelinePath, *, kept_from: int, segment_bytes: int
) -> ReceiveFrom:
    """Decide on listings. Pure.

    The slot's position follows what is stored and proven, so everything before its segment is there, and what is there
    of it and behind it is received once more and compared. Where the segment before it is absent, something was lost
    between: begin behind the last one that is there, as long as the server still has it.
    """
    whole: set[int] = set()
    ends: dict[int, int] = {}
    for listing in listings.values():
        for segment in listing.segments:
            timeline, start = parse_segment(segment.name, segment_bytes)
            if path.serving(start, segment_bytes).timeline == timeline:
                whole.add(start)
        for partial in listing.partials:
            timeline, start = parse_segment(partial.name, segment_bytes)
            if path.serving(start, segment_bytes).timeline == timeline:
                ends[start] = max(partial.end_lsn, ends.get(start, 0))
    earlier = max((start + segment_bytes for start in whole if start < kept_from), default=None)
    begun = max((start for start in ends if start <= kept_from), default=None)
    lsn = kept_from
    stored_until = None
    if kept_from in whole:
        stored_until = kept_from + segment_bytes
    elif earlier is not None or begun is not None:
        lsn = max(each for each in (earlier, begun) if each is not None)
        stored_until = ends.get(lsn, lsn)
    return ReceiveFrom(lsn, path.serving(lsn, segment_bytes).timeline, kept_from, stored_until)


def _listings(archive: WalArchive, path: TimelinePath, near: int, segment_bytes: int) -> dict[int, StoredTimeline]:
    found: dict[int, StoredTimeline] = {}
    for leg in path.legs:
        if leg.left_at is not None and leg.left_at <= near:
            continue
        after = segment_name(leg.timeline, near, segment_bytes) if near else None
        found[leg.timeline] = archive.stored(leg.timeline, start_after=after)
    return found
