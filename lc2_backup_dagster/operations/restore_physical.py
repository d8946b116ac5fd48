"""Restore a chain and recover it to its target: the steps that a restore for people and one into scratch share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lc2_backup_dagster.engines.postgres.recovery import ArchivedReach, Recovered, recover
from lc2_backup_dagster.engines.postgres.restore_base import RestoredBase, restore_chain
from lc2_backup_dagster.engines.postgres.target_directory import disable, remove_content
from lc2_backup_dagster.operations.archived_wal_source import ArchivedWalSource
from lc2_backup_dagster.operations.choose_start import RestoreStart
from lc2_backup_dagster.operations.stored_chain import manifests_of, stored_chain
from lc2_backup_dagster.repository.site import SiteRepository

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class PhysicalRestore:
    """A restored, and where WAL was wanted recovered, data directory; its server is stopped.

    Attributes:
        base: the data directory.
        recovered: what the server said at the target; None where the backup's own end was the target.
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
        throw_away: nothing needs to survive a power cut, nor to be verified a second time.
        tools_directory: where PostgreSQL's programs are looked for first.
        progress: told bytes done, of those in all.

    When it raises, what was written is removed again; a delta leaves a directory that cannot start.

    Raises:
        TargetUnreachable: recovery ended elsewhere than at the target.
        BackupError: everything engine and repository raise.
    """
    base = restore_chain(
        stored_chain(repository, manifests_of(repository, start.chain)),
        target_directory=target_directory,
        tablespaces=tablespaces,
        delta=delta,
        tools_directory=tools_directory,
        verify=not throw_away,
        durable=not throw_away,
        on_progress=progress,
    )
    if start.coverage is None:
        return PhysicalRestore(base, None)
    try:
        recovered = recover(
            base.directory,
            ArchivedWalSource(start.coverage, segment_bytes=start.segment_bytes),
            target=start.target,
            reach=ArchivedReach(start.coverage.end, start.segment_bytes),
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
