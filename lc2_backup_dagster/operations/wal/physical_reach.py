"""Which moments can be restored physically: base backups, and archived WAL behind them, proven segment by segment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Moment, Window
from lc2_backup_dagster.operations.chains import is_copy, position_of
from lc2_backup_dagster.operations.verify.chain_objects import look_at_chain
from lc2_backup_dagster.operations.wal.coverage import WalCoverage, latest_path, reaches, wal_coverage
from lc2_backup_dagster.operations.wal.timeline_forks import first_behind, time_before
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster.repository.wal.names import parse_segment
from lc2_backup_dagster.repository.wal.timelines import TimelinePath

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Reach:
    """Moments inside a window that a base, and WAL behind it, can restore.

    Attributes:
        base: the full or incremental backup to begin with.
        coverage: the WAL behind it; None where the base's own moment is what the window has.
        moment: the moments, both inside the window, and the position of the later one.
    """

    base: CommittedBackup
    coverage: WalCoverage | None
    moment: Moment


def coverage_behind(repository: SiteRepository, base: CommittedBackup) -> WalCoverage | None:
    """Return what is archived behind a base without a gap, or None for a base that does not tell its positions."""
    return coverage_after(repository, base.summary)


def coverage_after(repository: SiteRepository, summary: Mapping[str, Any]) -> WalCoverage | None:
    """Return what is archived behind the position that a base's summary tells, or None where it tells none."""
    start = position_of(summary)
    return None if start is None else coverage_from(repository, summary, start)


def coverage_from(repository: SiteRepository, summary: Mapping[str, Any], start: Lsn) -> WalCoverage | None:
    """Return what is archived behind a position of a base's cluster, along the usual timeline.

    None for a base that does not tell what is needed for that.
    """
    cluster, segment_bytes = summary.get("system_identifier"), summary.get("wal_segment_bytes")
    if not isinstance(segment_bytes, int) or not cluster:
        return None
    return wal_coverage(
        repository,
        system_identifier=str(cluster),
        start=start,
        segment_bytes=segment_bytes,
        timeline=usual_timeline(repository, str(cluster), start),
    )


def usual_timeline(repository: SiteRepository, cluster: str, start: Lsn) -> int | None:
    """Return the timeline to follow from a position when nobody names one; None for the newest behind it."""
    newest = _newest_position(repository, cluster)
    if newest is None or newest == start:
        return None
    path = _latest_from(repository, cluster, newest)
    return path.timeline if path.holds(start.timeline, start.value) else None


def production_path(repository: SiteRepository, cluster: str) -> TimelinePath | None:
    """Return the way to the timeline that is in production as far as anything tells, or None where no base tells it.

    It is the one of the newest base, or the newest that descends from that base: what is backed up is in production,
    whatever number a promoted copy has given itself.
    """
    newest = _newest_position(repository, cluster)
    return None if newest is None else _latest_from(repository, cluster, newest)


def _latest_from(repository: SiteRepository, cluster: str, position: Lsn) -> TimelinePath:
    archive = repository.wal(cluster)
    return latest_path(position, archive.timelines(), archive.history)


def _newest_position(repository: SiteRepository, cluster: str) -> Lsn | None:
    own = (each for each in reversed(_bases(repository)) if str(each.summary.get("system_identifier")) == cluster)
    newest = next(own, None)
    return position_of(newest.summary) if newest else None


def reach_over(base: CommittedBackup, coverage: WalCoverage, window: Window) -> Reach | None:
    """Return the moments of a window that WAL behind a base covers, or None."""
    taken = from_text(base.summary["restorable_until"])
    moment = _covered(coverage, window, taken, segment_bytes=base.summary["wal_segment_bytes"])
    return Reach(base, coverage, moment) if moment else None


