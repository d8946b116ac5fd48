"""Dumps of several jobs: stored while they are made, restored whole or not at all."""

import io
import itertools
import os
import shutil
import tarfile
import threading
import time
from collections import namedtuple
from types import SimpleNamespace

import pytest

from lc2_backup_dagster.demo.compare import compare_databases
from lc2_backup_dagster.engines.postgres.dump import directory as dump_directory
from lc2_backup_dagster.engines.postgres.dump.capture import (
    DUMP_STREAM,
    GLOBALS_STREAM,
    REFERENCES_STREAM,
    capture_dump,
)
from lc2_backup_dagster.engines.postgres.dump.directory import DIRECTORY_STREAM, DirectoryDump, unpack_dump
from lc2_backup_dagster.engines.postgres.dump.restore import DumpOptions, restore_dump
from lc2_backup_dagster.model.errors import (
    ConfigurationError,
    PartCorrupt,
    ServerUnavailable,
    StorageFull,
    ToolFailed,
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
    *(
        f"CREATE TABLE t{number} AS SELECT i, md5(i::text) v FROM generate_series(1, {rows}) i"
        for number, rows in enumerate([40000, 20000, 0, 3, 9000])
    ),
    "CREATE TABLE cache_page AS SELECT 1 AS i",
)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def target(postgres):
    name = f"restored_{os.urandom(4).hex()}"
    yield name
    postgres.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def stored(postgres, tmp_path_factory):
    """A dump made by two jobs, in files."""
    postgres.create_database("several")
    postgres.execute(*SCHEMA, database="several")
    streams, scratch = FileStreams(tmp_path_factory.mktemp("dump")), tmp_path_factory.mktemp("scratch")
    dump(postgres, "several", streams, scratch)
    yield streams
    postgres.execute("DROP DATABASE several WITH (FORCE)")


def dump(postgres, database, streams, scratch, *, jobs=2, **options):
    return capture_dump(
        backup_server(postgres, database), tools_of(17), write=streams, backup_id="x", jobs=jobs, scratch=scratch,
        **options,
    )  # fmt: skip


def restore(source, postgres, target, scratch, **options):
    return restore_dump(
        source, postgres.server(), tools_of(17), target_database=target, directory=True, scratch=scratch, **options
    )


def members(streams) -> list[str]:
    with tarfile.open(streams.path(DIRECTORY_STREAM)) as tar:
        return tar.getnames()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_dump_of_several_jobs_restores_row_by_row(jobs, postgres, make_database, tmp_path, scratch, target):
    database = make_database(
        postgres, *SCHEMA, "SELECT lo_from_bytea(9000 + i, 'bytes') FROM generate_series(1, 20) i",
        f"DO $$ BEGIN FOR i IN 9001..9020 LOOP EXECUTE 'GRANT SELECT ON LARGE OBJECT '||i||' TO {BACKUP_ROLE}';"
        " END LOOP; END $$",
    )  # fmt: skip
    streams = FileStreams(tmp_path)
    made = dump(
        postgres, database.database, streams, scratch,
        exclude_table_data=["cache_*"], references_sql="SELECT i FROM t3",
    )  # fmt: skip
    assert [stream.name for stream in made.streams] == [DIRECTORY_STREAM, GLOBALS_STREAM, REFERENCES_STREAM]
    assert (made.jobs, made.jobs_skipped) == (2, None)
    assert members(streams)[-1] == "toc.dat"
    assert emptied(scratch)
    with streams.open(DIRECTORY_STREAM) as source:
        restored = restore(source, postgres, target, scratch, options=DumpOptions(jobs=jobs))
    assert (restored.tables, restored.jobs) == (6, jobs)
    assert emptied(scratch)
    found = compare_databases(database, postgres.server(target), ignore=lambda table: table == "public.cache_page")
    assert found.equal, found.text()
    assert found.compared["large objects"] == 20
    assert content_of(postgres, target, "cache_page") == [(0, 0)]
    nothing_left(postgres)


