"""What a server must offer for physical backups, asked as a role that may replicate and nothing else."""

import pytest

from lc2_backup_dagster.engines.postgres.base.capture import capture_base_backup
from lc2_backup_dagster.engines.postgres.base.preflight import check_scratch, slot_health
from lc2_backup_dagster.engines.postgres.base.wal_hold import hold_wal
from lc2_backup_dagster.engines.postgres.servers.facts import ServerFacts
from lc2_backup_dagster.engines.postgres.servers.preflight import check_server
from lc2_backup_dagster.model.errors import StorageFull, ToolTooOld
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster_tests.engines.postgres.asking import emptied, tools_of, until
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.engines.postgres.unpacked import run_program
from lc2_backup_dagster_tests.fixtures_postgres import backup_server, start_server


@pytest.fixture
def replicator(postgres):
    """The address of the shared server as a role with REPLICATION and LOGIN alone."""
    postgres.create_role("only_replicates", password="r", options="LOGIN REPLICATION")
    return postgres.server(user="only_replicates", password="r")


def physical_facts(server) -> ServerFacts:
    return check_server(server, None, physical=True, dump=False)


def test_replication_and_login_are_enough_for_facts_and_backup(replicator, postgres, tmp_path):
    facts = physical_facts(replicator)
    assert (facts.major, facts.summarize_wal, facts.page_bytes, facts.cluster_bytes) == (17, True, 8192, None)
    assert facts.summaries_from is not None
    assert facts.summaries_reach(facts.summaries_from)
    assert not facts.summaries_reach(Lsn(facts.summaries_from.value - 1, facts.summaries_from.timeline))
    assert not facts.summaries_reach(Lsn(facts.summaries_from.value, 9))
    assert facts.advice == (
        'this role may not see the size of tablespaces: GRANT pg_read_all_stats TO "only_replicates"',
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    progress = []
    streams = FileStreams(tmp_path)
    backup = capture_base_backup(
        replicator, write=streams, scratch=scratch, on_progress=lambda done, total: progress.append(total)
    )
    assert emptied(scratch)
    assert progress[-1] == pytest.approx(backup.tar_bytes, rel=0.9), "the server did not estimate the size"
    increment = capture_base_backup(
        replicator, parent_manifest=streams.path("backup_manifest"), write=FileStreams(tmp_path), scratch=scratch
    )
    assert increment.incremental_from == backup.start_lsn


def test_the_advised_grants_are_the_right_ones(replicator, postgres, make_database):
    database = make_database(postgres, "REVOKE EXECUTE ON FUNCTION pg_available_wal_summaries() FROM PUBLIC").database
    asked = replicator.on(database)
    facts = physical_facts(asked)
    assert (facts.summarized, facts.summaries_from, facts.summaries_reach(Lsn(1, 1))) == (None, None, None)
    assert len(facts.advice) == 2
    postgres.execute(*(advice.split(": ", 1)[1] for advice in facts.advice), database=database)
    try:
        facts = physical_facts(asked)
    finally:
        postgres.execute("REVOKE pg_read_all_stats FROM only_replicates")
    assert facts.advice == ()
    assert facts.summaries_from is not None
    assert facts.cluster_bytes > facts.database_bytes


def test_a_server_without_checksums_and_summaries_is_advised_not_refused(tmp_path):
    server = start_server(tmp_path / "server")
    try:
        server.stop()
        run_program("pg_checksums", "--disable", "--no-sync", "-D", server.data_directory, major=17)
        server._settings["summarize_wal"] = "off"
        server._settings["max_slot_wal_keep_size"] = "1GB"
        server.start()
        facts = physical_facts(backup_server(server))
        assert (facts.checksums_on, facts.summarize_wal, facts.slot_keeps_bytes) == (False, False, 1 << 30)
        assert facts.summaries_reach(Lsn(1, 1)) is None
        assert ["pg_checksums --enable" in facts.advice[0], "summarize_wal = on" in facts.advice[1]] == [True, True]
    finally:
        server.remove()


def test_the_health_of_a_slot_is_told_with_its_remedy(tmp_path):
    server = start_server(tmp_path / "server")
    try:
        address = backup_server(server)
        assert slot_health(address, "absent") is None
        with hold_wal(address) as hold:
            held = slot_health(address, hold.slot_name)
        assert (held.active, held.wal_status, held.safe_bytes, held.remedy) == (True, "reserved", None, None)

        server.execute("SELECT pg_create_physical_replication_slot('lonely', true)")
        lonely = slot_health(address, "lonely")
        assert (lonely.active, lonely.wal_status) == (False, "reserved")
        assert "start lc2-backup wal-receive" in lonely.remedy

        write_wal = ["SELECT pg_logical_emit_message(false, 'x', 'y'), pg_switch_wal()"] * 4
        server.execute(*write_wal)
        assert slot_health(address, "lonely").retained_bytes > 3 * 16 << 20

        server.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'", "SELECT pg_reload_conf()")
        until(lambda: (slot_health(address, "lonely").safe_bytes or 1) <= 0, what="the slot is in danger")
        assert "raise max_slot_wal_keep_size (now 32" in slot_health(address, "lonely").remedy

        def lost() -> bool:
            server.execute(write_wal[0], "CHECKPOINT")
            return slot_health(address, "lonely").wal_status == "lost"

        until(lost, what="the slot is lost")
        assert "pg_drop_replication_slot('lonely')" in slot_health(address, "lonely").remedy
    finally:
        server.remove()


def test_tools_older_than_the_server_are_refused(postgres_18):
    with pytest.raises(ToolTooOld, match="server is PostgreSQL 18.*are 17"):
        check_server(backup_server(postgres_18), tools_of(17), physical=True, dump=False)


def test_scratch_without_room_for_the_index_is_refused_before_the_backup(postgres, tmp_path):
    """The manifest of the parent says how long the new one will be."""
    huge = tmp_path / "backup_manifest"
    with huge.open("wb") as file:
        file.truncate(8 << 40)  # sparse
    check_scratch(tmp_path)
    with pytest.raises(StorageFull, match="manifest may need .*hint: free space"):
        check_scratch(tmp_path, parent_manifest=huge)
