"""Restore a base backup: a whole database server, into a new data directory, proven by starting it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lc2_backup_dagster.engines.postgres.basebackup import TAR_STREAM
from lc2_backup_dagster.engines.postgres.restore_base import RestoredBase, check_target_directory, restore_base
from lc2_backup_dagster.engines.postgres.scratch_server import start_and_ask
from lc2_backup_dagster.engines.postgres.tools import find_programs
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.plan_restore import major_of
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.record import Initiator, RecordType
from lc2_backup_dagster.repository.site import SiteRepository


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """What a restore of a base backup would do.

    Attributes:
        backup_id: the base backup.
        moment: the moment its data is of, RFC 3339 UTC.
        directory: the new data directory.
        plain_bytes: bytes that will be written there.
        parts: stored objects to fetch.
        server_version: version of the server it was taken from.
        blockers: everything that would make it fail, each with its remedy; empty when it can run.
    """

    backup_id: str
    moment: str
    directory: Path
    plain_bytes: int
    parts: int
    server_version: str
    blockers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestoredServer:
    """What a restore of a base backup did.

    Attributes:
        base: the new data directory.
        databases: names of the databases the started server has; empty when it was not started.
    """

    base: RestoredBase
    databases: tuple[str, ...]


def plan_server_restore(context: SiteContext, backup_id: str, *, target_directory: Path, start: bool) -> ServerPlan:
    """Say what ``restore_server`` would do with the same arguments. Changes nothing.

    Raises:
        ConfigurationError: not a base backup.
        BackupError: the repository cannot be read.
    """
    manifest = _base_manifest(context.open_repository(False), backup_id)
    stream = manifest.stream(TAR_STREAM)
    version = str(manifest.details["server_version"])
    blockers: list[str] = []

    def blocked_by(check: Callable[[], object]) -> None:
        try:
            check()
        except BackupError as error:
            blockers.append(str(error))

    blocked_by(lambda: check_target_directory(target_directory.absolute()))
    if start:
        tools = context.database.tools_directory
        blocked_by(lambda: find_programs("postgres", major=major_of(version), directory=tools))
    return ServerPlan(
        backup_id=backup_id,
        moment=manifest.moment.restorable_until,
        directory=target_directory.absolute(),
        plain_bytes=stream.plain_bytes,
        parts=len(stream.parts),
        server_version=version,
        blockers=tuple(blockers),
    )


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
    manifest = _base_manifest(repository, backup_id)
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
        _tell_failure(repository, initiator, {**body, "result": "failed", "reason": str(error)[:2000]})
        raise
    repository.tell(RecordType.RESTORE, initiator=initiator, body={**body, "result": "restored", "reason": ""})
    return RestoredServer(base, databases)


def _base_manifest(repository: SiteRepository, backup_id: str) -> Manifest:
    backup = repository.backup(backup_id)
    if backup.component is not Component.DATABASE:
        raise ConfigurationError(
            f"{backup_id} is a backup of {backup.component}, not a base backup",
            hint="list base backups with lc2-backup list --component database",
        )
    return repository.manifest(backup_id)


def _tell_failure(repository: SiteRepository, initiator: Initiator, body: dict[str, Any]) -> None:
    try:
        repository.tell(RecordType.RESTORE, initiator=initiator, body=body)
    except BackupError:
        return  # the first error is the one to show


def facts(restored: RestoredServer) -> dict[str, object]:
    """Return what was done as JSON values."""
    return {**asdict(restored.base), "directory": str(restored.base.directory), "databases": list(restored.databases)}
