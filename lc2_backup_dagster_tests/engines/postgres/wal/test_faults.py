"""Bad days of a receiver: stores away or frozen, servers restarted, other histories. Nothing is confirmed that is not
stored (L-13), and nothing is lost."""

import dataclasses

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.postgres.wal.status import ReceiverState
from lc2_backup_dagster.model.errors import AccessDenied, PartCorrupt, ServerUnavailable, WalDiverged
from lc2_backup_dagster.repository.wal.names import segment_name
from lc2_backup_dagster_tests.engines.postgres.receiving import (
    SEGMENT,
    MoodyStore,
    Receiving,
    a_wal_repository,
    archive_of,
    archived_until,
    asked,
    compare_with_server,
    confirmed,
    drop_slot,
    flushed,
    receiving,
    wait_for,
    write,
)
from lc2_backup_dagster_tests.fixtures_postgres import backup_server, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = start_server(tmp_path_factory.mktemp("faults"))
    server.execute("ALTER SYSTEM SET wal_keep_size = '2GB'", "SELECT pg_reload_conf()")
    yield server
    server.remove()


@pytest.fixture
def store(tmp_path):
    return MoodyStore(tmp_path / "repository")


@pytest.fixture
def repository(store, tmp_path, server):
    yield a_wal_repository(store, KeyFile.create(tmp_path / "key"))
    drop_slot(server)


@pytest.fixture
def beside(repository, tmp_path):
    """The same repository as somebody else sees it, whatever mood the receiver's store is in."""
    return a_wal_repository(DirectoryStore(tmp_path / "repository"), KeyFile.read(tmp_path / "key"))


@pytest.mark.parametrize("mood", ["away", "frozen"])
def test_while_the_store_takes_nothing_nothing_is_confirmed_and_afterwards_everything(
    mood, server, store, repository, beside
):
    with receiving(server, repository) as at_work:
        write(server, 0.5)
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "what came before is confirmed")
        setattr(store, mood, True)
        for _ in range(5):
            write(server, 14)
        wait_for(lambda: at_work.last.state is ReceiverState.HELD_BACK, "it reads no more than it may hold")
        refused = store.refused
        wait_for(lambda: store.refused > refused, "it is tried again")
        stored = archived_until(archive_of(server, beside))
        status = at_work.receiver.status()
        assert stored < flushed(server) - 3 * SEGMENT
        assert confirmed(server) <= stored
        assert status.durable <= stored
        assert status.received - status.durable <= 4 * SEGMENT
        assert "the store is away" in status.trouble
        position = archive_of(server, beside).position()
        assert position is None or position.sample.lsn <= stored
        setattr(store, mood, False)
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    archive = archive_of(server, repository)
    assert archived_until(archive) >= end
    compare_with_server(server, archive)


def test_a_stop_while_the_store_is_away_ends_and_the_server_keeps_the_rest(server, store, repository):
    with receiving(server, repository, finish_seconds=1.0) as at_work:
        write(server, 0.5)
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "what came before is confirmed")
        store.frozen = True
        write(server, 0.5)
        wait_for(lambda: store.refused > 0, "it is refused")
    assert at_work.noticed("could not be stored in time; the server keeps them")
    assert confirmed(server) < flushed(server)
    store.frozen = False
    with receiving(server, repository):
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    compare_with_server(server, archive_of(server, repository))


def test_a_store_that_keeps_other_bytes_ends_it_and_nothing_of_them_is_confirmed(server, store, repository):
    with receiving(server, repository):
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "what came before is confirmed")
    before = confirmed(server)
    put = store.put

    def lying(key, body, *, create_only=True):
        return put(key, body[:-1] + b"?" if "/0000" in key else body, create_only=create_only)

    store.put = lying
    at_work = Receiving(backup_server(server), repository).start()
    write(server, 0.5)
    assert isinstance(at_work.failed(), PartCorrupt)
    assert confirmed(server) == before