def test_jobs_and_references_read_the_same_snapshot_under_a_writer(postgres, make_database, tmp_path, scratch, target):
    database = make_database(postgres, *SCHEMA, "CREATE TABLE moved (i int, a int)", "INSERT INTO moved VALUES (0, 0)")
    stop = threading.Event()

    def write():
        with database.connect() as connection:
            for i in range(1, 1_000_000):
                if stop.is_set():
                    return
                # in every committed state t3 and moved agree
                with connection.transaction():
                    connection.execute("UPDATE moved SET i = %s", [i])
                    connection.execute("UPDATE t3 SET v = %s", [str(i)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        streams = FileStreams(tmp_path)
        dump(postgres, database.database, streams, scratch, references_sql="SELECT i FROM moved")
    finally:
        stop.set()
        writer.join()
    with streams.open(DIRECTORY_STREAM) as source:
        restore(source, postgres, target, scratch)
    with postgres.server(target).connect() as connection:
        moved = connection.execute("SELECT i FROM moved").fetchone()[0]
        values = connection.execute("SELECT DISTINCT v FROM t3").fetchall()
    assert streams.path(REFERENCES_STREAM).read_text() == f'{{"i":{moved}}}\n'
    assert values == [(str(moved),)] or moved == 0


class Gradual:
    """A stand-in for ``pg_dump``: a leader and a worker that make files when they are told to."""

    def __init__(self, folder):
        self.told = folder / "told"
        self.told.mkdir()
        script = folder / "pg_dump"
        script.write_text(
            "#!/bin/bash\n"
            'directory="${1#--file=}"; mkdir "$directory"\n'
            f'wait_for() {{ while [ ! -e {self.told}/"$1" ]; do sleep 0.01; done; }}\n'
            "(\n"
            '  printf first >"$directory/1.dat"\n'
            '  exec 3>"$directory/2.dat"; printf sec >&3; wait_for second; printf ond >&3; exec 3>&-\n'
            ")\n"
            '[ -e "$directory/2.dat" ] && wait_for end\n'
            'printf contents >"$directory/toc.dat"\n'
        )
        script.chmod(0o755)
        self.command = [str(script)]

    def tell(self, word):
        (self.told / word).touch()


def test_a_file_is_stored_and_removed_as_soon_as_no_worker_has_it_open(tmp_path, monkeypatch):
    tool = Gradual(tmp_path)
    directory = tmp_path / "dump"
    seen_half = []
    looks = itertools.count()

    def found_nothing_complete(seconds):
        """Stands for the short sleep after a look that found nothing to store."""
        half = directory / "2.dat"
        if not seen_half and half.exists() and (content := half.read_bytes()):
            seen_half.append(content)
            tool.tell("second")
        if next(looks) > 500:
            tool.tell("second")  # the test fails below instead of waiting for ever
            tool.tell("end")
        time.sleep(seconds)

    monkeypatch.setattr(dump_directory, "time", SimpleNamespace(sleep=found_nothing_complete))
    taken = bytearray()
    with DirectoryDump(tool.command, server=None, directory=directory) as source:
        while b"second" not in taken:
            chunk = source.read(1 << 20)
            assert chunk
            taken += chunk
            assert len(taken) < 10_000
        assert b"contents" not in taken
        tool.tell("end")
        while chunk := source.read(1 << 20):
            taken += chunk
    assert seen_half == [b"sec"]
    with tarfile.open(fileobj=io.BytesIO(taken)) as tar:
        assert [(name, tar.extractfile(name).read()) for name in tar.getnames()] == [
            ("1.dat", b"first"),
            ("2.dat", b"second"),
            ("toc.dat", b"contents"),
        ]
    assert emptied(directory)


def test_a_system_that_does_not_tell_open_files_stores_all_at_the_end(postgres, tmp_path, scratch, stored, monkeypatch):
    monkeypatch.setattr(dump_directory, "_PROC", tmp_path / "no proc")
    streams = FileStreams(tmp_path)
    dump(postgres, "several", streams, scratch)
    assert sorted(members(streams)) == sorted(members(stored))


def test_without_room_in_scratch_one_job_streams_and_says_why(postgres, stored, tmp_path, scratch, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**12, 0, 5_000_000))
    made = dump(postgres, "several", FileStreams(tmp_path), scratch)
    assert made.streams[0].name == DUMP_STREAM
    assert made.jobs == 1
    assert made.jobs_skipped == f"scratch has 5000000 bytes free, 2 jobs want {2 * made.database_bytes}"


@pytest.mark.parametrize("which", ["leader", "worker"])
def test_a_killed_pg_dump_is_a_failure_and_leaves_nothing(which, postgres, make_database, tmp_path, scratch):
    # Large enough that nobody misses pg_dump while it works.
    rows = "SELECT i, repeat(md5(i::text), 6) FROM generate_series(1, 400000) i"
    database = make_database(postgres, f"CREATE TABLE one AS {rows}", f"CREATE TABLE other AS {rows}")

    def kill():
        # Workers are there, and have to log in before they work.
        until(lambda: len(running_tools("pg_dump")) >= 2, what="leader and workers run")
        family = sorted(running_tools("pg_dump"), key=lambda each: each.create_time())
        family[0 if which == "leader" else -1].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    streams = FileStreams(tmp_path)
    try:
        with pytest.raises(ToolFailed):
            dump(postgres, database.database, streams, scratch)
    finally:
        killer.join()
    assert streams.completed == []
    assert emptied(scratch)
    assert running_tools("pg_dump") == []
    nothing_left(postgres)


def test_a_store_that_fails_ends_the_dump_and_leaves_nothing(postgres, tmp_path, scratch, stored):
    def fail(name, size):
        raise PartCorrupt("the store failed")

    with pytest.raises(PartCorrupt):
        dump(postgres, "several", FileStreams(tmp_path, before_chunk=fail), scratch)
    assert emptied(scratch)
    assert running_tools("pg_dump") == []
    nothing_left(postgres)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_table_that_stays_locked_is_a_transient_error_that_names_it(jobs, postgres, make_database, tmp_path, scratch):
    database = make_database(postgres, "CREATE TABLE wanted (i int)")
    streams = FileStreams(tmp_path)
    with database.connect() as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE wanted")
        with pytest.raises(ServerUnavailable, match=r"stayed locked: .*public\.wanted.*pg_locks"):
            dump(postgres, database.database, streams, scratch, jobs=jobs, lock_wait_seconds=1)
        holder.execute("ROLLBACK")
    assert streams.completed == []
    dump(postgres, database.database, streams, scratch, jobs=jobs, lock_wait_seconds=1)


def test_a_restore_without_room_is_refused_before_anything_is_made(postgres, stored, scratch, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**12, 0, 5_000))
    with stored.open(DIRECTORY_STREAM) as source, pytest.raises(StorageFull, match="needs 6000"):
        restore(source, postgres, target, scratch, dump_bytes=6000)
    with stored.open(DIRECTORY_STREAM) as source, pytest.raises(ConfigurationError, match="without a scratch"):
        restore(source, postgres, target, None)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_dump_that_ends_early_is_refused_and_leaves_no_database(share, postgres, stored, scratch, target):
    whole = stored.path(DIRECTORY_STREAM).read_bytes()
    # without the end of the archive, and without all of toc.dat
    cut = io.BytesIO(whole[: int(share * (len(whole) - 1024))])
    with pytest.raises(ToolFailed):
        restore(cut, postgres, target, scratch)
    assert emptied(scratch)
    with postgres.server().connect() as connection:
        found = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [target + "%"]).fetchall()
    assert found == []


