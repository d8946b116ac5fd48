"""Until which position, and which time, a site's archived WAL covers everything behind a backup.

Measured from what lies in the repository, never from what a receiver says of itself (L-13). The decisions are the pure
functions ``contiguous`` and ``latest_path``; the rest reads listings, history files and a few headers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from lc2_backup_dagster.model.errors import ChainBroken
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster.repository.wal.archive import WalArchive
from lc2_backup_dagster.repository.wal.contiguous import Reach, contiguous
from lc2_backup_dagster.repository.wal.header import Position, Sample
from lc2_backup_dagster.repository.wal.names import parse_segment, segment_start
from lc2_backup_dagster.repository.wal.timelines import TimelinePath, timeline_path


@dataclass(frozen=True, slots=True)
class WalCoverage:
    """WAL without a hole from a position on.

    Attributes:
        system_identifier: whose WAL.
        start: the position it was asked from (a backup's start or stop).
        end: first position that is not covered; may lie on a later timeline than ``start``.
        timelines: the way: timeline and the position where it was left, None for the last.
        segments: names of the whole segments, in the order of replay.
        partial: beginning of a segment used at the end: its name, and the position where the object ends.
        until: every commit before this time is covered, or None when nothing tells.
        gap: first missing segment where later WAL exists, or None.
        position: what the receiver said last and what is stored bears out, or None.
        archive: where it lies.
    """

    system_identifier: str
    start: Lsn
    end: Lsn
    timelines: tuple[tuple[int, int | None], ...]
    segments: tuple[str, ...]
    partial: tuple[str, int] | None
    until: datetime | None
    gap: str | None
    position: Position | None = field(repr=False)
    archive: WalArchive = field(repr=False, compare=False)


def wal_coverage(
    repository: SiteRepository,
    *,
    system_identifier: str,
    start: Lsn,
    segment_bytes: int,
    timeline: int | None = None,
) -> WalCoverage:
    """Measure how far WAL reaches from a position.

    Args:
        repository: the site's repository.
        system_identifier: the database system.
        start: where a backup starts or stops.
        segment_bytes: the system's ``wal_segment_size``.
        timeline: the timeline to reach, or None for the newest one that descends from ``start``.

    Raises:
        ChainBroken: the wanted timeline does not descend from the position, or its history file is not archived.
        StoreUnavailable: nothing is known; never taken for absence.
    """
    archive = repository.wal(system_identifier)
    path = _path(archive, start, timeline)
    begin = segment_start(start.value, segment_bytes)
    listings = {
        leg.timeline: archive.stored_from(leg.timeline, begin, segment_bytes=segment_bytes)
        for leg in path.legs
        if leg.left_at is None or leg.left_at > begin
    }
    reach = contiguous(listings, path, start=start.value, segment_bytes=segment_bytes)
    position = _believed(archive.position(), path, reach)
    # Where nothing is covered the answer is the position itself, also when a timeline begins exactly there.
    end = start if reach.end == start.value else Lsn(reach.end, reach.timeline)
    taken = path.up_to(end.timeline)
    return WalCoverage(
        system_identifier=system_identifier,
        start=start,
        end=end,
        timelines=tuple((leg.timeline, leg.left_at) for leg in taken.legs),
        segments=reach.segments,
        partial=reach.partial,
        until=_until(archive, reach, position, segment_bytes),
        gap=reach.gap,
        position=position,
        archive=archive,
    )


def reaches(coverage: WalCoverage, moment: datetime) -> Lsn | None:
    """Return a position by which every commit before a moment is replayed, or None when the moment is not covered.

    The earliest that is known: each segment tells the first and the last position and time observed in it. Reads a
    handful of headers, not all.
    """
    if coverage.until is None or coverage.until < moment:
        return None
    found = _first_sample(coverage, moment)
    if found is None and coverage.position is not None and coverage.position.sample.time >= moment:
        found = coverage.position.sample
    if found is None:
        return None
    value = max(found.lsn, coverage.start.value)
    timeline = next(each for each, left_at in coverage.timelines if left_at is None or value <= left_at)
    return Lsn(value, timeline)


def latest_path(start: Lsn, timelines: list[int], history: Callable[[int], bytes | None]) -> TimelinePath:
    """Return the way to the newest timeline that descends from a position. Pure but for ``history``.

    Args:
        start: the position.
        timelines: every timeline that is archived.
        history: returns a timeline's history file, or None where it is absent.
    """
    for timeline in sorted((each for each in timelines if each > start.timeline), reverse=True):
        content = history(timeline)
        if content is not None:
            path = timeline_path(timeline, content)
            if path.holds(start.timeline, start.value):
                return path
    return timeline_path(start.timeline, history(start.timeline))


def _path(archive: WalArchive, start: Lsn, timeline: int | None) -> TimelinePath:
    if timeline is None:
        return latest_path(start, archive.timelines(), archive.history)
    content = archive.history(timeline)
    if content is None and timeline != start.timeline:
        raise ChainBroken(
            f"the history file of timeline {timeline} is not archived, so no way leads there from {start} on timeline "
            f"{start.timeline}",
            hint="name another timeline, or none for the newest that can be reached",
            timeline=timeline,
        )
    path = timeline_path(timeline, content)
    if not path.holds(start.timeline, start.value):
        raise ChainBroken(
            f"timeline {timeline} does not descend from {start} on timeline {start.timeline}",
            hint="restore from a backup of that timeline or of one of its ancestors",
            timeline=timeline,
        )
    return path


def _believed(position: Position | None, path: TimelinePath, reach: Reach) -> Position | None:
    """Return the receiver's claim as far as what is stored bears it out (L-13)."""
    if position is None or position.sample.lsn > reach.end or not path.holds(position.timeline, position.sample.lsn):
        return None
    return position


def _until(archive: WalArchive, reach: Reach, position: Position | None, segment_bytes: int) -> datetime | None:
    """Return the time of the newest position: a clock that was set back must promise no WAL that is not there."""
    behind = position.sample.lsn if position else 0
    newest = _samples_backwards(archive, reach, behind, segment_bytes)
    known = [*next((samples for samples in newest if samples), ()), *([position.sample] if position else ())]
    last = max(known, key=lambda each: (each.lsn, each.time), default=None)
    return last.time if last else None


def _samples_backwards(
    archive: WalArchive, reach: Reach, behind: int, segment_bytes: int
) -> Iterator[tuple[Sample, ...]]:
    """Yield the samples of the newest objects first, as far as they can lie behind a position."""
    if reach.partial is not None:
        yield _within(archive.partial_header(*reach.partial).samples, reach.end)
    for name in reversed(reach.segments):
        if parse_segment(name, segment_bytes)[1] + segment_bytes <= behind:
            return
        yield _within(archive.header(name).samples, reach.end)


def _within(samples: tuple[Sample, ...], end: int) -> tuple[Sample, ...]:
    return tuple(each for each in samples if each.lsn <= end)


def _first_sample(coverage: WalCoverage, moment: datetime) -> Sample | None:
    """Return the earliest known sample at or after a moment, by binary search over the segments."""
    names, end = coverage.segments, coverage.end.value
    seen: dict[int, tuple[Sample, ...]] = {}

    def samples(index: int) -> tuple[Sample, ...]:
        if index not in seen:
            seen[index] = _within(coverage.archive.header(names[index]).samples, end)
        return seen[index]

    low, high = 0, len(names)
    best: Sample | None = None
    while low < high:
        middle = (low + high) // 2
        # A segment written within a second may have no sample: the next one that has some tells for it.
        probe = next((index for index in range(middle, high) if samples(index)), None)
        if probe is None:
            high = middle
        elif samples(probe)[-1].time >= moment:
            best = next(each for each in samples(probe) if each.time >= moment)
            high = middle
        else:
            low = probe + 1
    if best is not None or coverage.partial is None:
        return best
    last = _within(coverage.archive.partial_header(*coverage.partial).samples, end)
    return next((each for each in last if each.time >= moment), None)