def test_a_segment_archived_with_other_content_stops_it_and_nothing_is_confirmed(server, repository):
    archive = archive_of(server, repository)
    name = segment_name(1, flushed(server) // SEGMENT * SEGMENT + SEGMENT, SEGMENT)
    archive.put_segment(name, b"another history".ljust(SEGMENT, b"\0"))
    at_work = Receiving(backup_server(server), repository).start()
    wait_for(lambda: at_work.noticed("receiving WAL"), "it receives")
    write(server, 1)
    server.execute("SELECT pg_switch_wal()")
    write(server, 1)
    server.execute("SELECT pg_switch_wal()")
    write(server, 1)
    error = at_work.failed()
    assert isinstance(error, WalDiverged)
    assert name in error.message
    assert "Nothing was confirmed" in error.hint
    assert confirmed(server) <= int(name[16:], 16) * SEGMENT
    # Nothing of this history was created behind it.
    assert max(each.name for each in archive.segments(1)) == name
    # Nor does a new start change anything.
    assert isinstance(Receiving(backup_server(server), repository).start().failed(), WalDiverged)


def test_a_server_that_was_set_back_is_refused(server, repository):
    with receiving(server, repository):
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    archive = archive_of(server, repository)
    current = flushed(server) // SEGMENT * SEGMENT
    archive.put_partial(segment_name(1, current, SEGMENT), end_lsn=current + SEGMENT - 8, plain=b"x" * (SEGMENT - 8))
    error = Receiving(backup_server(server), repository).start().failed()
    assert isinstance(error, WalDiverged)
    assert "the server does not have" in error.message


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_server_that_is_restarted_is_waited_for(how, server, repository):
    port = server.port
    with receiving(server, repository) as at_work:
        write(server, 1)
        wait_for(lambda: confirmed(server) > 0, "something is confirmed")
        getattr(server, how)()
        wait_for(lambda: at_work.last.state is ReceiverState.RECONNECTING, "it notices")
        server._wanted_port = port  # a server that comes back, comes back where it was
        server.start()
        server._wanted_port = None
        write(server, 1)
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
        assert at_work.noticed("trying again")
    compare_with_server(server, archive_of(server, repository))


def test_a_connection_that_is_cut_begins_anew(server, repository):
    with receiving(server, repository) as at_work:
        for _ in range(3):
            write(server, 2)
            seen = len([each for each in at_work.notices if "receiving WAL" in each])
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
            wait_for(
                lambda seen=seen: len([each for each in at_work.notices if "receiving WAL" in each]) > seen,
                "it is back",
            )
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    compare_with_server(server, archive_of(server, repository))


def test_a_sampler_whose_connection_is_cut_goes_on(server, repository):
    with receiving(server, repository) as at_work:
        wait_for(lambda: at_work.receiver.status().restorable_until is not None, "a first statement")
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'lc2-backup' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        now = asked(server, "SELECT clock_timestamp()")
        wait_for(lambda: at_work.receiver.status().restorable_until > now, "statements go on")


def test_with_once_a_server_that_is_away_is_an_error(server, repository):
    nowhere = dataclasses.replace(backup_server(server), port=1)
    assert isinstance(Receiving(nowhere, repository, once=True).start().failed(), ServerUnavailable)


def test_a_wrong_password_is_no_reason_to_wait(server, repository):
    wrong = dataclasses.replace(backup_server(server), password="wrong")
    assert isinstance(Receiving(wrong, repository).start().failed(), AccessDenied)


def test_beginnings_that_a_killed_receiver_left_behind_are_swept(server, repository):
    with receiving(server, repository):
        write(server, 1)
        server.execute("SELECT pg_switch_wal()")
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    archive = archive_of(server, repository)
    whole = [each.name for each in archive.segments(1)][-1]
    archive.put_partial(whole, end_lsn=int(whole[16:], 16) * SEGMENT + 100, plain=archive.read_segment(whole)[:100])
    with receiving(server, repository):
        wait_for(lambda: whole not in {each.name for each in archive.partials(1)}, "it is swept")
