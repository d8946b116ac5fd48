"""Base backups of real servers, whole and broken in every way."""

import io
import json
import re
import shutil
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import pytest

from lc2_backup_dagster.demo.servers.postgres import wheel_bin_directory
from lc2_backup_dagster.engines.postgres.account import server_account
from lc2_backup_dagster.engines.postgres.basebackup import INDEX_STREAM, TAR_STREAM, capture_base_backup
from lc2_backup_dagster.engines.postgres.postmaster import Postmaster
from lc2_backup_dagster.engines.postgres.restore_base import restore_base
from lc2_backup_dagster.engines.postgres.scratch_server import start_and_ask, started
from lc2_backup_dagster.engines.postgres.tools import Tools
from lc2_backup_dagster.model.errors import (
    ConfigurationError,
    IntegrityError,
    MissingPrivilege,
    ServerUnavailable,
    ToolFailed,
    ToolTooOld,
)
from lc2_backup_dagster_tests.engines.postgres.asking import emptied, nothing_left, running_tools, tools_of, until
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.fixtures_postgres import backup_server, start_server

FILL = "CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 40000) i"


@pytest.fixture
def scratch(tmp_path):
    directory = tmp_path / "scratch"
    directory.mkdir()
    yield directory
    assert emptied(directory), "scratch was not cleaned"


@pytest.fixture(scope="module")
def captured(postgres, tmp_path_factory):
    """One good base backup of the shared server, with its files."""
    streams = FileStreams(tmp_path_factory.mktemp("captured"))
    backup = capture_base_backup(
        backup_server(postgres), tools_of(17), write=streams, scratch=tmp_path_factory.mktemp("scratch")
    )
    return backup, streams


@pytest.mark.parametrize("major", [17, 18])
def test_a_base_backup_restores_to_an_equal_server(major, request, make_database, tmp_path, scratch):
    server = request.getfixturevalue("postgres" if major == 17 else "postgres_18")
    database = make_database(server, FILL)
    streams = FileStreams(tmp_path)
    progress = []
    backup = capture_base_backup(
        backup_server(server),
        tools_of(major),
        write=streams,
        scratch=scratch,
        on_progress=lambda done, total: progress.append(done),
    )
    assert [stream.name for stream in backup.streams] == streams.completed == [TAR_STREAM, INDEX_STREAM]
    assert backup.start_lsn < backup.stop_lsn
    assert backup.checksums_on
    assert progress[-1] == backup.tar_bytes == streams.path(TAR_STREAM).stat().st_size

    with streams.open(TAR_STREAM) as source:
        restored = restore_base(source, target_directory=tmp_path / "data", tar_bytes=backup.tar_bytes, durable=False)
    assert restored.major == major
    assert restored.verified.by.startswith(f"pg_verifybackup {major}")
    assert restored.verified.wal_parsed
    rows = start_and_ask_moved(restored.directory, "SELECT count(*), sum(i), md5(string_agg(v, '' ORDER BY i)) FROM t",
                               database=database.database)  # fmt: skip
    with database.connect() as connection:
        assert (
            rows == connection.execute("SELECT count(*), sum(i), md5(string_agg(v, '' ORDER BY i)) FROM t").fetchall()
        )
    nothing_left(server)


