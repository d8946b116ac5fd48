"""A dump: portable, of one moment, with the rows that name files read in the same snapshot."""

import json
import subprocess

from lc2_backup_dagster.engines.postgres.dump import DUMP_STREAM, GLOBALS_STREAM, REFERENCES_STREAM
from lc2_backup_dagster.engines.postgres.tools import find_tools
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster_tests.operations.tiny_site import BACKUP_PASSWORD


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