def test_a_tar_without_contents_is_refused(stored, tmp_path):
    with tarfile.open(stored.path(DIRECTORY_STREAM)) as whole, tarfile.open(tmp_path / "cut.tar", "w") as cut:
        for member in whole.getmembers()[:-1]:
            cut.addfile(member, whole.extractfile(member))
    with (tmp_path / "cut.tar").open("rb") as source, pytest.raises(ToolFailed, match=r"no toc\.dat"):
        unpack_dump(source, tmp_path / "dump")


@pytest.mark.parametrize("name", ["../outside", "/tmp/lc2-outside", "sub/file"])
def test_a_member_that_is_no_file_of_a_dump_is_refused(name, tmp_path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    made.seek(0)
    with pytest.raises(ToolFailed, match="no file of a pg_dump directory"):
        unpack_dump(made, tmp_path / "dump")


def test_tablespaces_are_among_the_globals_and_a_restore_does_not_need_them(
    postgres, postgres_18, make_database, tmp_path
):
    place = postgres.place / "space"
    place.mkdir(mode=0o700)
    shutil.chown(place, *_owner(postgres.data_directory))
    postgres.execute(f"CREATE TABLESPACE fast LOCATION '{place}'")
    try:
        database = make_database(postgres, "CREATE TABLE t TABLESPACE fast AS SELECT i FROM generate_series(1, 9) i")
        streams = FileStreams(tmp_path)
        dump(postgres, database.database, streams, None, jobs=1)
        assert f"CREATE TABLESPACE fast OWNER postgres LOCATION '{place}'" in streams.path(GLOBALS_STREAM).read_text()
        with streams.open(DUMP_STREAM) as source:
            restore_dump(source, postgres_18.server(), tools_of(18), target_database="without_fast")
        assert content_of(postgres_18, "without_fast", "t") == content_of(postgres, database.database, "t")
        postgres.execute(f"DROP DATABASE {database.database}")
    finally:
        postgres.execute("DROP TABLESPACE fast")
        postgres_18.execute("DROP DATABASE IF EXISTS without_fast")


def _owner(path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid
