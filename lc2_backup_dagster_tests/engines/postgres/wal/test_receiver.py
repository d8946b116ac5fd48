"""The receiver on real servers: what it archives is what the server wrote, and it says until when."""

import threading

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.demo.servers.postgres import wheel_bin_directory
from lc2_backup_dagster.engines.postgres.wal.status import ReceiverState
from lc2_backup_dagster_tests.engines.postgres.receiving import (
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
from lc2_backup_dagster_tests.fixtures_postgres import backup_server, majors_directory, start_server

MAJORS = [
    pytest.param(13, marks=pytest.mark.majors),
    pytest.param(16, marks=pytest.mark.majors),
    17,
    18,
]


@pytest.fixture(scope="module", params=MAJORS)
def server(request, tmp_path_factory):
    if request.param >= 17:
        programs = wheel_bin_directory(request.param)
    else:
        directory = majors_directory()
        if directory is None or not (directory / f"{request.param}/bin/postgres").exists():
            pytest.skip(
                f"LC2_TEST_POSTGRES_MAJORS has no {request.param}/bin: PostgreSQL {request.param} is NOT tested"
            )
        programs = directory / f"{request.param}/bin"
    server = start_server(tmp_path_factory.mktemp("receiver"), bin_directory=programs)
    # Nothing is recycled: the server's own files stay to be compared with.
    server.execute("ALTER SYSTEM SET wal_keep_size = '2GB'", "ALTER SYSTEM SET checkpoint_timeout = '1h'")
    server.execute("SELECT pg_reload_conf()")
    yield server
    server.remove()


@pytest.fixture
def repository(tmp_path, server):
    yield a_wal_repository(DirectoryStore(tmp_path / "repository", create=True), KeyFile.create(tmp_path / "key"))
    drop_slot(server)


@pytest.fixture
def plain_repository(tmp_path, server):
    yield a_wal_repository(DirectoryStore(tmp_path / "repository", create=True))
    drop_slot(server)


def test_what_is_archived_is_what_the_server_wrote(server, repository):
    """Under writes of several sessions, with switches of segments in between."""
    with receiving(server, repository) as at_work:
        write(server)
        writers = [threading.Thread(target=write, args=(server, 14)) for _ in range(3)]
        for each in writers:
            each.start()
        server.execute("SELECT pg_switch_wal()")
        for each in writers:
            each.join()
        server.execute("SELECT pg_switch_wal()")
        write(server, 0.1)
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    archive = archive_of(server, repository)
    assert compare_with_server(server, archive) >= 3
    assert archived_until(archive) >= end
    assert at_work.last.state is ReceiverState.STOPPED
    assert at_work.noticed("max_slot_wal_keep_size is -1: while WAL cannot be archived")
    # Beginnings of whole segments were dropped, and of the last one all but the longest.
    assert len(archive.partials(1)) == 1


def test_commits_before_the_stated_time_are_archived(server, repository):
    with receiving(server, repository):
        write(server, 0.1)
        committed, end = asked(server, "SELECT clock_timestamp()"), flushed(server)
        archive = archive_of(server, repository)

        def stated() -> bool:
            position = archive.position()
            return position is not None and position.sample.time > committed

        wait_for(stated, "the position tells a time after the commit")
        assert archive.position().sample.lsn >= end
        assert archived_until(archive) >= archive.position().sample.lsn
        assert confirmed(server) >= end


def test_once_archives_what_there_is_and_ends(server, plain_repository):
    repository = plain_repository
    write(server, 2)
    end = flushed(server)
    for _ in range(2):
        at_work = Receiving(backup_server(server), repository, once=True, partial_seconds=600).start()
        at_work.end()
        assert at_work.error is None
        assert at_work.last.durable >= end
        assert at_work.last.restorable_until is not None
    assert archived_until(archive_of(server, repository)) >= end
    assert confirmed(server) >= end
