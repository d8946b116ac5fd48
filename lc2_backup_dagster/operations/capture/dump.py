"""Dump the database: portable, and the moment that the whole recovery point is bound to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from lc2_backup_dagster.engines.hooks.ports import Say
from lc2_backup_dagster.engines.postgres.dump.capture import Dump, capture_dump
from lc2_backup_dagster.engines.postgres.servers.preflight import server_major
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tools import Tools, find_tools
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.frame import CaptureFrame
from lc2_backup_dagster.operations.capture.hooks import run_hooks_before, silent
from lc2_backup_dagster.operations.capture.past_windows import reach_into, server_as_of
from lc2_backup_dagster.operations.capture.reference_layout import ReferenceQuery, reference_query
from lc2_backup_dagster.operations.capture.windows import is_past
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.attempt import Attempt, ManifestDraft
from lc2_backup_dagster.repository.record import Initiator

Progress = Callable[[int, int | None], None]


def capture_database_dump(
    context: SiteContext,
    *,
    window: Window,
    asked_at: datetime,
    initiator: Initiator,
    progress: Progress = lambda done, total: None,
    say: Say = silent,
) -> Captured:
    """Dump the database and, in the same snapshot, the rows that name files; commit both as one backup.

    A past day is dumped from a private server that base backup and archived WAL are restored to, as of the latest
    moment of that day. The site's hooks for dumps run before anything is begun, unless the window is past.

    Raises:
        WindowNotRestorable: nothing of a past window can be restored, or the snapshot of a present one was taken
            outside it (the dump is kept then).
        HookFailed: a hook failed; nothing was begun.
        BackupError: everything engine and repository raise; nothing half-done is listed.
    """
    if is_past(window, asked_at=asked_at):
        return _rebuild(context, window=window, initiator=initiator, progress=progress)
    frame = CaptureFrame.of_the_present(context, Component.DATABASE_DUMP, window=window, asked_at=asked_at)
    server = context.database.server
    # Before the run: a client older than the server is refused, and nothing is written (L-29).
    tools = _tools_for(context, server)
    run_hooks_before(Component.DATABASE_DUMP, context, initiator=initiator, say=say)
    with frame.repository.begin(Component.DATABASE_DUMP, window=window.key, initiator=initiator) as attempt:
        references = reference_query(context, server)
        dump = _dump(context, frame, attempt, server=server, tools=tools, references=references, progress=progress)
        draft = _draft(dump, server.database, references)
        return frame.commit(attempt, draft, decides=dump.moment.restorable_until)


def _tools_for(context: SiteContext, server: Server) -> Tools:
    return find_tools(context.database.tools_directory, at_least_major=server_major(server))


def _dump(
    context: SiteContext,
    frame: CaptureFrame,
    attempt: Attempt,
    *,
    server: Server,
    tools: Tools,
    references: ReferenceQuery,
    progress: Progress,
) -> Dump:
    access = context.database
    with scratch_folder(access.scratch_directory, context.site, "dump") as scratch:
        return capture_dump(
            server,
            tools,
            exclude_table_data=access.exclude_table_data,
            references_sql=references.sql,
            jobs=access.dump_jobs,
            scratch=scratch,
            backup_id=attempt.backup_id,
            write=frame.writer(attempt),
            on_progress=progress,
        )


def _rebuild(context: SiteContext, *, window: Window, initiator: Initiator, progress: Progress) -> Captured:
    """Restore to the latest moment of a past window on a private server, and dump there (L-32)."""
    frame = CaptureFrame.of_a_window(context, Component.DATABASE_DUMP, window=window)
    reach = reach_into(frame)
    base = reach.base.backup_id
    with (
        frame.repository.begin(
            Component.DATABASE_DUMP, window=window.key, initiator=initiator, bases=[base]
        ) as attempt,
        server_as_of(context, reach, progress=progress) as server,
    ):
        restored = server.on(context.database.server.database)
        tools = _tools_for(context, restored)
        references = reference_query(context, restored)
        dump = _dump(context, frame, attempt, server=restored, tools=tools, references=references, progress=progress)
        rebuilt = replace(
            dump,
            moment=replace(reach.moment, restorable_from=reach.moment.restorable_until),
            # It stands in the WAL of the private server only, where no restore finds it.
            restore_point=None,
            restore_point_skipped="dumped from a restored server",
        )
        draft = _draft(rebuilt, context.database.server.database, references, rebuilt_from=base)
        return frame.commit(attempt, draft, decides=rebuilt.moment.restorable_until)


def _draft(dump: Dump, database: str, references: ReferenceQuery, *, rebuilt_from: str | None = None) -> ManifestDraft:
    return ManifestDraft(
        kind=BackupKind.DUMP,
        moment=dump.moment,
        window=None,
        strategy=_strategy(dump, rebuilt_from),
        streams=dump.streams,
        details={
            "database": database,
            "server_version": dump.server_version,
            "tool_version": dump.tool_version,
            "rebuilt_from": rebuilt_from,
            "restore_point": dump.restore_point,
            "restore_point_skipped": dump.restore_point_skipped,
            "globals_skipped": dump.globals_skipped,
            "references": dump.references,
            "references_layout": references.layout,
            "references_layout_reason": references.reason,
            "tables": dump.tables,
            "estimated_rows": dump.estimated_rows,
            "large_objects": dump.large_objects,
            "database_bytes": dump.database_bytes,
            **dump.properties.to_details(),
            "system_identifier": dump.system_identifier,
            "exclude_table_data": list(dump.exclude_table_data),
            "jobs": dump.jobs,
            "jobs_skipped": dump.jobs_skipped,
        },
        summary={
            "server_version": dump.server_version,
            "tool_version": dump.tool_version,
            "tables": dump.tables,
            "database_bytes": dump.database_bytes,
        },
    )


def _strategy(dump: Dump, rebuilt_from: str | None) -> tuple[str, str]:
    if rebuilt_from is None:
        return "dump", "a portable dump of each day, as the site's recovery points need it"
    moment = to_text(dump.moment.restorable_until)
    return (
        "dump",
        f"a past day: {rebuilt_from} and archived WAL were restored to {moment} on a private server, dumped there",
    )
