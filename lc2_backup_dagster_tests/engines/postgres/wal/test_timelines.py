"""Promotion: the receiver follows from timeline to timeline, with the histories, and nothing between is lost (L-14)."""

import shutil
import time

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.account import give_to, server_account
from lc2_backup_dagster.model.errors import StoreUnavailable
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.operations.wal.coverage import wal_coverage
from lc2_backup_dagster_tests.engines.postgres.receiving import (
    SEGMENT,
    Receiving,
    a_wal_repository,
    archive_of,
    archived_until,
    asked,
    compare_with_server,
    confirmed,
    flushed,
    receiving,
    wait_for,
    write,
)
from lc2_backup_dagster_tests.fixtures_postgres import BACKUP_PASSWORD, BACKUP_ROLE, backup_server, start_server


class Freezing(DirectoryStore):
    """A directory that takes no WAL of one timeline, but its history."""

    frozen_below: str | None = None
    refused = 0

    def put(self, key, body, *, create_only=True):
        if self.frozen_below and self.frozen_below in key:
            self.refused += 1
            raise StoreUnavailable("the store is away")
        return super().put(key, body, create_only=create_only)


def a_standby(primary: PostgresServer, state) -> PostgresServer:
    """Copy a stopped primary's data and start it as its standby; the primary runs again afterwards, on a new port."""
    primary.stop()
    standby = PostgresServer(
        state,
        password=primary.password,
        bin_directory=primary.bin_directory,
        fsync=False,
        settings=dict(primary._settings),
    )
    place = standby._choose_place()
    shutil.copytree(primary.data_directory, place / "data")
    (place / "data/standby.signal").touch()
    primary.start()
    where = f"host=127.0.0.1 port={primary.port} user={BACKUP_ROLE} password={BACKUP_PASSWORD}"
    with (place / "data/postgresql.auto.conf").open("a") as settings:
        settings.write(f"primary_conninfo = '{where}'\n")
    for path in [place / "data", *(place / "data").rglob("*")]:
        give_to(server_account(), path)
    return standby.start()


@pytest.fixture
def pair(tmp_path_factory):
    """A primary, and a standby that replays what it writes."""
    root = tmp_path_factory.mktemp("pair")
    primary = start_server(root / "primary")
    write(primary, 0.5)
    standby = a_standby(primary, root / "standby")
    yield primary, standby
    standby.remove()
    primary.remove()


@pytest.fixture
def repository(tmp_path):
    return a_wal_repository(Freezing(tmp_path / "repository", create=True))


def caught_up(primary: PostgresServer, standby: PostgresServer) -> None:
    end = flushed(primary)
    wait_for(lambda: int(asked(standby, "SELECT pg_last_wal_replay_lsn() - '0/0'")) >= end, "the standby has caught up")


def coverage(repository, archive, start: int):
    return wal_coverage(
        repository, system_identifier=archive.system_identifier, start=Lsn(start, 1), segment_bytes=SEGMENT
    )


def test_a_promotion_is_followed_while_it_happens(pair, repository):
    primary, standby = pair
    start = flushed(primary)
    with receiving(standby, repository) as at_work:
        write(primary, 18)
        caught_up(primary, standby)
        wait_for(lambda: at_work.receiver.status().restorable_until is not None, "a standby tells times as well")
        standby.execute("SELECT pg_promote()")
        write(standby, 18)
        wait_for(lambda: at_work.noticed("timeline 1 was left at"), "it follows")
        end, now = flushed(standby), asked(standby, "SELECT clock_timestamp()")
        wait_for(lambda: confirmed(standby) >= end, "everything is confirmed")
        wait_for(lambda: at_work.receiver.status().restorable_until > now, "the time goes on, on the new timeline")
    archive = archive_of(standby, repository)
    assert archive.timelines() == [1, 2]
    assert archive.history(2) == (standby.data_directory / "pg_wal/00000002.history").read_bytes()
    compare_with_server(standby, archive, timeline=1)
    assert compare_with_server(standby, archive, timeline=2) >= 1
    found = coverage(repository, archive, start)
    assert (found.end.timeline, found.gap) == (2, None)
    assert found.end.value >= end
    assert found.until is not None
    assert found.until > now


