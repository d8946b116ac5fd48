"""A base backup becomes a server again: in a new directory, started and asked; never over anything."""

import pytest

from lc2_backup_dagster.engines.postgres.servers.scratch import start_and_ask
from lc2_backup_dagster.model.errors import ConfigurationError, IntegrityError, PartCorrupt, TargetNotEmpty
from lc2_backup_dagster.operations.restore.server import facts, plan_server_restore, restore_server
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster.repository.sealing import TinkSealer
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import picture_of


@pytest.fixture
def site(backed_up, tmp_path):
    return backed_up.site.copied(tmp_path)


def test_a_base_backup_starts_and_has_the_sites_rows(site, backed_up, place):
    restored = restore_server(
        site.context, backed_up.base.backup.backup_id, target_directory=place / "data", start=True, initiator=TESTER
    )
    assert "tiny_backed_up" in restored.databases
    assert restored.base.major == 17
    assert (restored.recovered.end.timeline, restored.recovered.timeline) == (1, 2)
    [(users,)] = start_and_ask(place / "data", "SELECT count(*) FROM user_", database="tiny_backed_up")
    with site.database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM user_").fetchone() == (users,)
    assert facts(restored)["directory"] == str(place / "data")
    record = list(site.repository.log.records())[-1]
    assert (record.type, record.body["result"]) == (RecordType.RESTORE, "restored")
    assert record.body["database"] == str(place / "data")


def test_a_directory_that_holds_something_is_refused_and_untouched(site, backed_up, place):
    (place / "precious").write_text("mine")
    with pytest.raises(TargetNotEmpty, match="is not empty"):
        restore_server(
            site.context, backed_up.base.backup.backup_id, target_directory=place, start=False, initiator=TESTER
        )
    assert list(picture_of(place)) == ["precious"]


def test_the_plan_tells_blockers_and_changes_nothing(site, backed_up, place):
    base = backed_up.base
    before = picture_of(site.bucket)
    plan = plan_server_restore(site.context, base.backup.backup_id, target_directory=place / "data", start=True)
    assert plan.blockers == ()
    assert plan.parts == sum(len(base.manifest.streams[name]) for name in ("base.tar", "backup_manifest"))
    assert plan.moment == base.manifest.moment.restorable_until
    (place / "data").write_text("a file")
    plan = plan_server_restore(site.context, base.backup.backup_id, target_directory=place / "data", start=True)
    assert ["is not a directory" in blocker for blocker in plan.blockers] == [True]
    assert picture_of(site.bucket) == before
    assert list(picture_of(place)) == ["data"]


def test_a_dump_is_not_a_base_backup(site, backed_up, place):
    for verb in (
        lambda: restore_server(
            site.context,
            backed_up.dump.backup.backup_id,
            target_directory=place / "data",
            start=False,
            initiator=TESTER,
        ),
        lambda: plan_server_restore(
            site.context, backed_up.dump.backup.backup_id, target_directory=place / "data", start=False
        ),
    ):
        with pytest.raises(ConfigurationError, match="not a base backup"):
            verb()
    assert picture_of(place) == {}


def test_a_damaged_part_ends_the_restore_and_removes_what_was_written(site, backed_up, place):
    parts = site.bucket / "backups/retail/liferay/database" / backed_up.base.backup.backup_id / "base.tar"
    last = sorted(parts.iterdir())[-1]
    body = bytearray(last.read_bytes())
    body[-1] ^= 128
    last.unlink()
    last.write_bytes(body)
    with pytest.raises(PartCorrupt, match=f"base.tar/{last.name}"):
        restore_server(
            site.context, backed_up.base.backup.backup_id, target_directory=place / "data", start=True, initiator=TESTER
        )
    assert not (place / "data").exists()
    assert list(site.repository.log.records())[-1].body["result"] == "failed"


@pytest.mark.parametrize("range_bytes", [100_000, 1 << 30])
def test_a_part_that_decodes_to_other_bytes_is_caught_by_postgresqls_own_checksum(
    range_bytes, site, backed_up, place, monkeypatch
):
    """The SHA-256 of plain parts is not computed again on a restore: the server's checksum of each file stands for it.

    Stored bytes that fit the manifest and decode to others need a forged manifest; here the decoding itself is wrong.
    """
    monkeypatch.setattr("lc2_backup_dagster.engines.postgres.restore.base.RANGE_BYTES", range_bytes)
    unseal = TinkSealer.unseal

    def unseal_wrongly(self, stored, *, key, key_id):
        plain = unseal(self, stored, key=key, key_id=key_id)
        return plain.replace(b"pg_class\0", b"pg_claSs\0") if "/base.tar/" in key else plain

    monkeypatch.setattr(TinkSealer, "unseal", unseal_wrongly)
    with pytest.raises(IntegrityError, match="is not what its manifest promises"):
        restore_server(
            site.context, backed_up.base.backup.backup_id, target_directory=place / "data", start=True, initiator=TESTER
        )
    assert not (place / "data").exists()
