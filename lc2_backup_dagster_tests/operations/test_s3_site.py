"""The whole road of a site whose stores are buckets: captured, bound, verified, restored, compared."""

from datetime import UTC, datetime

from lc2_backup_dagster.demo.compare import compare_databases, compare_stores
from lc2_backup_dagster.engines.files.manifest.entry import Copied
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files, file_entries
from lc2_backup_dagster.operations.restore.request import RestoreRequest
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster.operations.verify.verify import verify_backup
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import drop_database, open_window


def test_a_site_in_buckets_is_backed_up_verified_and_restored_to_identical_places(make_s3_site, postgres):
    opened = make_s3_site().open()
    context = opened.context
    hour, day = open_window(WindowLength.HOURLY), open_window(WindowLength.DAILY)
    capture_database(context, window=hour, asked_at=datetime.now(UTC), initiator=TESTER)
    capture_database_dump(context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)
    full = capture_site_files(context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)
    again = capture_site_files(context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)
    assert (full.backup.kind, again.backup.kind) == (BackupKind.FULL, BackupKind.INCREMENTAL)
    assert again.backup.summary["copied_bytes"] == 0
    point = bind_recovery_point(context, window=day, initiator=TESTER)
    assert point.backup.summary["dangling"] == 0

    repository = context.open_repository(False)
    with file_entries(repository, full.backup.backup_id) as entries:
        protections = {isinstance(entry.location, Copied) for entry in entries}
    assert protections == {True, False}
    for backup in (point.backup, *repository.backups(Component.DATABASE)):
        assert all(not each.damages for each in verify_backup(context, backup.backup_id))
    # What is no longer needed is gone: nobody mistakes a finished attempt for a living one.
    assert list(repository.store.list("heartbeats/")) == []

    try:
        restored = restore(
            context,
            RestoreRequest(point.backup.backup_id, target_database="tiny_from_s3"),
            now=datetime.now(UTC),
            initiator=TESTER,
        )
        found = compare_databases(postgres.server(opened.database.database), postgres.server("tiny_from_s3"))
        assert found.equal, found.text()
    finally:
        drop_database(postgres, "tiny_from_s3")
    found = compare_stores(
        opened.files_source,
        "",
        context.restore.open_files_target(None, restored.plan.files.prefix),
        "",
        ignore=lambda key: not context.files.is_selected(key),
    )
    assert found.equal, found.text()
    assert restored.files.written == full.backup.summary["objects"]