def test_a_promoted_standby_takes_over_from_its_primary(pair, repository):
    """The receiver was on the old primary, which died with WAL that the standby never got."""
    primary, standby = pair
    start = flushed(primary)
    with receiving(primary, repository):
        write(primary, 1)
        caught_up(primary, standby)
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        wait_for(lambda: not asked(standby, "SELECT count(*) FROM pg_stat_wal_receiver"), "the standby is cut off")
        write(primary, 20)
        lost = flushed(primary)
        wait_for(lambda: confirmed(primary) >= lost, "the old primary's last writes are archived too")
    primary.stop(mode="immediate")
    standby.execute("SELECT pg_promote()")
    write(standby, 1)
    switched = int(
        asked(standby, "SELECT split_part(pg_read_file('pg_wal/00000002.history'), E'\\t', 2)::pg_lsn - '0/0'::pg_lsn")
    )
    assert switched < lost
    with receiving(standby, repository) as again:
        end = flushed(standby)
        wait_for(lambda: confirmed(standby) >= end, "everything is confirmed")
    archive = archive_of(standby, repository)
    found = coverage(repository, archive, start)
    assert found.timelines == ((1, switched), (2, None))
    assert (found.end.timeline, found.gap) == (2, None)
    assert found.end.value >= end
    assert again.error is None
    # What the old primary wrote behind the switch is still there, on its own timeline.
    old = wal_coverage(
        repository,
        system_identifier=archive.system_identifier,
        start=Lsn(start, 1),
        segment_bytes=SEGMENT,
        timeline=1,
    )
    assert old.end.value >= lost


def test_a_receiver_that_slept_through_two_promotions_follows_both(pair, repository, tmp_path_factory):
    primary, standby = pair
    start = flushed(primary)
    # Its slot is on the standby all the time, as one that slot synchronisation or a person made.
    with receiving(standby, repository):
        write(primary, 1)
        caught_up(primary, standby)
        end = int(asked(standby, "SELECT pg_last_wal_replay_lsn() - '0/0'"))
        wait_for(lambda: confirmed(standby) >= end, "everything is confirmed")
    standby.execute("SELECT pg_promote()")
    write(standby, 2)
    standby.execute("CHECKPOINT")
    # A second switch: recovery of the stopped server as a standby of nobody, then promoted.
    standby.stop()
    (standby.data_directory / "standby.signal").touch()
    give_to(server_account(), standby.data_directory / "standby.signal")
    standby.start()
    standby.execute("SELECT pg_promote()")
    write(standby, 2)
    end = flushed(standby)
    at_work = Receiving(backup_server(standby), repository).start()
    wait_for(lambda: confirmed(standby) >= end, "everything is confirmed")
    at_work.stop()
    assert at_work.error is None
    archive = archive_of(standby, repository)
    assert archive.timelines() == [1, 2, 3]
    found = coverage(repository, archive, start)
    assert [timeline for timeline, _ in found.timelines] == [1, 2, 3]
    assert found.gap is None
    assert found.end.value >= end


def test_the_same_receiver_confirms_nothing_of_a_new_timeline_that_it_has_not_received(pair, repository):
    """The standby lags when it takes over the address; what is durable of the old timeline is further than it is."""
    primary, standby = pair
    store, port = repository.store, primary.port
    with receiving(primary, repository, partial_seconds=0.2) as at_work:
        write(primary, 1)
        caught_up(primary, standby)
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        wait_for(lambda: not asked(standby, "SELECT count(*) FROM pg_stat_wal_receiver"), "the standby is cut off")
        write(primary, 20)
        lost = flushed(primary)
        wait_for(lambda: at_work.receiver.status().durable >= lost, "the old primary's last writes are durable")
        primary.stop(mode="immediate")
        standby.execute("SELECT pg_promote()")
        standby.stop()
        store.frozen_below = "/00000002/"
        standby._wanted_port = port
        standby.start()
        write(standby, 1)
        end = flushed(standby)
        assert end < lost
        wait_for(lambda: store.refused > 0, "it receives the new timeline, and cannot store it")
        time.sleep(2.5)  # two status updates later
        assert confirmed(standby) <= end // SEGMENT * SEGMENT + SEGMENT
        assert at_work.receiver.status().durable <= end
        store.frozen_below = None
        wait_for(lambda: end <= confirmed(standby) < lost, "what was received is confirmed, and no more")
    assert archived_until(archive_of(standby, repository), timeline=2) < lost
