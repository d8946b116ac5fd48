"""Plan a restore: exact objects, bytes and targets, and every blocker at once. Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lc2_backup_dagster.engines.postgres.dump.capture import dump_stream_name
from lc2_backup_dagster.engines.postgres.dump.directory import DIRECTORY_STREAM, require_room
from lc2_backup_dagster.engines.postgres.dump.restore import check_target_absent
from lc2_backup_dagster.engines.postgres.servers.preflight import server_major
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError, TransientError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.browse.stored_files import members_of_point
from lc2_backup_dagster.operations.restore.configuration import (
    not_restored,
    plan_configuration,
)
from lc2_backup_dagster.operations.restore.configuration import notes_of as notes_of_configuration
from lc2_backup_dagster.operations.restore.plan_files import notes_of as notes_of_files
from lc2_backup_dagster.operations.restore.plan_files import plan_files
from lc2_backup_dagster.operations.restore.request import (
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
    configuration: CommittedBackup | None


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
    wants_configuration = request.scope in (RestoreScope.FULL, RestoreScope.CONFIGURATION)
    members = Members(
        point=point,
        dump=found.get(Component.DATABASE_DUMP) if wants_database else None,
        files=found.get(Component.FILES) if wants_files else None,
        configuration=found.get(Component.CONFIGURATION) if wants_configuration else None,
    )
    if members.dump is None and members.files is None and members.configuration is None:
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
    _refuse_half_a_point(members.point, request, blockers)
    configuration = None
    if members.configuration:
        configuration = plan_configuration(context, repository, request, members.configuration, blockers)
    elif request.import_configuration:
        blockers.append(not_restored())
    database = _database(context, repository, request, members.dump, now, blockers) if members.dump else None
    files = _files(context, repository, request, members, blockers)
    if request.invalidate_cdn and files is None:
        blockers.append(
            ConfigurationError(
                "the CDN is to be told of restored files, but no files are restored", hint="restore files, or leave it"
            )
        )
    return RestorePlan(
        site=str(context.site),
        point=members.point.backup_id,
        moment=members.point.summary["restorable_until"],
        database=database,
        files=files,
        configuration=configuration,
        blockers=tuple(str(each) for each in blockers),
        only_outages=bool(blockers) and all(isinstance(each, TransientError) for each in blockers),
        notes=(
            *(context.application.after_restore_notes if members.dump else ()),
            *notes_of_files(context, request, files),
            *notes_of_configuration(configuration, request.scope),
            *partial_notes(members),
        ),
    )


def partial_notes(members: Members) -> Iterator[str]:
    """Say what is restored although it lacks something: nobody must take it for the whole (L-22)."""
    for each in (members.dump, members.files, members.configuration):
        if each is not None and each.summary.get("partial"):
            count = each.summary.get("unreadable") or each.summary.get("unexported") or "some"
            yield f"{each.component}: {each.backup_id} is partial; {count} items of its source are not in it"


def _refuse_half_a_point(point: CommittedBackup, request: RestoreRequest, blockers: list[BackupError]) -> None:
    """Refuse a full restore of a point that lacks a component: nobody must take it for the whole."""
    missing = point.summary.get("missing") or ()
    if point.component is Component.RECOVERY_POINT and missing and request.scope is RestoreScope.FULL:
        blockers.append(
            ConfigurationError(
                f"recovery point {point.backup_id} is partial: it has no {' and no '.join(missing)}",
                hint="restore its parts, each with its scope, or choose another point",
            )
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
    members: Members,
    blockers: list[BackupError],
) -> FilesPlan | None:
    if members.files is None:
        return None
    bound = members_of_point(members.point)
    return plan_files(context, repository, request, members.files, blockers, members=bound, dump=members.dump)


def _new_name(database: str, now: datetime) -> str:
    suffix = f"_restored_{now:%Y%m%d_%H%M%S}"
    return f"{database[: _LONGEST_DATABASE_NAME - len(suffix)]}{suffix}"


def major_of(version: str) -> int:
    """Return the major version of a PostgreSQL version like ``17.10``."""
    return int(version.split(".")[0])
