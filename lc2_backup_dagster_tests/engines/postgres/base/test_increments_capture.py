"""Increments of real servers: PostgreSQL's own ``pg_combinebackup`` must make the server out of a captured chain."""

import hashlib
import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lc2_backup_dagster.demo.servers.postgres import PostgresServer, wheel_bin_directory
from lc2_backup_dagster.engines.postgres.base.capture import capture_base_backup
from lc2_backup_dagster.engines.postgres.base.stream import base_stream
from lc2_backup_dagster.engines.postgres.base.stream_names import (
    INDEX_STREAM,
    MANIFEST_STREAM,
    TAR_STREAM,
    archive_stream,
    index_stream,
)
from lc2_backup_dagster.engines.postgres.servers.account import give_to, server_account
from lc2_backup_dagster.engines.postgres.servers.preflight import check_server
from lc2_backup_dagster.engines.postgres.servers.replication_wire import ReplicationWire
from lc2_backup_dagster.model.errors import IncrementRefused, IntegrityError, ServerUnavailable
from lc2_backup_dagster_tests.engines.postgres.asking import emptied, nothing_left, until
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.engines.postgres.unpacked import run_program, running, truth, unpacked, verify
from lc2_backup_dagster_tests.fixtures_postgres import backup_server, start_server

FILL = "SELECT i, md5(i::text) AS v FROM generate_series(1, {}) i"


@pytest.fixture(scope="module", params=[17, 18])
def server(request, tmp_path_factory):
    server = start_server(tmp_path_factory.mktemp("chained"), bin_directory=wheel_bin_directory(request.param))
    yield server
    server.remove()


@pytest.fixture(scope="module")
def server_17(tmp_path_factory):
    server = start_server(tmp_path_factory.mktemp("chained"))
    server.execute(f"CREATE TABLE t AS {FILL.format(20000)}")
    yield server
    server.remove()


def capture(server: PostgresServer, directory: Path, *, parent: FileStreams | None = None, **changes):
    """Capture into a new directory; returns the backup and its streams."""
    directory.mkdir()
    scratch = directory / "scratch"
    scratch.mkdir()
    streams = FileStreams(directory, **changes)
    try:
        backup = capture_base_backup(
            backup_server(server),
            parent_manifest=parent.path(MANIFEST_STREAM) if parent else None,
            write=streams,
            scratch=scratch,
        )
    finally:
        assert emptied(scratch)
    return backup, streams


def make_history(server: PostgresServer) -> list[list[tuple[str, tuple[str, ...]]]]:
    """Fill a server, and return what happens to it between the backups as lists of (database, statements)."""
    for name in ("space_a", "space_b"):
        directory = server.place / name
        directory.mkdir(mode=0o700)
        give_to(server_account(), directory)
        server.execute(f"CREATE TABLESPACE {name} LOCATION '{directory}'")
    for name in ("one", "two", "doomed"):
        server.create_database(name)
    server.execute(
        f"CREATE TABLE updated AS {FILL.format(40000)}",
        f"CREATE TABLE dropped AS {FILL.format(5000)}",
        f"CREATE TABLE truncated AS {FILL.format(20000)}",
        f"CREATE TABLE rewritten AS {FILL.format(20000)}",
        f"CREATE TABLE moved TABLESPACE space_a AS {FILL.format(20000)}",
        f"CREATE TABLE untouched TABLESPACE space_b AS {FILL.format(20000)}",
        f"CREATE UNLOGGED TABLE unlogged AS {FILL.format(1000)}",
        "SELECT lo_from_bytea(0, decode(repeat(md5(i::text), 200), 'hex')) FROM generate_series(1, 50) i",
        database="one",
    )
    server.execute(f"CREATE TABLE shrunk AS {FILL.format(60000)}", database="two")
    return [
        [
            ("one", ("UPDATE updated SET v = 'once' WHERE i % 5000 = 0", "DROP TABLE dropped", "TRUNCATE truncated",
                     "SELECT lo_from_bytea(0, decode(repeat('ab', 9000), 'hex'))",
                     "INSERT INTO untouched SELECT 0, 'appended' FROM generate_series(1, 10)")),
            ("postgres", ("DROP DATABASE doomed", "CREATE DATABASE three TEMPLATE two")),
        ],
        [
            ("one", ("VACUUM FULL rewritten", "ALTER TABLE moved SET TABLESPACE space_b",
                     "SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid::bigint % 3 = 0",
                     "UPDATE updated SET v = 'twice' WHERE i = 1", "INSERT INTO truncated VALUES (1, 'new')")),
            ("two", ("DELETE FROM shrunk WHERE i > 100", "VACUUM shrunk")),
            ("three", ("CREATE TABLE late TABLESPACE space_a AS SELECT 1 AS i",)),
        ],
    ]  # fmt: skip


