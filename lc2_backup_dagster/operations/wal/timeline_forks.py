"""Where archived timelines part: which other one may hold a moment too, and the time in which a new one did not exist.

A time, a restore point or a transaction does not say on which timeline it lies. After a recovery to an earlier moment,
or beside a promoted copy, two timelines hold what lies behind the fork, and the number alone tells nothing (L-14).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.operations.wal.coverage import WalCoverage
from lc2_backup_dagster.repository.wal.archive import StoredTimeline, WalArchive
from lc2_backup_dagster.repository.wal.header import Sample
from lc2_backup_dagster.repository.wal.names import parse_segment, segment_name, segment_start
from lc2_backup_dagster.repository.wal.timelines import Leg, TimelinePath, timeline_path

# Receivers take a sample about once a second: where so many of the newest segments have none, nothing tells.
_HEADERS_LOOKED_AT = 16


@dataclass(frozen=True, slots=True)
class Fork:
    """Another archived timeline with WAL that the way does not contain.

    Attributes:
        timeline: the other one.
        at: the last position that both have in common, on the timeline they share.
        until: last time known of its WAL, or None when nothing tells.
    """

    timeline: int
    at: Lsn
    until: datetime | None


def way_of(coverage: WalCoverage) -> TimelinePath:
    """Return the timelines that a coverage follows."""
    legs: list[Leg] = []
    for timeline, left_at in coverage.timelines:
        legs.append(Leg(timeline, (legs[-1].left_at or 0) if legs else 0, left_at))
    return TimelinePath(tuple(legs))


def forks_of(coverage: WalCoverage, *, segment_bytes: int) -> Iterator[Fork]:
    """Yield every archived timeline that holds WAL behind the position where it and the way part.

    What a promotion leaves on the old timeline is none: nothing was observed there behind the fork, and no later
    segment exists.
    """
    archive, way = coverage.archive, way_of(coverage)
    for timeline in archive.timelines():
        if timeline == way.timeline:
            continue
        content = archive.history(timeline)
        at = _parting(way, timeline_path(timeline, content))
        if at is None or (content is None and timeline != 1 and all(leg.timeline != timeline for leg in way.legs)):
            continue
        lies_behind, until = _behind(archive, timeline, at.value, segment_bytes)
        if lies_behind:
            yield Fork(timeline, at, until)


def time_before(coverage: WalCoverage, at: Lsn, *, segment_bytes: int) -> datetime | None:
    """Return the time of the last sample at or before a fork, or None when nothing tells."""
    archive, begin = coverage.archive, segment_start(at.value, segment_bytes)
    stored = archive.stored_from(at.timeline, begin, segment_bytes=segment_bytes)
    shared = _of_segment(archive, stored, segment_name(at.timeline, begin, segment_bytes))
    last = max((each for each in shared if each.lsn <= at.value), key=_place, default=None)
    if last is not None:
        return last.time
    for name in reversed(coverage.segments):
        timeline, begins = parse_segment(name, segment_bytes)
        if begins <= at.value and (timeline <= at.timeline or begins == segment_start(at.value, segment_bytes)):
            known = [each for each in coverage.archive.header(name).samples if each.lsn <= at.value]
            if known:
                return max(known, key=_place).time
    return None


def first_behind(coverage: WalCoverage, lsn: int, *, segment_bytes: int) -> Sample | None:
    """Return the first sample of the way behind a position, or None when nothing was observed there."""
    for name in coverage.segments:
        if parse_segment(name, segment_bytes)[1] + segment_bytes > lsn:
            for each in coverage.archive.header(name).samples:
                if lsn < each.lsn <= coverage.end.value:
                    return each
    if coverage.partial is not None:
        for each in coverage.archive.partial_header(*coverage.partial).samples:
            if lsn < each.lsn <= coverage.end.value:
                return each
    position = coverage.position
    return position.sample if position is not None and position.sample.lsn > lsn else None


def _parting(way: TimelinePath, other: TimelinePath) -> Lsn | None:
    shared = None
    for leg, own in zip(way.legs, other.legs, strict=False):
        if leg.timeline != own.timeline:
            break
        ends = [each.left_at for each in (leg, own) if each.left_at is not None]
        if ends:
            shared = Lsn(min(ends), leg.timeline)
        if leg.left_at != own.left_at:
            break
    return shared


def _behind(archive: WalArchive, timeline: int, fork: int, segment_bytes: int) -> tuple[bool, datetime | None]:
    """Tell whether a timeline has WAL behind a fork, and the last time known of it."""
    stored = archive.stored_from(timeline, segment_start(fork, segment_bytes), segment_bytes=segment_bytes)
    names = sorted({each.name for each in (*stored.segments, *stored.partials)}, reverse=True)
    known = []
    for name in names[:_HEADERS_LOOKED_AT]:
        known = [each for each in _of_segment(archive, stored, name) if each.lsn > fork]
        if known:
            break
    position = archive.position()
    if position is not None and position.timeline == timeline and position.sample.lsn > fork:
        known.append(position.sample)
    later = any(parse_segment(name, segment_bytes)[1] > fork for name in names)
    return bool(known) or later, max((each.time for each in known), default=None)


def _of_segment(archive: WalArchive, stored: StoredTimeline, name: str) -> list[Sample]:
    """Return what was observed within a segment, whole or begun, of a listing."""
    if any(each.name == name for each in stored.segments):
        return list(archive.header(name).samples)
    ends = [each.end_lsn for each in stored.partials if each.name == name]
    return [sample for end in ends for sample in archive.partial_header(name, end).samples]


def _place(sample: Sample) -> tuple[int, datetime]:
    return sample.lsn, sample.time
