"""How far archived WAL reaches from a position without a hole. Pure.

Proven segment by segment over listings: nothing is believed that is not there (L-13), a switch of timelines is
followed where its history file says (L-14), the beginning of a segment counts only where the segment itself is absent,
and the first missing segment is named when later WAL exists (L-18).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lc2_backup_dagster.repository.wal.archive import StoredTimeline
from lc2_backup_dagster.repository.wal.names import parse_segment, segment_name, segment_start
from lc2_backup_dagster.repository.wal.timelines import TimelinePath


@dataclass(frozen=True, slots=True)
class Reach:
    """WAL without a hole.

    Attributes:
        timeline: the timeline of ``end``.
        end: first position that is not covered.
        segments: names of the whole segments, in the order of replay.
        partial: the beginning of a segment that is used at the end: its name and where it ends.
        gap: name of the first missing segment, when later WAL of the way exists; or None.
    """

    timeline: int
    end: int
    segments: tuple[str, ...]
    partial: tuple[str, int] | None
    gap: str | None


def contiguous(listings: Mapping[int, StoredTimeline], path: TimelinePath, *, start: int, segment_bytes: int) -> Reach:
    """Follow archived WAL from a position along a way of timelines.

    Args:
        listings: mapping of timeline → what is stored of it; an absent timeline has nothing.
        path: the way.
        start: the first position that is needed.
        segment_bytes: the server's ``wal_segment_size``.
    """
    whole = {each.name for listing in listings.values() for each in listing.segments}
    ends: dict[str, int] = {}
    for listing in listings.values():
        for each in listing.partials:
            ends[each.name] = max(each.end_lsn, ends.get(each.name, 0))
    names: list[str] = []
    begin = segment_start(start, segment_bytes)
    timeline = path.serving(begin, segment_bytes).timeline
    while (name := segment_name(timeline, begin, segment_bytes)) in whole:
        names.append(name)
        begin += segment_bytes
        timeline = path.serving(begin, segment_bytes).timeline
    # Where nothing follows, the end of the last segment lies on the timeline that wrote its last byte.
    end, at, partial = begin, path.timeline_at(begin), None
    if not names:
        # The position itself is covered by what needs it: a backup brings the WAL up to it.
        end, at = start, path.timeline_at(start)
    found = _beginning(whole, ends, path, begin=begin, segment_bytes=segment_bytes)
    if found is not None and found[2] > end:
        at, partial_name, end = found
        if partial_name in whole:
            names.append(partial_name)
        else:
            partial = (partial_name, ends[partial_name])
    return Reach(at, end, tuple(names), partial, _gap(whole, ends, path, begin=begin, segment_bytes=segment_bytes))


def _beginning(
    whole: set[str], ends: Mapping[str, int], path: TimelinePath, *, begin: int, segment_bytes: int
) -> tuple[int, str, int] | None:
    """Return timeline, name and end of the longest usable beginning of the segment that is absent.

    Newest timeline first: when a new one began in this segment and nothing of it is stored yet, the old one's segment
    still leads to where it was left.
    """
    for leg in reversed(path.legs):
        if leg.begins_at >= begin + segment_bytes or (leg.left_at is not None and leg.left_at <= begin):
            continue
        name = segment_name(leg.timeline, begin, segment_bytes)
        reached = begin + segment_bytes if name in whole else ends.get(name, 0)
        if leg.left_at is not None:
            reached = min(reached, leg.left_at)
        # A beginning that ends before its own timeline does adds nothing of it; an older one may reach as far.
        if reached > max(begin, leg.begins_at):
            return leg.timeline, name, reached
    return None


def _gap(whole: set[str], ends: Mapping[str, int], path: TimelinePath, *, begin: int, segment_bytes: int) -> str | None:
    for name in (*whole, *ends):
        timeline, start = parse_segment(name, segment_bytes)
        if start > begin and path.serving(start, segment_bytes).timeline == timeline:
            return segment_name(path.serving(begin, segment_bytes).timeline, begin, segment_bytes)
    return None