TABLES = {"one": ("updated", "truncated", "rewritten", "moved", "untouched"), "two": ("shrunk",)}


def test_a_chain_of_three_combines_to_the_server_at_each_of_its_backups(server, place):
    """Tablespaces, several databases, large objects; tables dropped, truncated, rewritten, moved, shrunk (L-10)."""
    history = make_history(server)
    full, streams = capture(server, place / "backup0")
    assert (full.incremental, full.incremental_from, len(full.tablespaces)) == (False, None, 2)
    oids = [tablespace.oid for tablespace in full.tablespaces]
    assert [stream.name for stream in full.streams] == [
        *map(archive_stream, oids), TAR_STREAM, MANIFEST_STREAM, *map(index_stream, oids), INDEX_STREAM
    ]  # fmt: skip
    chain = [(full, streams, truth(server.server(), TABLES))]
    for number, steps in enumerate(history, start=1):
        for database, statements in steps:
            server.execute(*statements, database=database)
        tables = TABLES if number == 1 else {**TABLES, "three": ("shrunk", "late")}
        backup, streams = capture(server, place / f"backup{number}", parent=chain[-1][1])
        assert backup.incremental
        assert backup.incremental_from == chain[-1][0].start_lsn, "it does not stand on its parent"
        assert backup.tar_bytes < full.tar_bytes / 2 + backup.wal_segment_bytes, "it is as large as a full one"
        chain.append((backup, streams, truth(server.server(), tables)))
    nothing_left(server)

    unpacked_chain = []
    for depth, (backup, streams, expected) in enumerate(chain):
        own = {ts.oid: place / f"unpacked{depth}-{ts.oid}" for ts in backup.tablespaces}
        unpacked_chain.append(unpacked(streams, place / f"unpacked{depth}", tablespaces=own))
        directory = combined(unpacked_chain, own, place / f"combined{depth}", major=server.major)
        verify(directory, major=server.major)
        with running(directory) as restored:
            tables = TABLES if depth < 2 else {**TABLES, "three": ("shrunk", "late")}
            assert truth(restored, tables) == expected
            with restored.connect("one") as connection:
                assert connection.execute("SELECT count(*) FROM unlogged").fetchone() == (0,)


def combined(chain: list[Path], own: dict[int, Path], output: Path, *, major: int) -> Path:
    mapping = [f"--tablespace-mapping={path}={output}-{oid}" for oid, path in own.items()]
    if len(chain) == 1:  # a full backup is started from a copy, as it is needed again
        shutil.copytree(chain[0], output, symlinks=True)
        for oid, path in own.items():
            shutil.copytree(path, f"{output}-{oid}", symlinks=True)
            (output / f"pg_tblspc/{oid}").unlink()
            (output / f"pg_tblspc/{oid}").symlink_to(f"{output}-{oid}")
        return output
    run_program("pg_combinebackup", "--no-sync", *mapping, "--output", output, *chain, major=major)
    return output


def test_an_increment_may_stand_on_an_older_member_of_the_chain(server_17, place):
    full, full_streams = capture(server_17, place / "full")
    capture(server_17, place / "first", parent=full_streams)
    second, streams = capture(server_17, place / "second", parent=full_streams)
    assert second.incremental_from == full.start_lsn
    directories = [unpacked(full_streams, place / "a"), unpacked(streams, place / "b")]
    verify(combined(directories, {}, place / "combined", major=17), major=17)


@pytest.fixture
def full_17(server_17, tmp_path):
    return capture(server_17, tmp_path / "full")


def refused(server: PostgresServer, place: Path, parent: FileStreams, *, match: str) -> None:
    """Assert that an increment is refused before anything is written, and that nothing is left of it."""
    directory = place / "refused"
    streams = FileStreams(directory)
    directory.mkdir()
    scratch = directory / "scratch"
    scratch.mkdir()
    with pytest.raises(IncrementRefused, match=match):
        capture_base_backup(
            backup_server(server), parent_manifest=parent.path(MANIFEST_STREAM), write=streams, scratch=scratch
        )
    assert streams.started == []
    assert emptied(scratch)
    nothing_left(server)


def test_a_manifest_of_another_cluster_is_refused(server_17, postgres, place):
    _, foreign = capture(postgres, place / "foreign")
    refused(server_17, place, foreign, match="system identifier")


def test_a_timeline_that_the_server_does_not_know_is_refused(server_17, full_17, place):
    _, full = full_17
    copy = FileStreams(place)
    *lines, _ = full.path(MANIFEST_STREAM).read_bytes().replace(b'"Timeline": 1', b'"Timeline": 7').split(b"\n")
    *body, _ = lines
    text = b"\n".join(body) + b"\n"
    text += b'"Manifest-Checksum": "' + hashlib.sha256(text).hexdigest().encode() + b'"}\n'
    copy.path(MANIFEST_STREAM).write_bytes(text)
    refused(server_17, place, copy, match="timeline 7 .* not in this server's history")


