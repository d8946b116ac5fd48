"""Restore a base backup: a whole database server, into a new data directory, proven by starting it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from lc2_backup_dagster.engines.postgres.basebackup import TAR_STREAM
from lc2_backup_dagster.engines.postgres.restore_base import RestoredBase, restore_base
from lc2_backup_dagster.engines.postgres.scratch_server import start_and_ask
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import Initiator, RecordType


@dataclass(frozen=True, slots=True)
class RestoredServer:
    """What a restore of a base backup did.

    Attributes:
        base: the new data directory.
        databases: names of the databases the started server has; empty when it was not started.
    """

    base: RestoredBase
    databases: tuple[str, ...]


def restore_server(
    context: SiteContext,
    backup_id: str,
    *,
    target_directory: Path,
    start: bool,
    initiator: Initiator,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> RestoredServer:
    """Unpack a base backup into a new directory, verify it, and start it once to see that it recovers.

    Args:
        context: the site.
        backup_id: a backup of ``database``.
        target_directory: new or empty, below an existing directory.
        start: whether to start the server once; it never archives into the repository it came from.
        initiator: who asks.
        progress: told bytes done, of those in all.

    Raises:
        ConfigurationError: not a base backup.
        TargetNotEmpty: the directory holds something; nothing was changed.
        BackupError: everything engine and repository raise; what was written is removed again.
    """
    repository = context.open_repository(False)
    backup = repository.backup(backup_id)
    if backup.component is not Component.DATABASE:
        raise ConfigurationError(
            f"{backup_id} is a backup of {backup.component}, not a base backup",
            hint="list base backups with lc2-backup list --component database",
        )
    manifest = repository.manifest(backup_id)
    body = {"point": backup_id, "database": str(target_directory), "files": None, "plain_bytes": manifest.plain_bytes}
    try:
        with repository.open_stream(manifest, TAR_STREAM) as source:
            base = restore_base(
                source,
                target_directory=target_directory,
                tools_directory=context.database.tools_directory,
                tar_bytes=manifest.stream(TAR_STREAM).plain_bytes,
                on_progress=progress,
            )
        databases: tuple[str, ...] = ()
        if start:
            rows = start_and_ask(
                base.directory,
                "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1",
                tools_directory=context.database.tools_directory,
            )
            databases = tuple(str(row[0]) for row in rows)
    except BackupError as error:
        repository.tell(
            RecordType.RESTORE, initiator=initiator, body={**body, "result": "failed", "reason": str(error)[:2000]}
        )
        raise
    repository.tell(RecordType.RESTORE, initiator=initiator, body={**body, "result": "restored", "reason": ""})
    return RestoredServer(base, databases)


def facts(restored: RestoredServer) -> dict[str, object]:
    """Return what was done as JSON values."""
    return {**asdict(restored.base), "directory": str(restored.base.directory), "databases": list(restored.databases)}
