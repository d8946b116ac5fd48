"""Which backup a physical restore starts from, and which archived WAL leads from it to the target.

A target that cannot be reached exactly is refused here, before anything is written, with the nearest moments that can
(L-15). The way through timelines is that of the history files (L-14).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import (
    ChainBroken,
    ConfigurationError,
    RecoveryPointNotFound,
    TargetUnreachable,
)
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.recovery_target import IMMEDIATE, RecoveryTarget
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.capture.windows import nearest
from lc2_backup_dagster.operations.chains import Chain, by_id, chain_of, is_copy
from lc2_backup_dagster.operations.wal.coverage import WalCoverage, wal_coverage
from lc2_backup_dagster.operations.wal.physical_reach import production_path, restorable_moments, usual_timeline
from lc2_backup_dagster.operations.wal.timeline_forks import Fork, first_behind, forks_of, time_before
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository

# A backup's moment is a sample a little before its end; what was committed in between is in it nevertheless.
_SAMPLING = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class RestoreStart:
    """Where a restore starts and where it ends.

    Attributes:
        chain: backups to restore, the full one first; only copies.
        target: where to end; ``immediate`` when the last backup alone is what is wanted.
        coverage: WAL behind the last backup, None for ``immediate``.
        segment_bytes: size of a segment.
    """

    chain: Chain
    target: RecoveryTarget
    coverage: WalCoverage | None
    segment_bytes: int


def choose_start(repository: SiteRepository, target: RecoveryTarget, *, backup_id: str | None) -> RestoreStart:
    """Return what to restore for a target.

    Args:
        repository: the site's repository.
        target: where to end. ``immediate`` of a backup of kind ``wal`` is the position that it promises.
        backup_id: the backup to start from, or None for the newest one at or before the target.

    Raises:
        ConfigurationError: not a physical backup; or a target whose start must be named.
        RecoveryPointNotFound: no such backup.
        ChainBroken: what the backup stands on is gone.
        TargetUnreachable: too early, too late, or not on the timeline; the nearest moments are named.
    """
    if backup_id is not None:
        return _from_named(repository, target, _database_backup(repository, backup_id))
    if target.kind in ("name", "xid"):
        raise ConfigurationError(
            f"nothing tells which backup lies before {target}", hint="name the backup to start from"
        )
    copies = [each for each in repository.backups(Component.DATABASE) if is_copy(each)]
    if not copies:
        raise RecoveryPointNotFound(f"{repository.site} has no base backup to start from")
    if target.kind == "lsn":
        # Positions of two clusters have nothing to do with each other.
        newest = copies[-1].summary.get("system_identifier")
        copies = [each for each in copies if each.summary.get("system_identifier") == newest]
    candidates = [each for each in reversed(copies) if _lies_before(each, target)]
    if target.kind == "time":
        # Of two backups that close together the older one is surely before the target.
        candidates.sort(key=lambda each: not _surely_before(each, target))
    broken: list[str] = []

    @cache
    def in_production(cluster: str) -> int | None:
        path = production_path(repository, cluster)
        return path.timeline if path else None

    for copy in candidates:
        wanted = target.timeline or in_production(str(copy.summary["system_identifier"]))
        try:
            return _starting(repository, copy, target, timeline=wanted)
        except _NotOnTheWay:
            continue
        except ChainBroken as error:
            broken.append(error.message)
    reason = "; ".join(["no base backup lies before it on its timeline", *broken])
    raise _unreachable(repository, target, reason)


def _from_named(repository: SiteRepository, target: RecoveryTarget, backup: CommittedBackup) -> RestoreStart:
    if backup.kind is BackupKind.WAL:
        manifest = repository.manifest(backup.backup_id)
        base = _database_backup(repository, backup.parent or "")
        if target.kind == "immediate":
            lsn, timeline = manifest.moment.lsn, manifest.moment.timeline
            # Exclusive: what began after the promised position is not part of the promise.
            target = RecoveryTarget("lsn", lsn, inclusive=False, timeline=timeline)
        backup = base
    try:
        return _starting(repository, backup, target, timeline=target.timeline, named=True)
    except _NotOnTheWay as error:
        raise _unreachable(repository, target, error.message) from error


def _database_backup(repository: SiteRepository, backup_id: str) -> CommittedBackup:
    backup = repository.backup(backup_id)
    if backup.component is not Component.DATABASE:
        raise ConfigurationError(
            f"{backup_id} is a backup of {backup.component}, not a base backup",
            hint="list base backups with lc2-backup list --component database",
        )
    if backup.kind is BackupKind.SNAPSHOT:
        raise ConfigurationError(f"{backup_id} is a snapshot of the provider", hint="restore it through the provider")
    return backup


class _NotOnTheWay(TargetUnreachable):
    """This backup does not lead to the target; another one may."""


def _starting(
    repository: SiteRepository,
    copy: CommittedBackup,
    target: RecoveryTarget,
    *,
    timeline: int | None,
    named: bool = False,
) -> RestoreStart:
    manifest = repository.manifest(copy.backup_id)
    segment_bytes = int(manifest.details["wal_segment_bytes"])
    start = Lsn.parse(manifest.details["stop_lsn"], timeline=int(manifest.details["timeline"]))
    chain = chain_of(copy, by_id(repository.backups(Component.DATABASE)))
    system = str(manifest.details["system_identifier"])
    is_own_end = target.lsn_value == start.value and timeline in (None, start.timeline) and not target.inclusive
    if target.kind == "immediate" or is_own_end:
        return RestoreStart(chain, IMMEDIATE, None, segment_bytes)
    try:
        coverage = wal_coverage(
            repository,
            system_identifier=system,
            start=start,
            segment_bytes=segment_bytes,
            timeline=timeline or usual_timeline(repository, system, start),
        )
    except ChainBroken as error:
        raise _NotOnTheWay(f"{copy.backup_id} does not lead to timeline {timeline}: {error.message}") from error
    _require_reached(repository, copy, target, coverage)
    if target.timeline is None and target.kind in ("time", "xid", "name"):
        _require_one_timeline(copy, target, coverage, segment_bytes=segment_bytes, named=named)
    return RestoreStart(chain, target, coverage, segment_bytes)


def _require_reached(
    repository: SiteRepository, copy: CommittedBackup, target: RecoveryTarget, coverage: WalCoverage
) -> None:
    if not _lies_before(copy, target, coverage):
        raise _NotOnTheWay(f"{target} lies before the end of {copy.backup_id}, {copy.summary['restorable_until']}")
    gap = f"; segment {coverage.gap} is missing" if coverage.gap else ""
    if target.time is not None and (coverage.until is None or coverage.until < target.time):
        covered = to_text(coverage.until) if coverage.until else "nowhere"
        raise _unreachable(
            repository, target, f"archived WAL behind {copy.backup_id} covers every commit until {covered} only{gap}"
        )
    if target.lsn_value is not None and target.lsn_value > coverage.end.value:
        raise _unreachable(
            repository,
            target,
            f"archived WAL behind {copy.backup_id} ends at {coverage.end} on timeline {coverage.end.timeline}{gap}",
        )


def _lies_before(copy: CommittedBackup, target: RecoveryTarget, coverage: WalCoverage | None = None) -> bool:
    if target.time is not None:
        return from_text(copy.summary["restorable_until"]) <= target.time
    if target.lsn_value is not None:
        stop = coverage.start if coverage else Lsn.parse(copy.summary["lsn"], timeline=0)
        return stop.value <= target.lsn_value
    return True


def _surely_before(copy: CommittedBackup, target: RecoveryTarget) -> bool:
    return target.time is None or from_text(copy.summary["restorable_until"]) + _SAMPLING <= target.time


def _require_one_timeline(
    copy: CommittedBackup, target: RecoveryTarget, coverage: WalCoverage, *, segment_bytes: int, named: bool
) -> None:
    """Refuse a target that another archived timeline may hold as well: two histories, and nothing says which is meant.

    A backup that was named and lies behind a fork says it; one that was chosen does not.
    """
    for fork in forks_of(coverage, segment_bytes=segment_bytes):
        is_behind = coverage.start.timeline > fork.at.timeline or coverage.start.value > fork.at.value
        if is_behind and named:
            continue
        if target.time is not None and not _may_lie_on(fork, target.time, copy, coverage, segment_bytes):
            continue
        own = coverage.timelines[-1][0]
        raise TargetUnreachable(
            f"the target {target} may lie on timeline {fork.timeline} or on timeline {own}: both have WAL behind "
            f"{fork.at} on timeline {fork.at.timeline}, where they part",
            hint=f"name the timeline that is meant: --target-timeline {fork.timeline} or --target-timeline {own}",
        )


def _may_lie_on(fork: Fork, moment: datetime, copy: CommittedBackup, coverage: WalCoverage, segment_bytes: int) -> bool:
    before = time_before(coverage, fork.at, segment_bytes=segment_bytes)
    if before is not None and moment <= before:
        return False
    if fork.until is None or moment <= fork.until:
        return True
    # The other one had ended by then. The moment is the way's own once it was seen behind the fork.
    if from_text(copy.summary["restorable_until"]) <= moment and coverage.start.value > fork.at.value:
        return False
    first = first_behind(coverage, fork.at.value, segment_bytes=segment_bytes)
    return first is None or moment < first.time


def _unreachable(repository: SiteRepository, target: RecoveryTarget, reason: str) -> TargetUnreachable:
    moments = restorable_moments(repository)
    if target.time is not None:
        hint = nearest(target.time, moments)
        inside = next((each for each in moments if each.restorable_from <= target.time <= each.restorable_until), None)
        if inside is not None:
            hint = "the moment can be restored on another timeline, or from another backup"
    else:
        spans = [f"{to_text(each.restorable_from)} to {to_text(each.restorable_until)}" for each in moments[-3:]]
        hint = f"what can be restored: {', '.join(spans)}" if spans else "nothing can be restored yet"
    return TargetUnreachable(f"the target {target} cannot be reached: {reason}", hint=hint)
