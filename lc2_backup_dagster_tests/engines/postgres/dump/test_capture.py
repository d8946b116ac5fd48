"""Dumps of real servers and their restore."""

import json
import os
import threading

import pytest

from lc2_backup_dagster.engines.postgres.dump.capture import (
    DUMP_STREAM,
    GLOBALS_STREAM,
    REFERENCES_STREAM,
    capture_dump,
)
from lc2_backup_dagster.engines.postgres.dump.restore import DumpOptions, restore_dump
from lc2_backup_dagster.engines.postgres.servers.tools import Tools
from lc2_backup_dagster.model.errors import (
    MissingPrivilege,
    PartCorrupt,
    ServerUnavailable,
    TargetNotEmpty,
    ToolFailed,
    ToolTooOld,
)
from lc2_backup_dagster_tests.engines.postgres.asking import (
    content_of,
    emptied,
    nothing_left,
    running_tools,
    tools_of,
    until,
)
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.fixtures_postgres import BACKUP_ROLE, backup_server

SCHEMA = (
    'CREATE TABLE "DLFileEntry" (id int PRIMARY KEY, name text, note text)',
    """INSERT INTO "DLFileEntry" SELECT i, 'file ' || i, repeat(md5(i::text), 20) FROM generate_series(1, 20000) i""",
    'CREATE TABLE child (id int REFERENCES "DLFileEntry", v text)',
    "INSERT INTO child SELECT i, 'ä' || i FROM generate_series(1, 500) i",
    "CREATE TABLE cache_page (k text PRIMARY KEY, v text)",
    "INSERT INTO cache_page VALUES ('a', 'b')",
    "CREATE SEQUENCE numbers",
    "SELECT setval('numbers', 4711)",
    "ANALYZE",
)


def databases_like(server, stem: str) -> list[str]:
    with server.server().connect() as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [stem + "%"]).fetchall()
    return [row[0] for row in rows]


@pytest.fixture
def target(postgres):
    """A name for a restored database, dropped afterwards."""
    name = f"restored_{os.urandom(4).hex()}"
    yield name
    for left in databases_like(postgres, name):
        postgres.execute(f'DROP DATABASE "{left}" WITH (FORCE)')


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_dump_restores_to_equal_tables_and_large_objects(jobs, postgres, make_database, tmp_path, target):
    database = make_database(postgres, *SCHEMA, f"SELECT lo_from_bytea(777{jobs}, repeat('bytes ', 9000)::bytea)")
    postgres.execute(f"GRANT SELECT ON LARGE OBJECT 777{jobs} TO {BACKUP_ROLE}", database=database.database)
    streams = FileStreams(tmp_path)
    dump = capture_dump(
        backup_server(postgres, database.database),
        tools_of(17),
        write=streams,
        backup_id=f"x{jobs}",
        exclude_table_data=["cache_*"],
    )
    assert [stream.name for stream in dump.streams] == [DUMP_STREAM, GLOBALS_STREAM]
    assert (dump.tables, dump.large_objects, dump.references) == (3, 1, None)
    assert dump.estimated_rows == 20501
    assert "PASSWORD" not in streams.path(GLOBALS_STREAM).read_text()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with streams.open(DUMP_STREAM) as source:
        restored = restore_dump(
            source,
            postgres.server(),
            tools_of(17),
            target_database=target,
            options=DumpOptions(jobs=jobs, properties=dump.properties),
            scratch=scratch,
            dump_bytes=dump.streams[0].plain_bytes,
        )
    assert (restored.tables, restored.jobs) == (3, jobs)
    assert emptied(scratch)
    tables = ('"DLFileEntry"', "child")
    assert content_of(postgres, target, *tables) == content_of(postgres, database.database, *tables)
    assert content_of(postgres, target, "cache_page") == [(0, 0)]
    with postgres.server(target).connect() as connection:
        assert connection.execute(f"SELECT lo_get(777{jobs})").fetchone()[0] == b"bytes " * 9000
        assert connection.execute("SELECT last_value FROM numbers").fetchone() == (4711,)
    assert databases_like(postgres, target) == [target]
    nothing_left(postgres)


def test_a_dump_of_18_restores_to_18(postgres_18, make_database, tmp_path):
    database = make_database(postgres_18, *SCHEMA)
    streams = FileStreams(tmp_path)
    capture_dump(backup_server(postgres_18, database.database), tools_of(18), write=streams, backup_id="x")
    with streams.open(DUMP_STREAM) as source:
        restore_dump(source, postgres_18.server(), tools_of(18), target_database="restored")
    try:
        assert content_of(postgres_18, "restored", "child") == content_of(postgres_18, database.database, "child")
    finally:
        postgres_18.execute("DROP DATABASE restored")