def test_removed_wal_summaries_refuse_the_increment_and_a_full_succeeds(server_17, full_17, place):
    _, full = full_17
    facts = check_server(backup_server(server_17), None, physical=True, dump=False)
    assert facts.summaries_reach(full_17[0].start_lsn)
    capture(server_17, place / "increment", parent=full)  # everything up to here is summarized now
    for summary in (server_17.data_directory / "pg_wal/summaries").iterdir():
        summary.unlink()
    facts = check_server(backup_server(server_17), None, physical=True, dump=False)
    assert not facts.summaries_reach(full_17[0].start_lsn)
    refused(server_17, place, full, match="WAL summaries are required")
    again, _ = capture(server_17, place / "again")
    assert not again.incremental


def test_a_server_without_summaries_refuses_increments_by_name(server_17, full_17, place):
    # summarize_wal is on the command line of the test's server, which wins over ALTER SYSTEM
    with told_otherwise(server_17, summarize_wal="off"):
        assert not check_server(backup_server(server_17), None, physical=True, dump=False).summarize_wal
        refused(server_17, place, full_17[1], match="summarize_wal=off.*hint: ALTER SYSTEM SET summarize_wal = on")


@contextmanager
def told_otherwise(server: PostgresServer, **settings: str):
    """Run a server with other settings for a while."""
    before = dict(server._settings)
    server.stop()
    server._settings.update(settings)
    server.start()
    try:
        yield
    finally:
        server.stop()
        server._settings = before
        server.start()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"INCREMENTAL FROM", "was asked for"),
        (b"START WAL LOCATION: ", "unreadable"),
    ],
)
def test_an_increment_whose_label_says_otherwise_is_refused(line, message, server_17, full_17, place, monkeypatch):
    """A server that silently sent a full backup would be found out (L-11)."""
    original = ReplicationWire.message

    def message_of_another(wire):
        found = original(wire)
        return found and memoryview(bytes(found).replace(line, line.lower().replace(b" ", b"_")))

    monkeypatch.setattr(ReplicationWire, "message", message_of_another)
    directory = place / "increment"
    with pytest.raises(IntegrityError, match=message):
        capture(server_17, directory, parent=full_17[1])
    assert MANIFEST_STREAM not in {path.name for path in directory.iterdir()}


@contextmanager
def stopped_summarizer(server: PostgresServer):
    """Let the server's WAL summarizer stand still, so that an increment waits for it."""
    with server.server().connect() as connection:
        row = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsummarizer'").fetchone()
    process = psutil.Process(row[0])
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def waits_for_summaries(server: PostgresServer) -> bool:
    with server.server().connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'WalSummaryReady'"
        ).fetchone()
    return row == (1,)


def test_an_interrupt_while_the_server_waits_ends_the_command_there(server_17, full_17, place):
    def interrupt():
        if waits_for_summaries(server_17):
            raise KeyboardInterrupt

    server_17.execute("UPDATE t SET v = 'y' WHERE i = 1")
    with stopped_summarizer(server_17):
        with (
            pytest.raises(KeyboardInterrupt),
            base_stream(
                backup_server(server_17),
                major=17,
                parent_manifest=full_17[1].path(MANIFEST_STREAM),
                while_waiting=interrupt,
            ),
        ):
            pytest.fail("the backup began without its summaries")
        nothing_left(server_17)
    assert "canceling statement due to user request" in server_17.log_tail(), "the server was left waiting"


def test_a_slot_lost_while_the_server_waits_ends_the_backup(server_17, full_17, place, monkeypatch):
    original = ReplicationWire.send

    def send_and_lose(wire, command):
        original(wire, command)
        if command.startswith("BASE_BACKUP"):
            until(lambda: waits_for_summaries(server_17), what="the server waits")
            with server_17.server().connect() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE temporary"
                )

    monkeypatch.setattr(ReplicationWire, "send", send_and_lose)
    server_17.execute("UPDATE t SET v = 'z' WHERE i = 1")
    with stopped_summarizer(server_17):
        with pytest.raises(ServerUnavailable):
            capture(server_17, place / "increment", parent=full_17[1])
        nothing_left(server_17)


def test_the_index_of_an_increment_names_its_partial_files(server_17, full_17, place):
    server_17.execute("UPDATE t SET v = 'w' WHERE i = 7")
    _, streams = capture(server_17, place / "increment", parent=full_17[1])
    members = [json.loads(line)["path"] for line in streams.path(INDEX_STREAM).read_text().splitlines()]
    assert any(re.fullmatch(r"base/\d+/INCREMENTAL\.\d+", path) for path in members)
