"""A dump: portable, of one moment, with the rows that name files read in the same snapshot."""

import json
import shutil
import subprocess
from collections import namedtuple
from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.demo.compare import compare_databases
from lc2_backup_dagster.engines.postgres.dump.capture import DUMP_STREAM, GLOBALS_STREAM, REFERENCES_STREAM
from lc2_backup_dagster.engines.postgres.dump.directory import DIRECTORY_STREAM
from lc2_backup_dagster.engines.postgres.servers import tools
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools
from lc2_backup_dagster.model.errors import HookFailed, TargetNotEmpty, ToolTooOld
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.restore.request import RestoreRequest
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import (
    BACKUP_PASSWORD,
    content_of,
    databases_of,
    drop_database,
    nothing_left_on,
    open_window,
)

Usage = namedtuple("Usage", "total used free")


def capture(site):
    window = open_window(WindowLength.DAILY)
    return capture_database_dump(site.context, window=window, asked_at=datetime.now(UTC), initiator=TESTER)


def run_restore(site, backup_id, target):
    request = RestoreRequest(backup_id, target_database=target)
    return restore(site.context, request, now=datetime.now(UTC), initiator=TESTER)


def the_stream(backed_up, name: str) -> bytes:
    with backed_up.site.repository.open_stream(backed_up.dump.manifest, name) as reader:
        return reader.read()


def test_a_dump_fills_the_day_of_its_snapshot(backed_up):
    dump = backed_up.dump
    assert (dump.backup.component, dump.backup.kind, dump.backup.parent) == (
        Component.DATABASE_DUMP,
        BackupKind.DUMP,
        None,
    )
    moment = dump.manifest.moment
    assert moment.restorable_from == moment.restorable_until
    assert dump.backup.window == dump.window.key
    assert dump.moment in dump.window


def test_the_wal_carries_a_restore_point_of_the_dumps_moment(backed_up):
    details = backed_up.dump.manifest.details
    assert details["restore_point"] == f"lc2-{backed_up.dump.backup.backup_id}"
    assert details["restore_point_skipped"] is None


def test_a_plain_pg_restore_reads_it(backed_up, tmp_path):
    file = tmp_path / "dump.custom"
    file.write_bytes(the_stream(backed_up, DUMP_STREAM))
    listed = subprocess.run(
        [find_tools(at_least_major=17).pg_restore, "--list", str(file)], capture_output=True, text=True, check=True
    ).stdout
    assert "TABLE DATA public dlfileversion" in listed
    assert listed.count("\n") > backed_up.dump.manifest.details["tables"]


def test_roles_are_kept_without_their_passwords(backed_up):
    text = the_stream(backed_up, GLOBALS_STREAM).decode()
    assert "CREATE ROLE tiny_backup" in text
    assert "SCRAM-SHA-256" not in text
    assert BACKUP_PASSWORD not in text


def test_the_rows_that_name_files_are_read_in_the_order_of_their_keys(backed_up):
    rows = [json.loads(line) for line in the_stream(backed_up, REFERENCES_STREAM).splitlines()]
    assert [row["key"].encode() for row in rows] == sorted(row["key"].encode() for row in rows)
    with backed_up.site.database.connect() as connection:
        count = connection.execute("SELECT count(*) FROM dlfileversion").fetchone()
    assert (len(rows),) == count
    assert backed_up.dump.manifest.details["references"] == len(rows)
    assert {key for key in backed_up.changes.added if "/0/" not in key} <= {row["key"] for row in rows}


def test_a_dump_of_several_jobs_goes_through_scratch_and_restores(make_site, postgres, monkeypatch):
    site = make_site(own=True)
    site = site.changed(site.root, database__dumpJobs=2)
    captured = capture(site)
    assert DIRECTORY_STREAM in captured.manifest.streams
    assert DUMP_STREAM not in captured.manifest.streams
    assert (captured.manifest.details["jobs"], captured.manifest.details["jobs_skipped"]) == (2, None)
    assert content_of(site.scratch) == {}
    try:
        restored = run_restore(site, captured.backup.backup_id, "tiny_of_jobs")
        assert restored.database.tables == captured.manifest.details["tables"]
        found = compare_databases(site.database, postgres.server("tiny_of_jobs"))
        assert found.equal, found.text()
        assert content_of(site.scratch) == {}
    finally:
        drop_database(postgres, "tiny_of_jobs")
    # pg_restore cannot stream this form: without room the plan says so, and nothing is begun.
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**9, 0, 1000))
    with pytest.raises(TargetNotEmpty, match="has 1000 bytes free, the dump needs"):
        run_restore(site, captured.backup.backup_id, "tiny_without_room")
    assert "tiny_without_room" not in databases_of(postgres)
    nothing_left_on(postgres)


def test_tools_older_than_the_server_are_refused_before_anything_is_written(make_site, tmp_path, monkeypatch):
    """L-29: an old ``pg_dump`` beside a newer server."""
    old = tmp_path / "old"
    old.mkdir()
    for name in ("pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup"):
        (old / name).write_text(
            f"#!/bin/sh\n[ \"$1\" = --version ] || touch {tmp_path}/ran\necho '{name} (PostgreSQL) 9.2.24'\n"
        )
        (old / name).chmod(0o755)
    site = make_site(own=True)
    site = site.changed(site.root, database__toolsDirectory=str(old))
    monkeypatch.setattr(tools, "wheel_bin_directories", list)
    monkeypatch.setattr(tools, "_places", lambda directory: [directory])
    with pytest.raises(ToolTooOld, match=r"server is PostgreSQL 17, the newest tools found are 9\.2\.24"):
        capture(site)
    assert not (tmp_path / "ran").exists()
    assert [record.type for record in site.repository.log.records()] == []


def test_a_hook_of_the_site_file_runs_before_the_dump_and_a_failed_one_begins_none(make_site, tmp_path):
    site = make_site(own=True)

    def with_command(*command: str):
        hook = {"name": "quiesce", "command": list(command), "before": "database_dump"}
        return site.changed(site.root, hooks=[hook])

    with pytest.raises(HookFailed, match=r"hook quiesce ended with exit code 3; its output ends: not now"):
        capture(with_command("/bin/sh", "-c", "echo not now; exit 3"))
    assert [record.type for record in site.repository.log.records()] == []
    assert capture(with_command("touch", str(tmp_path / "ran"))).backup.kind is BackupKind.DUMP
    assert (tmp_path / "ran").exists()
