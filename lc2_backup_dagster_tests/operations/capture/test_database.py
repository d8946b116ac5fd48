"""A base backup: what it holds, what it leaves behind, and what its window is."""

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.checks import chain_complete, checksums, encrypted
from lc2_backup_dagster.operations.verify.chain_objects import look_at_chain
from lc2_backup_dagster_tests.operations.tiny_site import content_of, nothing_left_on


def test_a_base_backup_is_full_and_fills_the_hour_of_its_stop_position(backed_up):
    base = backed_up.base
    assert (base.backup.component, base.backup.kind, base.backup.parent) == (Component.DATABASE, BackupKind.FULL, None)
    assert base.backup.window == base.window.key
    assert base.moment in base.window
    assert from_text(base.manifest.started) <= from_text(base.manifest.finished) <= from_text(base.backup.committed_at)


def test_it_holds_the_wal_that_makes_it_consistent(backed_up):
    manifest = backed_up.base.manifest
    details = manifest.details
    start, stop = (Lsn.parse(details[name], timeline=details["timeline"]) for name in ("start_lsn", "stop_lsn"))
    assert start < stop
    assert manifest.moment.lsn == details["stop_lsn"]
    assert details["wal_segments"]
    assert chain_complete(backed_up.base, look_at_chain(backed_up.site.repository, backed_up.base.backup)).passed


def test_its_tar_is_cut_into_parts_and_its_index_is_a_stream_of_its_own(backed_up):
    manifest = backed_up.base.manifest
    assert sorted(manifest.streams) == ["backup_manifest", "base.index", "base.tar"]
    assert len(manifest.streams["base.tar"]) > 3
    assert manifest.plain_bytes > manifest.stored_bytes > 0
    assert backed_up.base.first_byte_seconds is not None
    assert checksums(backed_up.base, read_back_all=True).facts["parts"] == sum(map(len, manifest.streams.values()))
    assert encrypted(backed_up.base, required=True).passed


def test_captures_leave_nothing_on_the_server_in_scratch_or_among_heartbeats(backed_up, postgres):
    nothing_left_on(postgres)
    assert content_of(backed_up.site.scratch) == {}
    assert not (backed_up.site.bucket / "heartbeats").exists()


def test_nothing_readable_of_the_database_lies_in_the_bucket(backed_up):
    with backed_up.site.database.connect() as connection:
        row = connection.execute("SELECT emailaddress FROM user_ ORDER BY userid LIMIT 1").fetchone()
    address = row[0].encode()
    assert b"@" in address
    stored = content_of(backed_up.site.bucket)
    assert not [name for name, body in stored.items() if address in body and not name.startswith("files/")]
