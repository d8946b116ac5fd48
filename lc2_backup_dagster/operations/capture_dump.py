"""Dump the database: portable, and the moment that the whole recovery point is bound to."""

import time
from collections.abc import Callable
from datetime import datetime

from lc2_backup_dagster.engines.postgres.dump import Dump, capture_dump
from lc2_backup_dagster.engines.postgres.preflight import server_major
from lc2_backup_dagster.engines.postgres.tools import find_tools
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.captured import Captured, moments
from lc2_backup_dagster.operations.first_byte import FirstByte
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.windows import require_filled, require_open
from lc2_backup_dagster.repository.attempt import ManifestDraft
from lc2_backup_dagster.repository.record import Initiator

_STRATEGY = ("dump", "a portable dump of each day, as the site's recovery points need it")


def capture_database_dump(
    context: SiteContext,
    *,
    window: Window,
    asked_at: datetime,
    initiator: Initiator,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Captured:
    """Dump the database and, in the same snapshot, the rows that name files; commit both as one backup.

    Raises:
        WindowNotRestorable: the window is past, or the snapshot was taken outside it (the dump is kept then).
        BackupError: everything engine and repository raise; nothing half-done is listed.
    """
    what = f"{context.site}/{Component.DATABASE_DUMP}"
    first_byte = FirstByte(time.monotonic)
    repository = context.open_repository(True)
    earlier = repository.backups(Component.DATABASE_DUMP)
    require_open(window, asked_at=asked_at, what=what, restorable=moments(earlier))
    access = context.database
    tools = find_tools(access.tools_directory, at_least_major=server_major(access.server))
    with repository.begin(Component.DATABASE_DUMP, window=window.key, initiator=initiator) as attempt:
        dump = capture_dump(
            access.server,
            tools,
            exclude_table_data=access.exclude_table_data,
            references_sql=context.application.file_reference_sql,
            backup_id=attempt.backup_id,
            write=lambda name, source: attempt.write_stream(name, source, on_part=first_byte.stored),
            on_progress=progress,
        )
        actual = Window.around(dump.moment.restorable_until, length=WindowLength.DAILY)
        backup = attempt.commit(_draft(dump, actual, access.server.database))
    require_filled(window, dump.moment.restorable_until, what=what, backup_id=backup.backup_id, actual=actual)
    return Captured.of(attempt, backup, actual, earlier=earlier, first_byte_seconds=first_byte.seconds)


def _draft(dump: Dump, window: Window, database: str) -> ManifestDraft:
    return ManifestDraft(
        kind=BackupKind.DUMP,
        moment=dump.moment,
        window=window.key,
        strategy=_STRATEGY,
        streams=dump.streams,
        details={
            "database": database,
            "server_version": dump.server_version,
            "tool_version": dump.tool_version,
            "restore_point": dump.restore_point,
            "restore_point_skipped": dump.restore_point_skipped,
            "globals_skipped": dump.globals_skipped,
            "references": dump.references,
            "tables": dump.tables,
            "estimated_rows": dump.estimated_rows,
            "large_objects": dump.large_objects,
            "database_bytes": dump.database_bytes,
            "encoding": dump.encoding,
            "collate": dump.collate,
            "ctype": dump.ctype,
            "system_identifier": dump.system_identifier,
            "exclude_table_data": list(dump.exclude_table_data),
        },
        summary={
            "server_version": dump.server_version,
            "tool_version": dump.tool_version,
            "tables": dump.tables,
            "database_bytes": dump.database_bytes,
        },
    )