def start_and_ask_moved(directory: Path, query: str, *, database: str):
    """Ask a restored directory from a place that the server's account can reach (pytest's are private to us)."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        moved = Path(place) / "data"
        shutil.move(directory, moved)
        return start_and_ask(moved, query, database=database, timeout_seconds=60, fsync=False)


def test_the_index_finds_any_file_in_the_stream(captured):
    _, streams = captured
    lines = streams.path(INDEX_STREAM).read_text().splitlines()
    members = {line["path"]: line for line in map(json.loads, lines)}
    with streams.open(TAR_STREAM) as tar:
        tar.seek(members["PG_VERSION"]["offset"])
        assert tar.read(members["PG_VERSION"]["size"]) == b"17\n"
    with tarfile.open(streams.path(TAR_STREAM)) as tar:
        assert [(m.name, m.offset_data) for m in tar] == [(p, m["offset"]) for p, m in members.items()]


def test_the_moment_holds_everything_committed_by_then(postgres, make_database, tmp_path, scratch):
    database = make_database(postgres, "CREATE TABLE log (i int)")
    acknowledged: list[tuple[int, object]] = []
    stop = threading.Event()

    def insert():
        with database.connect() as connection:
            for i in range(1_000_000):
                if stop.is_set():
                    return
                connection.execute("INSERT INTO log VALUES (%s)", [i])
                acknowledged.append((i, connection.execute("SELECT clock_timestamp()").fetchone()[0]))

    writer = threading.Thread(target=insert)
    writer.start()
    streams = FileStreams(tmp_path)
    try:
        backup = capture_base_backup(backup_server(postgres), tools_of(17), write=streams, scratch=scratch)
    finally:
        stop.set()
        writer.join()
    with streams.open(TAR_STREAM) as source:
        restored = restore_base(source, target_directory=tmp_path / "data", verify=False, durable=False)
    found = {row[0] for row in start_and_ask_moved(restored.directory, "TABLE log", database=database.database)}
    promised = {i for i, at in acknowledged if at <= backup.moment.restorable_until}
    assert promised <= found
    assert backup.moment.restorable_from == backup.moment.restorable_until
    assert backup.moment.lsn == str(backup.stop_lsn)


def test_a_killed_tool_never_looks_like_a_clean_end(postgres, tmp_path, scratch):
    def kill(name, size):
        if size:
            for process in running_tools("pg_basebackup"):
                process.kill()

    streams = FileStreams(tmp_path, before_chunk=kill)
    with pytest.raises(ToolFailed, match="SIGKILL"):
        capture_base_backup(backup_server(postgres), tools_of(17), write=streams, scratch=scratch)
    assert streams.completed == []
    nothing_left(postgres)


def test_an_exception_of_the_writer_ends_tool_and_slot(postgres, tmp_path, scratch):
    def interrupt(name, size):
        if size:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture_base_backup(
            backup_server(postgres), tools_of(17), write=FileStreams(tmp_path, before_chunk=interrupt), scratch=scratch
        )
    assert running_tools("pg_basebackup") == []
    nothing_left(postgres)


def test_a_server_killed_in_mid_stream_is_unavailable_and_keeps_no_slot(tmp_path, scratch):
    server = start_server(tmp_path / "server")
    try:

        def kill(name, size):
            if size:
                server.kill()

        streams = FileStreams(tmp_path, before_chunk=kill)
        with pytest.raises(ServerUnavailable):
            capture_base_backup(backup_server(server), tools_of(17), write=streams, scratch=scratch)
        assert streams.completed == []
        server.start()
        nothing_left(server)
    finally:
        server.remove()


def test_a_lost_slot_ends_the_backup(postgres, tmp_path, scratch):
    def terminate_slot(name, size):
        if size:
            with postgres.server().connect() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE temporary"
                )
            time.sleep(0.2)  # the stream is longer than this many steps; the hold asks twice a second

    streams = FileStreams(tmp_path, before_chunk=terminate_slot)
    with pytest.raises(ServerUnavailable):
        capture_base_backup(backup_server(postgres), tools_of(17), write=streams, scratch=scratch)
    assert streams.completed == []


def test_tablespaces_are_refused_before_anything_is_written(postgres, tmp_path, scratch):
    with postgres.server().connect() as connection:
        connection.execute("SET allow_in_place_tablespaces = on")
        connection.execute("CREATE TABLESPACE extra LOCATION ''")
    streams = FileStreams(tmp_path)
    try:
        with pytest.raises(ConfigurationError, match="tablespaces of its own \\(extra\\)"):
            capture_base_backup(backup_server(postgres), tools_of(17), write=streams, scratch=scratch)
    finally:
        postgres.execute("DROP TABLESPACE extra")
    assert streams.started == []


def test_a_role_without_replication_is_told_the_statement(postgres, tmp_path, scratch):
    postgres.create_role("plain", password="plain", options="LOGIN NOREPLICATION")
    with pytest.raises(MissingPrivilege, match='hint: ALTER ROLE "plain" REPLICATION'):
        capture_base_backup(
            postgres.server(user="plain", password="plain"), tools_of(17), write=FileStreams(tmp_path), scratch=scratch
        )


def test_tools_older_than_the_server_are_refused(postgres_18, tmp_path, scratch):
    streams = FileStreams(tmp_path)
    with pytest.raises(ToolTooOld, match="server is PostgreSQL 18.*are 17"):
        capture_base_backup(backup_server(postgres_18), tools_of(17), write=streams, scratch=scratch)
    assert streams.started == []


def a_tool_that_writes(file: Path, directory: Path) -> Tools:
    """Return tools whose ``pg_basebackup`` succeeds and writes this file."""
    directory.mkdir()
    (directory / "pg_basebackup").write_text(f"#!/bin/sh\nexec cat '{file}'\n")
    (directory / "pg_basebackup").chmod(0o755)
    return Tools(directory, "17.0", 17)


def rewritten(tar: Path, target: Path, *, leave_out=lambda name: False, change=lambda name, content: content) -> Path:
    with tarfile.open(tar) as source, tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as copy:
        for member in source:
            if leave_out(member.name):
                continue
            content = change(member.name, source.extractfile(member).read() if member.isfile() else b"")
            member.size = len(content)
            copy.addfile(member, io.BytesIO(content))
    return target


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"leave_out": lambda name: name == "PG_VERSION"}, "lacks 1 files of its manifest: PG_VERSION"),
        ({"leave_out": lambda name: re.match("pg_wal/[0-9A-F]{24}$", name)}, "lacks WAL"),
        ({"leave_out": lambda name: name == "backup_manifest"}, "unreadable"),
        ({"leave_out": lambda name: name == "backup_label"}, "manifest"),
        ({"change": lambda name, c: c + b"\n" if name == "PG_VERSION" else c}, "4 bytes of PG_VERSION.*promises 3"),
        (
            {"change": lambda name, c: c.replace(b'"Size": 3,', b'"Size": 4,', 1) if name == "backup_manifest" else c},
            "own checksum",
        ),
    ],
)
def test_a_base_backup_that_is_not_whole_is_refused(damage, message, captured, postgres, tmp_path, scratch):
    _, good = captured
    damaged = rewritten(good.path(TAR_STREAM), tmp_path / "damaged.tar", **damage)
    tools = a_tool_that_writes(damaged, tmp_path / "bin")
    streams = FileStreams(tmp_path)
    with pytest.raises(IntegrityError, match=message):
        capture_base_backup(backup_server(postgres), tools, write=streams, scratch=scratch)
    assert INDEX_STREAM not in streams.completed


def test_a_tar_cut_short_by_a_tool_that_claims_success_is_refused(captured, postgres, tmp_path, scratch):
    _, good = captured
    short = tmp_path / "short.tar"
    shutil.copy(good.path(TAR_STREAM), short)
    with short.open("r+b") as file:
        file.truncate(short.stat().st_size - 1024)
    tools = a_tool_that_writes(short, tmp_path / "bin")
    with pytest.raises(IntegrityError, match="too early"):
        capture_base_backup(backup_server(postgres), tools, write=FileStreams(tmp_path), scratch=scratch)


def test_a_standby_can_be_the_source(postgres, make_database, captured, tmp_path, scratch):
    """The moment comes from replayed commits, and its signal file is not restored."""
    database = make_database(postgres)
    first = FileStreams(tmp_path)
    capture_base_backup(backup_server(postgres), tools_of(17), write=first, scratch=scratch)
    with tempfile.TemporaryDirectory(dir="/tmp") as reachable:
        place = Path(reachable)
        place.chmod(0o777)
        with first.open(TAR_STREAM) as source:
            restore_base(source, target_directory=place / "standby", verify=False, durable=False)
        (place / "standby/standby.signal").touch()
        shutil.chown(place / "standby/standby.signal", server_account() and server_account().name)
        primary = postgres.server().conninfo() + f" password={postgres.password} dbname=replication"
        standby = Postmaster(
            bin_directory=wheel_bin_directory(17),
            data_directory=place / "standby",
            log_file=place / "log",
            settings={
                "port": str(postgres.port),
                "listen_addresses": "",
                "unix_socket_directories": reachable,
                "fsync": "off",
                "primary_conninfo": primary.replace("application_name=lc2-backup", "application_name=standby"),
            },
            account=server_account(),
        )
        standby.start()
        try:
            postgres.execute(FILL, database=database.database)
            address = backup_server(postgres)
            address = type(address)(
                host=reachable, port=postgres.port, user=address.user, password=address.password, database="postgres"
            )
            with postgres.server().connect() as connection:
                target = connection.execute("SELECT pg_current_wal_flush_lsn()").fetchone()[0]
            with address.connect() as connection:
                until(
                    lambda: connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [target]).fetchone()[0],
                    what="the standby has replayed",
                )
            second = FileStreams(tmp_path)
            backup = capture_base_backup(address, tools_of(17), write=second, scratch=scratch)
        finally:
            standby.stop()
        with second.open(TAR_STREAM) as source:
            restored = restore_base(source, target_directory=place / "restored", durable=False)
        assert restored.verified.wal_parsed
        assert not (restored.directory / "standby.signal").exists()
        with (
            started(restored.directory, database=database.database, timeout_seconds=60, fsync=False) as server,
            server.connect() as connection,
        ):
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (40000,)
        assert backup.moment.restorable_until is not None
