"""Choose how the database is captured now: an increment, WAL over a base, a provider's snapshot, or a full backup.

Pure. Every answer says why, and a full backup also says why it is not an increment (R-2, L-11: an "incremental" that
silently became a full one is a defect).

| server and history                                                   | chosen        |
|----------------------------------------------------------------------|---------------|
| 17 or newer with ``summarize_wal`` and a parent that can be stood on | ``incremental`` |
| the same without such a parent                                       | ``full``, which begins a new chain |
| older, or without summaries; WAL archived from a base through now    | ``wal``: nothing is copied |
| neither, but the provider makes snapshots                            | ``snapshot``  |
| anything else                                                        | ``full``      |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lc2_backup_dagster.engines.postgres.servers.facts import INCREMENTS_SINCE, ServerFacts
from lc2_backup_dagster.engines.postgres.wal.samples import without_page_header
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import ChainBroken
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import BackupKind
from lc2_backup_dagster.operations.chains import Chain, by_id, chain_of, is_copy
from lc2_backup_dagster.operations.site_context import ChainLimits
from lc2_backup_dagster.operations.wal.coverage import WalCoverage
from lc2_backup_dagster.repository.history import CommittedBackup

# Clocks of service and server may differ; a full backup that is dated further ahead is not trusted to be young (L-24).
_CLOCK_SLACK = timedelta(hours=1)
# ``wal_block_size`` of every common build. With another one a position may count as not reached, never the reverse.
_WAL_PAGE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class ServerState:
    """What of the server decides.

    Attributes:
        facts: what it said of itself.
        system_identifier: of the cluster.
        position: where its WAL ends now, on its current timeline.
        asked_at: when it said so, by its own clock.
        snapshots: whether its provider makes snapshots on request.
    """

    facts: ServerFacts
    system_identifier: str
    position: Lsn
    asked_at: datetime
    snapshots: bool = False

    @property
    def written(self) -> Lsn:
        """Where the last record before ``position`` ends: an idle server writes nothing behind it."""
        end = without_page_header(
            self.position.value, page_bytes=_WAL_PAGE_BYTES, segment_bytes=self.facts.wal_segment_bytes
        )
        return Lsn(end, self.position.timeline)


@dataclass(frozen=True, slots=True)
class ArchivedWal:
    """WAL in the repository, behind the newest base of this server.

    Attributes:
        base: the full or incremental backup it stands on.
        coverage: what of it is there without a gap.
    """

    base: CommittedBackup
    coverage: WalCoverage


@dataclass(frozen=True, slots=True)
class Strategy:
    """What was chosen.

    Attributes:
        kind: how the backup is made.
        reason: why, for people; for a full backup also why not an increment.
        chain: what it stands on, the full backup first; None for full and snapshot.
    """

    kind: BackupKind
    reason: str
    chain: Chain | None = None

    @property
    def parent(self) -> CommittedBackup | None:
        """The backup that the new one stands on."""
        return self.chain.newest if self.chain else None


def choose_strategy(
    backups: Sequence[CommittedBackup],
    server: ServerState,
    limits: ChainLimits,
    *,
    wal: ArchivedWal | str,
    damaged: Mapping[str, str],
    now: datetime,
) -> Strategy:
    """Choose how to capture the database.

    Args:
        backups: committed, unexpired backups of the database, oldest first.
        server: the server as it is now.
        limits: the site's policy.
        wal: what is archived behind the newest base, or why nothing of it can be used.
        damaged: id → what is wrong, for backups whose objects are known to be incomplete.
        now: by the service's clock.
    """
    no_parent = _why_no_increments(server, limits)
    if no_parent is None:
        chain = newest_chain(backups, server)
        problem = chain if isinstance(chain, str) else _why_not_behind(chain, server, limits, damaged, now)
        if problem is None and isinstance(chain, Chain):
            return Strategy(BackupKind.INCREMENTAL, _stands_on(chain, limits, now), chain)
        return Strategy(BackupKind.FULL, f"a new chain begins: {problem}")
    if not isinstance(wal, str):
        chain = newest_chain(backups, server)
        problem = chain if isinstance(chain, str) else _why_not_over(chain, wal, server, limits, damaged, now)
        if problem is None and isinstance(chain, Chain):
            return Strategy(
                BackupKind.WAL,
                f"archived WAL covers every moment from {chain.newest.backup_id} to now, nothing is copied; "
                f"no increment: {no_parent}",
                chain,
            )
        wal = problem or ""
    if server.snapshots:
        return Strategy(
            BackupKind.SNAPSHOT, f"the provider makes snapshots; no increment: {no_parent}; no WAL over a base: {wal}"
        )
    return Strategy(BackupKind.FULL, f"no increment: {no_parent}; no WAL over a base: {wal}")


def newest_chain(backups: Sequence[CommittedBackup], server: ServerState) -> Chain | str:
    """Return the newest copy of this cluster with what it stands on, or why there is none to stand on.

    Order is the log's, and the cluster is the system identifier's: neither names nor clocks decide (L-17).
    """
    copies = [each for each in backups if is_copy(each)]
    own = [each for each in copies if each.summary.get("system_identifier") == server.system_identifier]
    if not own:
        if not copies:
            return "there is no earlier backup"
        return (
            f"the newest backup, {copies[-1].backup_id}, is of cluster {copies[-1].summary.get('system_identifier')}, "
            f"the server is {server.system_identifier}"
        )
    try:
        return chain_of(own[-1], by_id(backups))
    except ChainBroken as error:
        return error.message


def _why_no_increments(server: ServerState, limits: ChainLimits) -> str | None:
    if not limits.incremental:
        return "the site wants none (policies.chains.incremental)"
    if server.facts.major < INCREMENTS_SINCE:
        return f"PostgreSQL {server.facts.major} makes none ({INCREMENTS_SINCE} and newer do)"
    if not server.facts.summarize_wal:
        return "summarize_wal is off on the server"
    return None


def _why_not_behind(
    chain: Chain, server: ServerState, limits: ChainLimits, damaged: Mapping[str, str], now: datetime
) -> str | None:
    """Say why no increment may stand on a chain, or None."""
    parent = chain.newest
    if chain.increments >= limits.max_length:
        return (
            f"the chain of {chain.full.backup_id} already has {chain.increments} increments (policies.chains.maxLength)"
        )
    if not parent.summary.get("summarize_wal"):
        return f"{parent.backup_id} was taken while summarize_wal was off"
    timeline, start, stop = (parent.summary.get(name) for name in ("timeline", "start_lsn", "lsn"))
    if not isinstance(timeline, int) or not isinstance(start, str) or not isinstance(stop, str):
        return f"{parent.backup_id} does not tell its positions"
    if timeline != server.position.timeline:
        return f"{parent.backup_id} was taken on timeline {timeline}, the server is on {server.position.timeline}"
    if Lsn.parse(stop, timeline=timeline) > server.position:
        return (
            f"{parent.backup_id} ends at {stop}, ahead of the server's {server.position}: the server was set back to "
            "an earlier state"
        )
    if server.facts.summaries_reach(Lsn.parse(start, timeline=timeline)) is False:
        return f"the server's WAL summaries do not reach back to the start of {parent.backup_id} at {start}"
    return _why_unfit(chain, limits, damaged, now)


def _why_not_over(
    chain: Chain,
    wal: ArchivedWal,
    server: ServerState,
    limits: ChainLimits,
    damaged: Mapping[str, str],
    now: datetime,
) -> str | None:
    """Say why archived WAL does not make a promise over a chain, or None."""
    coverage = wal.coverage
    if wal.base.backup_id != chain.newest.backup_id or coverage.system_identifier != server.system_identifier:
        return f"the archived WAL does not stand on {chain.newest.backup_id}"
    if coverage.gap is not None:
        return f"{coverage.gap} is missing from the archive"
    if coverage.end.timeline != server.position.timeline:
        return f"the archive ends on timeline {coverage.end.timeline}, the server is on {server.position.timeline}"
    if coverage.until is None or coverage.until < server.asked_at:
        told = to_text(coverage.until) if coverage.until else str(coverage.end)
        return f"the archive reaches {told} only, not {to_text(server.asked_at)}; does wal-receive run?"
    # A clock that was set back makes times lie ahead of the archive; positions do not.
    if coverage.end < server.written:
        return f"the archive ends at {coverage.end}, the server is at {server.position}; does wal-receive run?"
    return _why_unfit(chain, limits, damaged, now)


def _why_unfit(chain: Chain, limits: ChainLimits, damaged: Mapping[str, str], now: datetime) -> str | None:
    age = now - chain.full_taken
    if age > timedelta(hours=limits.max_age_hours):
        return (
            f"the full backup {chain.full.backup_id} is {_hours(age)} old, at most {limits.max_age_hours} h are wanted "
            "(policies.chains.maxAgeHours)"
        )
    if age < -_CLOCK_SLACK:
        return f"the full backup {chain.full.backup_id} is dated {_hours(-age)} ahead of this machine's clock"
    for member in chain.members:
        if member.backup_id in damaged:
            return f"{member.backup_id} is damaged: {damaged[member.backup_id]}"
    return None


def _stands_on(chain: Chain, limits: ChainLimits, now: datetime) -> str:
    return (
        f"only blocks changed since {chain.newest.backup_id}: increment {chain.increments + 1} of at most "
        f"{limits.max_length} behind the full backup {chain.full.backup_id}, which is "
        f"{_hours(max(now - chain.full_taken, timedelta()))} old"
    )


def _hours(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.0f} h" if hours >= 10 else f"{hours:.1f} h"