def test_references_and_dump_read_the_same_snapshot_under_a_writer(postgres, make_database, tmp_path, target):
    database = make_database(postgres, *SCHEMA)
    stop = threading.Event()

    def write():
        with database.connect() as connection:
            for i in range(20_001, 1_000_000):
                if stop.is_set():
                    return
                connection.execute('INSERT INTO "DLFileEntry" VALUES (%s, %s, NULL)', [i, f'quote " and \\ {i}'])
                connection.execute('DELETE FROM "DLFileEntry" WHERE id = %s', [i - 15_000])

    writer = threading.Thread(target=write)
    writer.start()
    streams = FileStreams(tmp_path)
    try:
        dump = capture_dump(
            backup_server(postgres, database.database),
            tools_of(17),
            write=streams,
            backup_id="x",
            references_sql='SELECT id, name, note IS NULL AS fresh FROM "DLFileEntry" ORDER BY id;',
        )
    finally:
        stop.set()
        writer.join()
    lines = streams.path(REFERENCES_STREAM).read_text().splitlines()
    references = [json.loads(line) for line in lines]
    assert dump.references == len(references)
    with streams.open(DUMP_STREAM) as source:
        restore_dump(source, postgres.server(), tools_of(17), target_database=target)
    with postgres.server(target).connect() as connection:
        rows = connection.execute('SELECT id, name, note IS NULL FROM "DLFileEntry" ORDER BY id').fetchall()
    assert [tuple(reference.values()) for reference in references] == rows
    assert dump.moment.restorable_from == dump.moment.restorable_until


def test_the_restore_point_is_made_where_allowed_and_otherwise_explained(postgres, make_database, tmp_path):
    database = make_database(postgres)
    address = backup_server(postgres, database.database)
    first = capture_dump(address, tools_of(17), write=FileStreams(tmp_path), backup_id="one")
    assert first.restore_point is None
    assert "GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO lc2_backup" in first.restore_point_skipped
    postgres.execute(
        f"GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO {BACKUP_ROLE}", database=database.database
    )
    second = capture_dump(address, tools_of(17), write=FileStreams(tmp_path), backup_id="two")
    assert (second.restore_point, second.restore_point_skipped) == ("lc2-two", None)
    assert "lc2-two" in postgres.log_tail()


def test_a_wrong_references_query_fails_before_the_dump(postgres, make_database, tmp_path):
    database = make_database(postgres)
    streams = FileStreams(tmp_path)
    with pytest.raises(ToolFailed, match='relation "nowhere" does not exist'):
        capture_dump(
            backup_server(postgres, database.database), tools_of(17), write=streams, backup_id="x",
            references_sql="SELECT * FROM nowhere",
        )  # fmt: skip
    assert streams.completed == []
    nothing_left(postgres)


def test_a_killed_pg_dump_never_looks_like_a_clean_end(postgres, make_database, tmp_path):
    database = make_database(postgres, *SCHEMA)

    def kill(name, size):
        for process in running_tools("pg_dump"):
            process.kill()

    streams = FileStreams(tmp_path, before_chunk=kill)
    with pytest.raises(ToolFailed, match="SIGKILL"):
        capture_dump(backup_server(postgres, database.database), tools_of(17), write=streams, backup_id="x")
    assert streams.completed == []
    nothing_left(postgres)


def test_a_dump_whose_snapshot_session_broke_fails(postgres, make_database, tmp_path):
    database = make_database(postgres, *SCHEMA)

    def terminate(name, size):
        if not size:
            postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
                f" AND usename = '{BACKUP_ROLE}' AND query LIKE '%pg_db_role_setting%'"
            )

    with pytest.raises(ServerUnavailable):
        capture_dump(
            backup_server(postgres, database.database), tools_of(17), backup_id="x",
            write=FileStreams(tmp_path, before_chunk=terminate),
        )  # fmt: skip
    nothing_left(postgres)


def test_pg_dump_older_than_the_server_is_refused(postgres_18, tmp_path):
    with pytest.raises(ToolTooOld):
        capture_dump(backup_server(postgres_18), tools_of(17), write=FileStreams(tmp_path), backup_id="x")


@pytest.fixture(scope="module")
def small_dump(postgres, tmp_path_factory):
    streams = FileStreams(tmp_path_factory.mktemp("dump"))
    postgres.create_database("small")
    postgres.execute("CREATE TABLE t AS SELECT i FROM generate_series(1, 200000) i", database="small")
    capture_dump(backup_server(postgres, "small"), tools_of(17), write=streams, backup_id="small")
    yield streams
    postgres.execute("DROP DATABASE small WITH (FORCE)")


