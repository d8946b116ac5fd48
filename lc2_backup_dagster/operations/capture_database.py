"""Capture the database physically: a base backup that starts by itself."""

import time
from collections.abc import Callable
from datetime import datetime

from lc2_backup_dagster.engines.postgres.backup_manifest import WalRange, wal_segment_names
from lc2_backup_dagster.engines.postgres.basebackup import BaseBackup, capture_base_backup
from lc2_backup_dagster.engines.postgres.preflight import server_major
from lc2_backup_dagster.engines.postgres.tools import find_tools
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.captured import Captured, moments
from lc2_backup_dagster.operations.first_byte import FirstByte
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.windows import require_filled, require_open
from lc2_backup_dagster.repository.attempt import ManifestDraft
from lc2_backup_dagster.repository.record import Initiator

_STRATEGY = ("full", "a full base backup: block incrementals and archived WAL are not set up for this site")


def capture_database(
    context: SiteContext,
    *,
    window: Window,
    asked_at: datetime,
    initiator: Initiator,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Captured:
    """Take a full base backup and commit it as the backup of the window its stop position lies in.

    Raises:
        WindowNotRestorable: the window is past, or the backup ended outside it (it is kept then).
        BackupError: everything engine and repository raise; nothing half-done is listed.
    """
    what = f"{context.site}/{Component.DATABASE}"
    first_byte = FirstByte(time.monotonic)
    repository = context.open_repository(True)
    earlier = repository.backups(Component.DATABASE)
    require_open(window, asked_at=asked_at, what=what, restorable=moments(earlier))
    access = context.database
    tools = find_tools(access.tools_directory, at_least_major=server_major(access.replication))
    with (
        repository.begin(Component.DATABASE, window=window.key, initiator=initiator) as attempt,
        scratch_folder(access.scratch_directory, context.site, str(Component.DATABASE)) as scratch,
    ):
        base = capture_base_backup(
            access.replication,
            tools,
            write=lambda name, source: attempt.write_stream(name, source, on_part=first_byte.stored),
            scratch=scratch,
            on_progress=progress,
        )
        actual = Window.around(base.moment.restorable_until, length=WindowLength.HOURLY)
        backup = attempt.commit(_draft(base, actual))
    require_filled(window, base.moment.restorable_until, what=what, backup_id=backup.backup_id, actual=actual)
    return Captured.of(attempt, backup, actual, earlier=earlier, first_byte_seconds=first_byte.seconds)


def _draft(base: BaseBackup, window: Window) -> ManifestDraft:
    return ManifestDraft(
        kind=BackupKind.FULL,
        moment=base.moment,
        window=window.key,
        strategy=_STRATEGY,
        streams=base.streams,
        details={
            "server_version": base.server_version,
            "tool_version": base.tool_version,
            "system_identifier": base.system_identifier,
            "timeline": base.timeline,
            "start_lsn": str(base.start_lsn),
            "stop_lsn": str(base.stop_lsn),
            "wal_segment_bytes": base.wal_segment_bytes,
            "wal_segments": list(
                wal_segment_names(WalRange(base.start_lsn, base.stop_lsn), segment_bytes=base.wal_segment_bytes)
            ),
            "data_checksums": base.checksums_on,
            "files": base.files,
            "backup_label": base.backup_label,
            "backup_manifest_sha256": base.manifest_sha256,
        },
        summary={
            "server_version": base.server_version,
            "tool_version": base.tool_version,
            "system_identifier": base.system_identifier,
            "objects": base.files,
        },
    )
