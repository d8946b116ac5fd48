"""Carry out a restore: plan it, refuse it with every blocker, restore, and write down in the log that it was done."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lc2_backup_dagster.engines.exports.unpack import UnpackedExport
from lc2_backup_dagster.engines.files.restore.writing import FilesRestore
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.engines.hooks.ports import Say
from lc2_backup_dagster.engines.postgres.dump.capture import dump_stream_name
from lc2_backup_dagster.engines.postgres.dump.database_properties import DatabaseProperties
from lc2_backup_dagster.engines.postgres.dump.directory import DIRECTORY_STREAM
from lc2_backup_dagster.engines.postgres.dump.restore import DumpOptions, RestoredDump, restore_dump
from lc2_backup_dagster.engines.postgres.servers.preflight import server_major
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools
from lc2_backup_dagster.model.errors import AfterRestoreFailed, BackupError, TargetNotEmpty, TransientError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.restore.after_restore import (
    FollowUp,
    changed_keys,
    failure_of,
    import_configuration,
    tell_cdn,
)
from lc2_backup_dagster.operations.restore.configuration import restore_configuration
from lc2_backup_dagster.operations.restore.files_target import open_target
from lc2_backup_dagster.operations.restore.library import restore_library
from lc2_backup_dagster.operations.restore.plan_restore import major_of, plan_restore
from lc2_backup_dagster.operations.restore.record import recorded_restore
from lc2_backup_dagster.operations.restore.request import DatabasePlan, FilesPlan, RestorePlan, RestoreRequest
from lc2_backup_dagster.operations.restore.target_rows import TargetRows, check_target, is_checked
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository

_NAMED_KEYS = 20


@dataclass(frozen=True, slots=True)
class StepDone:
    """How far a restore is.

    Attributes:
        step: ``database`` or ``files``.
        done_bytes: bytes done.
        total_bytes: of those in all.
        objects: files done; None where there are none.
        total_objects: of those in all.
    """

    step: str
    done_bytes: int
    total_bytes: int
    objects: int | None = None
    total_objects: int | None = None


Progress = Callable[[StepDone], None]
"""Told now and then how far it is."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Attributes:
        plan: the plan that ran; nothing ran when the request was a dry run.
        database: facts of the restored database, or None.
        files: facts of the restored files, or None.
        configuration: facts of the restored configuration, or None.
        seconds: from request to end.
        dry_run: whether nothing was changed.
        rows: whether rows and files that were restored fit; None where not both were restored whole.
        follow_ups: what was done after all data was restored, in its order.
    """

    plan: RestorePlan
    database: RestoredDump | None
    files: FilesRestore | None
    configuration: UnpackedExport | None
    seconds: float
    dry_run: bool
    rows: TargetRows | None = None
    follow_ups: tuple[FollowUp, ...] = ()

    @property
    def failure(self) -> AfterRestoreFailed | None:
        """What whoever asked must be told as a failure although all data is restored; None where all is well."""
        return failure_of(self.follow_ups, self.plan.point)


def restore(
    context: SiteContext,
    request: RestoreRequest,
    *,
    now: datetime,
    initiator: Initiator,
    progress: Progress = lambda done: None,
    say: Say = lambda line: None,
) -> Restored:
    """Restore what the request asks for, into new places.

    The database appears under its name only when all of it is there. Files appear whole and proven, one by one; a
    restore that broke off is continued with conflict ``skip``. What is at the target is overwritten or deleted only
    when the request confirms the target by name. Either outcome is recorded in the commit log.

    What follows a restore (an import, a CDN) is done last. Where it fails the restore stays, and the result has a
    ``failure``, which the caller raises once it has told what was restored.

    Args:
        context: the site.
        request: the wish.
        now: names the new database when the request does not.
        initiator: who asks.
        progress: told now and then how far it is.
        say: takes lines for the log, without secrets.

    Raises:
        TransientError: there are blockers, all of them servers or stores that are away; nothing was changed.
        TargetNotEmpty: there are other blockers; nothing was changed.
        BackupError: everything engines and repository raise.
    """
    began = time.monotonic()
    plan = plan_restore(context, request, now=now)
    if request.dry_run:
        return Restored(plan, None, None, None, time.monotonic() - began, dry_run=True)
    if plan.blockers:
        # Whoever waits for a server may try again by himself; whoever would overwrite something may not.
        kind = TransientError if plan.only_outages else TargetNotEmpty
        raise kind(
            f"restore of {plan.point} cannot run: " + " | ".join(plan.blockers),
            hint="nothing was changed; remove the blockers and run again",
        )
    repository = context.open_repository(False)
    body = _told(plan, request)
    with recorded_restore(repository, initiator, body), changed_keys(context, plan) as changed:
        try:
            done = _restore_all(context, repository, request, plan, changed, progress, body)
        except BackupError as error:
            # What it has written is there and stays. The next run finds it the same, and would tell nobody of it.
            if changed is not None and changed.count and context.restore.cdn is not None:
                told = tell_cdn(context.restore.cdn, changed)
                body |= _told_after([told])
                say(told.text)
                error.attributes["cdn"] = told.text
            raise
        body["result"] = "restored"
        follow_ups: list[FollowUp] = []
        for each in _follow_ups(context, request, plan, done.configuration, changed, say):
            follow_ups.append(each)
            body |= _told_after(follow_ups)
    return replace(done, seconds=time.monotonic() - began, follow_ups=tuple(follow_ups))


def _restore_all(
    context: SiteContext,
    repository: SiteRepository,
    request: RestoreRequest,
    plan: RestorePlan,
    changed: RowSorter | None,
    progress: Progress,
    body: dict[str, Any],
) -> Restored:
    database = _restore_database(context, repository, request, plan.database, progress) if plan.database else None
    files, rows = None, None
    if plan.files:
        files, rows = _restore_files(context, repository, request, plan.files, database, changed, progress)
        body |= {"written": files.written, "overwritten": files.overwritten, "deleted": files.deleted.count}
    if rows:
        body["row_match"] = rows.told()
    configuration = None
    if plan.configuration and plan.configuration.target:
        configuration = restore_configuration(repository, request, plan.configuration)
        body |= {"documents": configuration.documents}
    return Restored(plan, database, files, configuration, 0.0, dry_run=False, rows=rows)


def _follow_ups(
    context: SiteContext,
    request: RestoreRequest,
    plan: RestorePlan,
    configuration: UnpackedExport | None,
    changed: RowSorter | None,
    say: Say,
) -> Iterator[FollowUp]:
    """Do what follows, and yield each when it is done. What visitors see comes last, after what makes it."""
    if request.import_configuration and configuration and plan.configuration:
        yield import_configuration(context, plan.configuration, configuration.directory, say=say)
    if changed is not None and context.restore.cdn is not None:
        yield tell_cdn(context.restore.cdn, changed)


def _told_after(follow_ups: Sequence[FollowUp]) -> dict[str, Any]:
    return {"follow_ups": [each.told() for each in follow_ups]} if follow_ups else {}


def _restore_database(
    context: SiteContext, repository: SiteRepository, request: RestoreRequest, plan: DatabasePlan, progress: Progress
) -> RestoredDump:
    access = context.database
    server = context.restore.server
    manifest = repository.manifest(plan.backup_id)
    stream = dump_stream_name(manifest.streams)
    made_by = major_of(manifest.details["tool_version"])
    tools = find_tools(access.tools_directory, at_least_major=max(server_major(server), made_by))
    with (
        scratch_folder(access.scratch_directory, context.site, "restore-database") as scratch,
        repository.open_stream(manifest, stream) as source,
    ):
        return restore_dump(
            source,
            server,
            tools,
            target_database=plan.database,
            directory=stream == DIRECTORY_STREAM,
            options=DumpOptions(
                jobs=request.jobs,
                properties=DatabaseProperties.from_details(manifest.details),
            ),
            dump_bytes=plan.plain_bytes,
            scratch=scratch,
            on_progress=lambda done, total: progress(StepDone("database", done, total or plan.plain_bytes)),
        )


def _restore_files(
    context: SiteContext,
    repository: SiteRepository,
    request: RestoreRequest,
    plan: FilesPlan,
    database: RestoredDump | None,
    changed: RowSorter | None,
    progress: Progress,
) -> tuple[FilesRestore, TargetRows | None]:
    target = open_target(context, request, create=True)
    with (
        scratch_folder(context.database.scratch_directory, context.site, "restore-rows") as scratch,
        RowSorter(scratch) as new,
    ):
        files = restore_library(
            context,
            repository,
            request,
            backup_id=plan.backup_id,
            members=plan.members,
            target=target,
            rehearse=False,
            progress=lambda objects, done: progress(
                StepDone("files", done, plan.plain_bytes, objects=objects, total_objects=plan.objects)
            ),
            on_new=(lambda key: new.add([key])) if request.remove_orphans else lambda key: None,
            on_change=lambda key: changed.add([key]) if changed is not None else None,
        )
        if database is None or not is_checked(context, request):
            return files, None
        return files, check_target(
            context,
            request,
            database=database.database,
            layout=_layout(repository, plan.members),
            target=target,
            new=new,
            scratch=scratch,
        )


def _layout(repository: SiteRepository, members: Sequence[str]) -> str | None:
    """Return the layout in which the rows of a point's dump name files."""
    for member in members:
        if (backup := repository.backup(member)).component is Component.DATABASE_DUMP:
            return repository.manifest_of(backup).details.get("references_layout")
    return None


def _told(plan: RestorePlan, request: RestoreRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "point": plan.point,
        "database": plan.database.target if plan.database else None,
        "files": plan.files.target if plan.files else None,
        "configuration": plan.configuration.target if plan.configuration else None,
        "plain_bytes": plan.plain_bytes,
    }
    if request.import_configuration and plan.configuration:
        body["import_command"] = plan.configuration.import_command
    if plan.files:
        body |= {"cdn": plan.files.cdn} if plan.files.cdn else {}
        body |= {"conflict": str(request.conflict), "delete_extra": request.delete_extra}
        body |= {"remove_orphans": request.remove_orphans}
        body |= {"below": request.below, "globs": list(request.globs), "keys": list(request.keys)[:_NAMED_KEYS]}
    return body