def needed_segments(coverage: WalCoverage, until: Lsn, *, segment_bytes: int) -> list[str]:
    """Return the segments, a partial one at the end included, that recovery up to a position reads, in their order."""
    names = [*coverage.segments, *([coverage.partial[0]] if coverage.partial else [])]

    def is_needed(name: str) -> bool:
        timeline, begins = parse_segment(name, segment_bytes)
        return timeline < until.timeline or begins < until.value

    return [name for name in dict.fromkeys(names) if is_needed(name)]


def wal_range(start: Lsn, until: Lsn, names: Sequence[str]) -> dict[str, Any]:
    """Return what a manifest says of the WAL that recovery reads between two positions; JSON values."""
    return {
        "from_lsn": str(start),
        "from_timeline": start.timeline,
        "to_lsn": str(until),
        "to_timeline": until.timeline,
        "segments": len(names),
        "first_segment": names[0] if names else None,
        "last_segment": names[-1] if names else None,
    }


def latest_reach(repository: SiteRepository, window: Window) -> Reach | None:
    """Return the latest moments of a window that can be restored, or None where there is none in it.

    The newest base before the window's end decides: where WAL behind it has a gap, WAL behind an older one has the
    same. An older one is looked at only where a base itself is damaged, or of another cluster.
    """
    seen: set[str] = set()
    for base in reversed(_bases(repository)):
        taken = from_text(base.summary["restorable_until"])
        cluster = str(base.summary.get("system_identifier"))
        if taken >= window.end or cluster in seen:
            continue
        if look_at_chain(repository, base).losses:
            continue
        coverage = coverage_behind(repository, base)
        reach = reach_over(base, coverage, window) if coverage else None
        if reach is not None:
            return reach
        if taken in window:
            return Reach(base, None, _own_moment(base))
        seen.add(cluster)
    return None


def restorable_moments(repository: SiteRepository) -> list[Moment]:
    """Return every span of moments that can be restored physically, for messages that name the nearest ones."""
    return [*_spans(repository, _bases(repository))]


def _spans(repository: SiteRepository, bases: Sequence[CommittedBackup]) -> Iterator[Moment]:
    reached: dict[str, datetime] = {}
    for base in bases:
        own = _own_moment(base)
        cluster = str(base.summary.get("system_identifier"))
        if cluster in reached and own.restorable_until <= reached[cluster]:
            continue  # inside a span that was told already
        coverage = coverage_behind(repository, base)
        until = coverage.until if coverage else None
        if until is not None and until > own.restorable_until:
            reached[cluster] = until
            yield Moment(own.restorable_from, until)
        else:
            yield own


def _bases(repository: SiteRepository) -> list[CommittedBackup]:
    return [each for each in repository.backups(Component.DATABASE) if is_copy(each)]


def _own_moment(base: CommittedBackup) -> Moment:
    summary = base.summary
    taken = from_text(summary["restorable_until"])
    return Moment(taken, taken, lsn=summary["lsn"], timeline=summary.get("timeline"))


def _covered(coverage: WalCoverage, window: Window, taken: datetime, *, segment_bytes: int) -> Moment | None:
    """Return the moments of a window that WAL covers, or None."""
    earliest = max(window.start, taken)
    if coverage.until is None or coverage.until < earliest:
        return None
    latest = window.end - _MOMENT
    if coverage.until <= latest:
        latest, position = coverage.until, coverage.end
    else:
        found = reaches(coverage, latest)
        if found is None:
            return None
        position = found
    # Behind a fork the new timeline has no moments before it was first seen: what happened then lies on the old one.
    for timeline, left_at in coverage.timelines:
        if left_at is None or left_at < coverage.start.value:
            continue
        at = Lsn(left_at, timeline)
        before = max(time_before(coverage, at, segment_bytes=segment_bytes) or taken, taken)
        behind = first_behind(coverage, left_at, segment_bytes=segment_bytes)
        begins = behind.time if behind else None
        if before < earliest and (begins is None or earliest < begins):
            if begins is None or begins > latest:
                return None
            earliest = begins
        if before < latest and (begins is None or latest < begins):
            latest, position = before, at
            break
    return Moment(earliest, latest, lsn=str(position), timeline=position.timeline)
