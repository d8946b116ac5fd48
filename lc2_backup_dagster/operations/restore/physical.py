"""Restore a chain and recover it to its target: the steps that a restore for people and one into scratch share.

A restore for people always ends in archive recovery, also where the backup's own end is the target: only so the server
begins a timeline of its own. On the old one it would, once it has written more than a newer backup holds, be taken for
the server that this backup is of.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lc2_backup_dagster.engines.postgres.restore.base import RestoredBase, restore_chain
from lc2_backup_dagster.engines.postgres.restore.recovery import ArchivedReach, Recovered, recover
from lc2_backup_dagster.engines.postgres.restore.settled import owe_recovery, recover_at_first_start, settle
from lc2_backup_dagster.engines.postgres.restore.target_directory import disable, remove_content
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.operations.restore.choose_start import RestoreStart
from lc2_backup_dagster.operations.restore.stored_chain import manifests_of, stored_chain
from lc2_backup_dagster.operations.restore.taken_timelines import NewTimelineSource, TakenTimelines
from lc2_backup_dagster.operations.wal.source import ArchivedWalSource
from lc2_backup_dagster.repository.site import SiteRepository

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class PhysicalRestore:
    """A restored and recovered data directory; its server is stopped.

    Attributes:
        base: the data directory.
        recovered: what the server said at the target; None where its first start is still to come.
    """

    base: RestoredBase
    recovered: Recovered | None


def restore_physical(
    repository: SiteRepository,
    start: RestoreStart,
    *,
    target_directory: Path,
    tablespaces: Mapping[int, Path],
    delta: bool = False,
    throw_away: bool = False,
    run: bool = True,
    tools_directory: Path | None,
    progress: Progress = lambda done, total: None,
) -> PhysicalRestore:
    """Restore a chain into a directory, and replay WAL up to the target.

    Args:
        repository: the site's repository.
        start: from ``choose_start``.
        target_directory: new or empty; for a delta a directory of the same system.
        tablespaces: oid → new directory.
        delta: write into an existing directory of the same system.
        throw_away: nothing needs to survive a power cut, nor to be verified a second time, nor to begin a timeline of
            its own.
        run: recover it; False leaves that to the first start, only where the backup's own end is the target.
        tools_directory: where PostgreSQL's programs are looked for first.
        progress: told bytes done, of those in all.

    When it raises, what was written is removed again; a delta leaves a directory that cannot start. Killed half-way
    it leaves one that no server starts on, or none that archives anything.

    Raises:
        TargetUnreachable: recovery ended elsewhere than at the target.
        BackupError: everything engine and repository raise.
    """
    manifests = manifests_of(repository, start.chain)
    details = manifests[-1].details
    end = Lsn.parse(details["stop_lsn"], timeline=int(details["timeline"]))
    taken = TakenTimelines(repository, str(details["system_identifier"]))
    recovers = start.coverage is not None or (run and not throw_away)

    def prepare(directory: Path) -> None:
        settle(directory)
        if recovers:
            owe_recovery(directory)
        elif not throw_away:
            recover_at_first_start(directory, taken.histories(after=end.timeline))

    base = restore_chain(
        stored_chain(repository, manifests),
        target_directory=target_directory,
        tablespaces=tablespaces,
        delta=delta,
        tools_directory=tools_directory,
        verify=not throw_away,
        durable=not throw_away,
        before_control=prepare,
        on_progress=progress,
    )
    if not recovers:
        return PhysicalRestore(base, None)
    source = None
    if start.coverage is not None:
        end, source = start.coverage.end, ArchivedWalSource(start.coverage, segment_bytes=start.segment_bytes)
    try:
        recovered = recover(
            base.directory,
            NewTimelineSource(taken, after=end.timeline, source=source),
            target=start.target,
            reach=ArchivedReach(end, start.segment_bytes),
            tools_directory=tools_directory,
            fsync=not throw_away,
        )
    except BaseException:
        # A server that stopped somewhere else must not be taken for what was asked for.
        if delta:
            disable(base.directory)
        else:
            for directory in (base.directory, *tablespaces.values()):
                remove_content(directory, existed=False)
        raise
    return PhysicalRestore(base, recovered)
