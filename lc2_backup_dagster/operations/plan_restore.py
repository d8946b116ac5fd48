"""Plan a restore: exact objects, bytes and targets, and every blocker at once. Changes nothing."""

from dataclasses import dataclass
from datetime import datetime

from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.files.selection import Selection
from lc2_backup_dagster.engines.postgres.dump import dump_stream_name
from lc2_backup_dagster.engines.postgres.dump_directory import DIRECTORY_STREAM, require_room
from lc2_backup_dagster.engines.postgres.preflight import server_major
from lc2_backup_dagster.engines.postgres.restore_dump import check_target_absent
from lc2_backup_dagster.engines.postgres.tools import find_tools
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError, TargetNotEmpty, TransientError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.capture_files import file_entries
from lc2_backup_dagster.operations.restore_request import (
    Conflict,
    DatabasePlan,
    FilesPlan,
    RestorePlan,
    RestoreRequest,
    RestoreScope,
)
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository

_LONGEST_DATABASE_NAME = 63


@dataclass(frozen=True, slots=True)
class Members:
    """The backups behind a request."""

    point: CommittedBackup
    dump: CommittedBackup | None
    files: CommittedBackup | None


def members_of(repository: SiteRepository, request: RestoreRequest) -> Members:
    """Find the backups a request means. Never falls back to another point.

    Raises:
        RecoveryPointNotFound: the point, or one of its members, does not exist or has expired.
        ConfigurationError: the point has nothing of the scope that was asked for.
    """
    point = repository.backup(request.backup_id)
    found: dict[Component, CommittedBackup] = {point.component: point}
    if point.component is Component.RECOVERY_POINT:
        for member_id in point.summary["member_ids"]:
            member = repository.backup(member_id)
            found[member.component] = member
    elif point.component is Component.DATABASE:
        raise ConfigurationError(
            f"{point.backup_id} is a base backup of the whole database server",
            hint="restore it into a directory: lc2-backup restore … --target-directory",
        )
    wants_database = request.scope in (RestoreScope.FULL, RestoreScope.DATABASE)
    wants_files = request.scope in (RestoreScope.FULL, RestoreScope.FILES)
    members = Members(
        point=point,
        dump=found.get(Component.DATABASE_DUMP) if wants_database else None,
        files=found.get(Component.FILES) if wants_files else None,
    )
    if members.dump is None and members.files is None:
        raise ConfigurationError(
            f"backup {point.backup_id} holds {point.component}, which has no {request.scope}",
            hint="choose another scope, or a recovery point",
        )
    return members


def plan_restore(context: SiteContext, request: RestoreRequest, *, now: datetime) -> RestorePlan:
    """Answer a request with a plan.

    Args:
        context: the site.
        request: the wish.
        now: names the new database when the request does not.

    Raises:
        RecoveryPointNotFound: see ``members_of``.
        WrongKey: the site's key does not open the repository.
        BackupError: the repository cannot be read.
    """
    repository = context.open_repository(False)
    members = members_of(repository, request)
    blockers: list[BackupError] = []
    return RestorePlan(
        site=str(context.site),
        point=members.point.backup_id,
        moment=members.point.summary["restorable_until"],
        database=_database(context, repository, request, members.dump, now, blockers) if members.dump else None,
        files=_files(context, repository, request, members.files, blockers) if members.files else None,
        blockers=tuple(str(each) for each in blockers),
        only_outages=bool(blockers) and all(isinstance(each, TransientError) for each in blockers),
        notes=tuple(context.application.after_restore_notes) if members.dump else (),
    )


def _database(
    context: SiteContext,
    repository: SiteRepository,
    request: RestoreRequest,
    dump: CommittedBackup,
    now: datetime,
    blockers: list[BackupError],
) -> DatabasePlan:
    manifest = repository.manifest(dump.backup_id)
    stream = manifest.stream(dump_stream_name(manifest.streams))
    name = request.target_database or _new_name(context.database.server.database, now)
    server = context.restore.server
    try:
        check_target_absent(server, name)
        needed = max(server_major(server), major_of(manifest.details["tool_version"]))
        find_tools(context.database.tools_directory, at_least_major=needed)
        if stream.name == DIRECTORY_STREAM:
            require_room(context.database.scratch_directory, stream.plain_bytes)
    except BackupError as error:
        blockers.append(error)
    return DatabasePlan(
        backup_id=dump.backup_id,
        target=f"database {name} on {server.host}:{server.port}",
        database=name,
        plain_bytes=stream.plain_bytes,
        parts=len(stream.parts),
        server_version=manifest.details["server_version"],
    )


def _files(
    context: SiteContext,
    repository: SiteRepository,
    request: RestoreRequest,
    files: CommittedBackup,
    blockers: list[BackupError],
) -> FilesPlan:
    prefix = f"{request.backup_id}/" if request.files_prefix is None else request.files_prefix
    objects, plain_bytes = files.summary.get("objects", 0), files.summary.get("logical_bytes", 0)
    if request.globs:
        objects, plain_bytes, anything = _selected(repository, files.backup_id, request.globs)
        if not anything:
            blockers.append(
                ConfigurationError(
                    f"no file of {files.backup_id} matches {', '.join(request.globs)}",
                    hint="a glob is for the whole key; * is any text, slashes included",
                )
            )
    target = f"{prefix} of {request.files_bucket or context.restore.files_bucket or 'no bucket'}"
    try:
        store = context.restore.open_files_target(request.files_bucket, prefix)
        target = store.url
        store.check(write=True)
        if request.conflict is Conflict.REFUSE and not request.globs:
            there = next(store.list(), None)
            if there is not None:
                raise TargetNotEmpty(
                    f"{store.url} is not empty, it holds {there.key!r}",
                    hint="name another prefix, or conflict 'skip' or 'overwrite'",
                )
    except BackupError as error:
        blockers.append(error)
    return FilesPlan(
        backup_id=files.backup_id,
        target=target,
        bucket=request.files_bucket,
        prefix=prefix,
        objects=objects,
        plain_bytes=plain_bytes,
    )


def _selected(repository: SiteRepository, backup_id: str, globs: tuple[str, ...]) -> tuple[int, int, bool]:
    """Return the files that are meant, their bytes, and whether anything is: it may be links or folders alone."""
    selection = Selection.matching(globs)
    objects = plain_bytes = 0
    anything = False
    with file_entries(repository, backup_id) as entries:
        for entry in entries:
            if entry.key in selection:
                anything = True
                objects += entry.kind is PosixKind.FILE
                plain_bytes += entry.size_bytes
    return objects, plain_bytes, anything


def _new_name(database: str, now: datetime) -> str:
    suffix = f"_restored_{now:%Y%m%d_%H%M%S}"
    return f"{database[: _LONGEST_DATABASE_NAME - len(suffix)]}{suffix}"


def major_of(version: str) -> int:
    """Return the major version of a PostgreSQL version like ``17.10``."""
    return int(version.split(".")[0])
