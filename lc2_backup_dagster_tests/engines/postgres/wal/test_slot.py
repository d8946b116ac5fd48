"""The receiver's slot: who uses it, what it keeps, when it is in danger, and what is done when it was lost."""

import pytest

from lc2_backup_dagster.engines.postgres.wal.slot import SlotHealth, alarms, read_slot
from lc2_backup_dagster.model.errors import ComponentBusy, ConfigurationError, SlotLost
from lc2_backup_dagster.repository.wal.contiguous import contiguous
from lc2_backup_dagster.repository.wal.timelines import timeline_path
from lc2_backup_dagster_tests.engines.postgres.receiving import (
    SEGMENT,
    SLOT,
    Receiving,
    archive_of,
    archived_until,
    asked,
    confirmed,
    drop_slot,
    flushed,
    receiving,
    wait_for,
    write,
)
from lc2_backup_dagster_tests.fixtures_postgres import backup_server


def test_a_second_receiver_is_refused_and_told_who_is_there(server, repository):
    with receiving(server, repository) as first:
        wait_for(lambda: first.noticed("receiving WAL"), "the first receives")
        second = Receiving(backup_server(server), repository, busy_seconds=0.5).start()
        error = second.failed()
    assert isinstance(error, ComponentBusy)
    assert f"'{SLOT}'" in error.message
    assert "in use by process " in error.message
    assert "lc2-backup" in error.message


def test_a_slot_that_a_person_made_without_reserved_wal_begins_where_the_server_is(server, repository):
    server.execute(f"SELECT pg_create_physical_replication_slot('{SLOT}')")
    with receiving(server, repository):
        write(server, 0.1)
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")


def test_a_slot_of_logical_replication_is_refused(server):
    """Making a real one needs wal_level=logical and a restart; the answer's row is what matters."""

    class Answers:
        def execute(self, *arguments):
            return self

        def fetchone(self):
            return ("logical", None, 1, "reserved", None, 0, None, None, None)

    with pytest.raises(ConfigurationError, match="is logical"):
        read_slot(Answers(), SLOT, server=backup_server(server))


@pytest.mark.parametrize(
    ("wal_status", "lag", "found"),
    [
        ("reserved", 10, []),
        ("extended", 1000, []),
        ("extended", 1001, ["slot lag"]),
        ("unreserved", 10, ["slot unreserved:"]),
        ("lost", 5000, ["slot lost:", "slot lag"]),
        (None, 0, []),
    ],
)
def test_a_slot_that_is_in_danger_is_an_alarm(wal_status, lag, found):
    health = SlotHealth(1, wal_status, None, lag, None)
    assert [" ".join(each.split()[:2]) for each in alarms(health, lag_alarm_bytes=1000)] == found


def archived_once(server, repository) -> int:
    """Archive what there is; return the end."""
    with receiving(server, repository):
        write(server, 0.2)
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    return end


def move_on(server) -> None:
    """Write a few segments, and let checkpoints remove what no slot keeps, as soon as it is summarized."""
    there = asked(server, "SELECT pg_walfile_name(pg_current_wal_lsn())")
    for _ in range(4):
        write(server, 0.2)
        server.execute("SELECT pg_switch_wal()")

    def removed() -> bool:
        server.execute("CHECKPOINT")
        return not (server.data_directory / "pg_wal" / there).exists()

    wait_for(removed, "the server has removed old WAL")


@pytest.fixture
def short_of_wal(server):
    """A server that keeps hardly any WAL by itself."""
    server.execute(
        "ALTER SYSTEM SET max_wal_size = '32MB'", "ALTER SYSTEM SET min_wal_size = '32MB'", "SELECT pg_reload_conf()"
    )
    yield server
    server.execute("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")


def test_a_gap_is_refused_once_recorded_and_named_and_then_gone_over(short_of_wal, repository):
    server = short_of_wal
    end = archived_once(server, repository)
    drop_slot(server)  # somebody did
    move_on(server)

    error = Receiving(backup_server(server), repository).start().failed()
    assert isinstance(error, SlotLost)
    assert "take a new full backup" in error.hint
    archive = archive_of(server, repository)
    (gap,) = archive.gaps()
    assert error.attributes["gap"] == gap
    assert gap.from_lsn <= end < gap.until_lsn

    with receiving(server, repository) as again:
        wait_for(lambda: again.noticed("is missing for ever, as recorded"), "it goes on behind the gap")
        write(server, 0.2)
        behind = flushed(server)
        wait_for(lambda: confirmed(server) >= behind, "everything is confirmed")
    found = contiguous({1: archive.stored(1)}, timeline_path(1, None), start=end, segment_bytes=SEGMENT)
    assert found.gap is not None
    assert found.end <= gap.until_lsn
    assert archive.gaps() == [gap]


def test_wal_that_the_server_still_has_leaves_no_gap(server, repository):
    """The slot was dropped and made anew further on, and nothing was removed meanwhile."""
    archived_once(server, repository)
    # A slot of somebody else keeps the WAL: the checkpointer may begin before it has read new settings.
    server.execute("SELECT pg_create_physical_replication_slot('somebody_else', true)")
    try:
        drop_slot(server)
        for _ in range(2):
            write(server, 0.1)
            server.execute("SELECT pg_switch_wal()")
        server.execute("CHECKPOINT")
        with receiving(server, repository):
            end = flushed(server)
            wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    finally:
        drop_slot(server, "somebody_else")
    assert archived_until(archive_of(server, repository)) >= end


def test_a_last_whole_segment_that_the_server_no_longer_has_is_not_missed(short_of_wal, repository):
    """It would be compared once more; the slot keeps nothing before its own segment."""
    server = short_of_wal
    archived_once(server, repository)
    server.execute("SELECT pg_switch_wal()")
    archived_once(server, repository)
    last = [each.name for each in archive_of(server, repository).segments(1)][-1]

    def removed() -> bool:
        server.execute("CHECKPOINT")
        return not (server.data_directory / "pg_wal" / last).exists()

    wait_for(removed, "the server has removed it")
    archived_once(server, repository)


def test_a_slot_that_the_server_has_invalidated_is_lost_with_a_remedy(short_of_wal, repository):
    server = short_of_wal
    archived_once(server, repository)
    server.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'", "SELECT pg_reload_conf()")
    move_on(server)
    assert asked(server, "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", SLOT) == "lost"
    error = Receiving(backup_server(server), repository).start().failed()
    assert isinstance(error, SlotLost)
    assert f"SELECT pg_drop_replication_slot('{SLOT}')" in error.hint
    assert "take a new full backup" in error.hint


def test_an_operator_is_told_at_the_start_that_wal_may_be_lost(short_of_wal, repository):
    server = short_of_wal
    server.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'", "SELECT pg_reload_conf()")
    with receiving(server, repository) as at_work:
        wait_for(lambda: at_work.noticed("max_slot_wal_keep_size is 1.0 GiB"), "it is told")
        wait_for(lambda: at_work.receiver.status().slot is not None, "the slot is looked at")
        assert at_work.receiver.status().slot.safe_wal_bytes > 0