def test_an_existing_database_is_never_overwritten(postgres, make_database, small_dump):
    database = make_database(postgres, "CREATE TABLE mine (i int)")
    with small_dump.open(DUMP_STREAM) as source, pytest.raises(TargetNotEmpty, match="exists"):
        restore_dump(source, postgres.server(), tools_of(17), target_database=database.database)
    assert content_of(postgres, database.database, "mine") == [(0, 0)]


def test_a_target_created_meanwhile_is_not_overwritten(postgres, small_dump, target):
    with small_dump.open(DUMP_STREAM) as source, pytest.raises(TargetNotEmpty, match="during the restore"):
        restore_dump(
            source, postgres.server(), tools_of(17), target_database=target,
            on_progress=lambda done, total: postgres.create_database(target),
        )  # fmt: skip
    assert databases_like(postgres, target) == [target]


class Broken:
    def __init__(self, file, error):
        self.file, self.error, self.reads = file, error, 0

    def read(self, size, /):
        self.reads += 1
        if self.reads > 1:
            if self.error:
                raise self.error
            return b""
        return self.file.read(size)


@pytest.mark.parametrize(("error", "expected"), [(PartCorrupt("part 2"), PartCorrupt), (None, ToolFailed)])
def test_a_source_that_breaks_or_ends_early_leaves_no_database(error, expected, postgres, small_dump, target):
    with small_dump.open(DUMP_STREAM) as file, pytest.raises(expected):
        restore_dump(Broken(file, error), postgres.server(), tools_of(17), target_database=target)
    assert databases_like(postgres, target) == []
    nothing_left(postgres)


def test_rubbish_is_refused_and_leaves_no_database(postgres, target, tmp_path):
    (tmp_path / "rubbish").write_bytes(b"no dump" * 1000)
    with (
        (tmp_path / "rubbish").open("rb") as source,
        pytest.raises(ToolFailed, match="pg_restore ended with exit code 1"),
    ):
        restore_dump(source, postgres.server(), tools_of(17), target_database=target)
    assert databases_like(postgres, target) == []


def test_a_killed_pg_restore_leaves_no_database(postgres, small_dump, target):
    killed = []

    def kill(done, total):
        if not killed:  # the pipe may take further chunks before the end is noticed
            until(lambda: bool(running_tools("pg_restore")), what="pg_restore runs")
            killed.extend(running_tools("pg_restore"))
            for process in killed:
                process.kill()

    with small_dump.open(DUMP_STREAM) as source, pytest.raises(ToolFailed, match="SIGKILL"):
        restore_dump(source, postgres.server(), tools_of(17), target_database=target, on_progress=kill)
    assert databases_like(postgres, target) == []


def test_what_a_killed_restore_left_behind_is_dropped_by_the_next(postgres, small_dump, target):
    abandoned, alive = f"{target}_lc2_0a0a0a", f"{target}_lc2_0b0b0b"
    for name in (abandoned, alive):
        postgres.create_database(name)
        postgres.execute(f"COMMENT ON DATABASE {name} IS 'lc2-backup: unfinished restore of {target}'")
    with small_dump.open(DUMP_STREAM) as source, postgres.server(alive).connect():
        restored = restore_dump(source, postgres.server(), tools_of(17), target_database=target)
    assert restored.removed_leftovers == (abandoned,)
    assert sorted(databases_like(postgres, target)) == [target, alive]


def test_a_role_that_may_not_create_databases_is_told_so(postgres, small_dump, target):
    with small_dump.open(DUMP_STREAM) as source, pytest.raises(MissingPrivilege, match='"lc2_backup" CREATEDB'):
        restore_dump(source, backup_server(postgres), tools_of(17), target_database=target)


def test_owner_role_owns_what_is_restored(postgres, small_dump, target):
    postgres.create_role("application", password="a")
    with small_dump.open(DUMP_STREAM) as source:
        restore_dump(
            source, postgres.server(), tools_of(17), target_database=target,
            options=DumpOptions(owner_role="application"),
        )  # fmt: skip
    with postgres.server(target).connect() as connection:
        owners = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 't'").fetchall()
    assert owners == [("application",)]


def test_a_tool_that_succeeds_without_reading_its_input_is_a_failure(postgres, small_dump, target, tmp_path):
    (tmp_path / "pg_restore").write_text("#!/bin/sh\nexec true\n")
    (tmp_path / "pg_restore").chmod(0o755)
    with small_dump.open(DUMP_STREAM) as source, pytest.raises(ToolFailed, match="without reading"):
        restore_dump(source, postgres.server(), Tools(tmp_path, "17", 17), target_database=target)
    assert databases_like(postgres, target) == []
