"""Until when the database can be restored now, measured from what lies in the repository (L-13).

What the receiver, the slot or a clock says is shown beside it, and proves nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from lc2_backup_dagster.engines.postgres.base.preflight import SlotHealth, slot_health
from lc2_backup_dagster.engines.postgres.wal.position import server_time
from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import BackupError, IntegrityError, RecoveryPointNotFound
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.chains import is_copy, position_of
from lc2_backup_dagster.operations.site_context import DatabaseAccess, SiteContext
from lc2_backup_dagster.operations.wal.coverage import WalCoverage
from lc2_backup_dagster.operations.wal.physical_reach import coverage_from
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository


@dataclass(frozen=True, slots=True)
class Proven:
    """How far WAL behind a base was proven to reach; a later look goes on from there.

    Attributes:
        base: id of the base.
        lsn: the proven position.
        segments: whole segments up to there.
        until: the moment it reached.
    """

    base: str
    lsn: Lsn
    segments: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Restorable:
    """Until when the database can be restored.

    Attributes:
        base: the base backup it is measured from; None where there is none.
        until: every commit before it can be restored; None where nothing can.
        lsn: its position.
        segments: whole archived segments behind the base.
        lag_seconds: how far it lies behind the server's clock (this machine's when the server does not answer).
        gap: the first segment that is missing, where later WAL is there.
        slot: how the slot is doing; None where the server does not answer or has no such slot.
        server_problem: why the server could not be asked, or None.
        proven: where a later look may go on.
    """

    base: str | None
    until: datetime | None
    lsn: Lsn | None
    segments: int
    lag_seconds: float | None
    gap: str | None
    slot: SlotHealth | None
    server_problem: str | None
    proven: Proven | None


def measure_restorable(
    context: SiteContext, *, proven: Proven | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Restorable:
    """Measure until when the database can be restored.

    Args:
        context: the site.
        proven: what an earlier look proved. WAL is followed from there as long as it advances; as soon as it does not,
            all of it is proven again from the base.
        clock: this machine's.

    Raises:
        BackupError: the repository cannot be read; then nothing is known, which is no success (L-28).
    """
    try:
        repository = context.open_repository(False)
    except RecoveryPointNotFound:
        return Restorable(None, None, None, 0, None, None, None, None, None)  # neither backup nor WAL was ever stored
    base = next((each for each in reversed(repository.backups(Component.DATABASE)) if is_copy(each)), None)
    now, slot, problem = _ask(context.database, clock)
    if base is None:
        return Restorable(None, None, None, 0, None, None, slot, problem, None)
    taken = from_text(base.summary["restorable_until"])
    coverage, before = _follow(repository, base, proven)
    if coverage is None or coverage.until is None or coverage.until <= taken:
        # Nothing behind the base is archived yet: the base itself is what there is.
        lsn = position_of(base.summary)
        gap = coverage.gap if coverage else None
        return Restorable(base.backup_id, taken, lsn, 0, _lag(now, taken), gap, slot, problem, None)
    segments = before + len(coverage.segments)
    return Restorable(
        base=base.backup_id,
        until=coverage.until,
        lsn=coverage.end,
        segments=segments,
        lag_seconds=_lag(now, coverage.until),
        gap=coverage.gap,
        slot=slot,
        server_problem=problem,
        proven=Proven(base.backup_id, coverage.end, segments, coverage.until),
    )


def _follow(repository: SiteRepository, base: CommittedBackup, proven: Proven | None) -> tuple[WalCoverage | None, int]:
    """Return WAL from the proven position on, if it leads further, else from the base; and segments before it."""
    start = position_of(base.summary)
    if start is None:
        return None, 0
    if proven is not None and proven.base == base.backup_id:
        try:
            further = coverage_from(repository, base.summary, proven.lsn)
        except IntegrityError:
            further = None  # the look from the base says what is wrong
        if further is not None and further.until is not None and further.until > proven.until:
            return further, proven.segments
    return coverage_from(repository, base.summary, start), 0


def _ask(access: DatabaseAccess, clock: Callable[[], datetime]) -> tuple[datetime, SlotHealth | None, str | None]:
    """Ask the server for its clock and its slot; a server that is away changes nothing of what can be restored."""
    try:
        now = server_time(access.replication)
        return now, slot_health(access.replication, access.wal.slot) if access.wal else None, None
    except BackupError as error:
        return clock(), None, error.message


def _lag(now: datetime, until: datetime) -> float:
    return max(0.0, (now - until).total_seconds())
