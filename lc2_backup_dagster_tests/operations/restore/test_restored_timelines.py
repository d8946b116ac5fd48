"""A restored server goes on along a timeline of its own, and nothing but the asked recovery happens to it."""

import shutil
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.servers.account import account_owning
from lc2_backup_dagster.engines.postgres.servers.postmaster import Postmaster
from lc2_backup_dagster.engines.postgres.servers.scratch import start_and_ask
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import ToolFailed
from lc2_backup_dagster.model.recovery_target import IMMEDIATE, RecoveryTarget
from lc2_backup_dagster.operations.restore import physical as restore_physical
from lc2_backup_dagster.operations.restore.server import restore_server
from lc2_backup_dagster.operations.restore.taken_timelines import NewTimelineSource, TakenTimelines
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.fixtures_postgres import start_server
from lc2_backup_dagster_tests.operations.recorded_history import DATABASE, RecordedHistory
from lc2_backup_dagster_tests.operations.tiny_site import until

ROWS = "SELECT n FROM log ORDER BY n"
TIMELINE = "SELECT timeline_id FROM pg_control_checkpoint()"


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Row 1, backup, 2, promotion, 3, promotion, 4; the settings of the cluster would steer any recovery elsewhere."""
    server = start_server(tmp_path_factory.mktemp("history"))
    try:
        recorded = RecordedHistory(server, tmp_path_factory.mktemp("site"))
        recorded.ended = server.place / "recovery-ended"
        recorded.commit()
        server.execute("ALTER SYSTEM SET recovery_target = 'immediate'")
        server.execute(f"ALTER SYSTEM SET recovery_end_command = 'touch {recorded.ended}'")
        recorded.first = recorded.back_up().backup
        for setting in ("recovery_target", "recovery_end_command"):
            server.execute(f"ALTER SYSTEM RESET {setting}")
        recorded.commit()
        for _ in range(2):
            recorded.archive()
            recorded.promote()
            recorded.commit()
        recorded.archive()
        yield recorded
    finally:
        server.remove()


def as_it_is(history: RecordedHistory, data: Path) -> Postmaster:
    """Return the server of a restored directory with its own configuration."""
    return Postmaster(
        bin_directory=history.server.bin_directory,
        data_directory=data,
        log_file=data.parent / "server.log",
        settings={"listen_addresses": "", "unix_socket_directories": str(data.parent), "port": "5432"},
        account=account_owning(data),
    )


def restored(history: RecordedHistory, place: Path, target: RecoveryTarget, **options: object):
    return restore_server(
        history.site.context, history.first.backup_id, target_directory=place / "data", target=target,
        initiator=TESTER, **options,
    )  # fmt: skip


def test_the_backups_own_end_is_followed_by_a_timeline_that_nobody_has(history, place):
    result = restored(history, place, IMMEDIATE)
    assert (result.recovered.end.timeline, result.recovered.timeline) == (1, 4)
    assert DATABASE in result.databases
    assert start_and_ask(place / "data", ROWS, database=DATABASE, fsync=False) == [(1,)]
    assert start_and_ask(place / "data", TIMELINE, fsync=False) == [(4,)]
    assert not (place / "data/recovery.signal").exists()


def test_the_first_start_of_a_directory_that_was_not_started_does_the_same(history, place):
    result = restored(history, place, IMMEDIATE, start=False)
    assert (result.recovered, result.databases) == (None, ())
    server = as_it_is(history, place / "data")
    try:
        server.start()
        address = Server(str(place), 5432, history.server.server().user, history.server.server().password, DATABASE)

        def ask(query: str):
            with address.connect() as connection:
                return connection.execute(query.encode()).fetchall()

        until(lambda: ask("SELECT pg_is_in_recovery()") == [(False,)], what="the first start has ended its recovery")
        assert ask(ROWS) == [(1,)]
        assert ask("SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)") == [("00000004",)]
        assert ask("SHOW archive_mode") == [("off",)]
    finally:
        server.stop()
    assert not history.ended.exists()


def test_a_timeline_without_an_archived_history_is_taken_all_the_same(history, monkeypatch):
    [system] = {str(history.first.summary["system_identifier"])}
    taken = TakenTimelines(history.site.repository, system)
    archive = history.site.repository.wal(system)
    assert taken.newest == 3
    real = type(archive).history
    monkeypatch.setattr(type(archive), "history", lambda self, number: None if number == 2 else real(self, number))
    source = NewTimelineSource(taken, after=1)
    assert source.fetch("00000002.history").startswith(b"# timeline 2 is taken")
    assert source.fetch("00000003.history") == archive.history(3)
    assert source.fetch("00000004.history") is None
    assert source.fetch("000000010000000000000001") is None
    assert list(taken.histories(after=1)) == [2, 3]
    # On the way that is followed only what is archived counts.
    assert NewTimelineSource(taken, after=2).fetch("00000002.history") is None


def test_settings_of_the_restored_cluster_do_not_steer_the_recovery(history, place):
    second = history.events[1]
    for folder, target, expected in (
        ("latest", RecoveryTarget.parse("latest"), [1, 2, 3, 4]),
        ("time", RecoveryTarget.parse("time", to_text(second.time)), [1, 2]),
    ):
        (place / folder).mkdir(mode=0o755)
        restored(history, place / folder, target)
        rows = start_and_ask(place / folder / "data", ROWS, database=DATABASE, fsync=False)
        assert [n for (n,) in rows] == expected
        assert "recovery_target = 'immediate'" in (place / folder / "data/postgresql.auto.conf").read_text()
    assert not history.ended.exists()


@pytest.mark.parametrize("target", [IMMEDIATE, RecoveryTarget.parse("latest")])
def test_a_restore_that_is_killed_before_its_recovery_leaves_what_no_server_starts_on(
    target, history, place, monkeypatch
):
    said: list[str] = []

    def killed(directory: Path, *arguments: object, **options: object):
        copy = place / "as-killed"
        shutil.copytree(directory, copy, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            shutil.chown(path, directory.owner(), directory.group())
        server = as_it_is(history, copy)
        try:
            with pytest.raises(ToolFailed) as refused:
                server.start()
        finally:
            server.stop()
        said.append(refused.value.message)
        assert "archive_mode = 'off'" in (copy / "postgresql.auto.conf").read_text()
        raise ToolFailed("killed")

    monkeypatch.setattr(restore_physical, "recover", killed)
    with pytest.raises(ToolFailed, match="killed"):
        restored(history, place, target)
    [message] = said
    assert 'must specify "restore_command" when standby mode is not enabled' in message
    assert not (place / "data").exists()
