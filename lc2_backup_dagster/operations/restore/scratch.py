"""Restore a server into scratch, let it run while something is asked of it, and throw it away."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lc2_backup_dagster.engines.postgres.restore.base import restored_bytes
from lc2_backup_dagster.engines.postgres.servers.account import give_to, reachable_directory, server_account
from lc2_backup_dagster.engines.postgres.servers.scratch import started
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import StorageFull
from lc2_backup_dagster.model.recovery_target import RecoveryTarget
from lc2_backup_dagster.operations.restore.choose_start import choose_start
from lc2_backup_dagster.operations.restore.physical import Progress, restore_physical
from lc2_backup_dagster.operations.restore.stored_chain import manifests_of, stored_chain, tablespaces_of
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext


@contextmanager
def scratch_restore(
    context: SiteContext,
    backup_id: str | None,
    *,
    target: RecoveryTarget,
    progress: Progress = lambda done, total: None,
) -> Generator[Server]:
    """Yield the address of a private server with the data of the target; it is gone afterwards.

    Args:
        context: the site; its scratch directory must hold the whole cluster.
        backup_id: the backup to start from, or None for the newest one at or before the target.
        target: which moment.
        progress: told bytes restored, of those in all.

    Raises:
        TargetUnreachable: the target cannot be reached.
        StorageFull: scratch has no room.
        ToolMissing: there is no ``postgres`` of the cluster's major version.
        BackupError: everything engine and repository raise.
    """
    repository = context.open_repository(False)
    chosen = choose_start(repository, target, backup_id=backup_id)
    manifests = manifests_of(repository, chosen.chain)
    tools = context.database.tools_directory
    with scratch_folder(context.database.scratch_directory, context.site, "restore-server") as scratch:
        # As root the server runs as another user, who may be unable to enter the scratch directory.
        place = reachable_directory(scratch / "server", server_account())
        try:
            needed = restored_bytes(stored_chain(repository, manifests))
            if (free := shutil.disk_usage(place).free) < needed:
                raise StorageFull(
                    f"scratch in {place} has {free} bytes free, the cluster may need {needed}",
                    hint="name another database.scratchDirectory in the site file",
                )
            restored = restore_physical(
                repository,
                chosen,
                target_directory=place / "data",
                tablespaces=_tablespaces(place, tablespaces_of(manifests[-1])),
                throw_away=True,
                tools_directory=tools,
                progress=progress,
            )
            with started(restored.base.directory, tools_directory=tools, fsync=False) as server:
                yield server
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _tablespaces(place: Path, locations: dict[int, str]) -> dict[int, Path]:
    outside = {oid: place / f"tablespace-{oid}" for oid, location in locations.items() if Path(location).is_absolute()}
    give_to(server_account(), place)
    return outside
