"""Chains of increments, restored in place, are byte for byte what ``pg_combinebackup`` makes of the same backups."""

import io
import shutil
import subprocess
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from lc2_backup_dagster.demo.servers.postgres import wheel_bin_directory
from lc2_backup_dagster.engines.postgres.base.tar_index import TarMember
from lc2_backup_dagster.engines.postgres.restore import base as restore_base
from lc2_backup_dagster.engines.postgres.restore.base import restore_chain
from lc2_backup_dagster.engines.postgres.restore.tar_ranges import cut_tar
from lc2_backup_dagster.engines.postgres.servers.scratch import start_and_ask
from lc2_backup_dagster.engines.postgres.servers.tools import find_programs
from lc2_backup_dagster.model.errors import ChainBroken, ConfigurationError, IntegrityError, PartCorrupt, TargetNotEmpty
from lc2_backup_dagster_tests.engines.postgres.chains import BackupChain, content, differing
from lc2_backup_dagster_tests.fixtures_postgres import start_server

CONTENT = """
    SELECT (SELECT md5(string_agg(t::text, '' ORDER BY i)) FROM kept t),
           (SELECT count(*) FROM shrunk), (SELECT sum(i) FROM moved), (SELECT count(*) FROM late),
           (SELECT md5(string_agg(lo_get(oid), '' ORDER BY oid)) FROM pg_largeobject_metadata),
           (SELECT count(*) FROM unlogged_rows)
"""


def make_history(server, chain: BackupChain, tablespace: Path) -> tuple:
    """Take five backups with everything in between that moves, drops or shortens files; return the final content."""

    def run(*statements: str) -> None:
        server.execute(*statements, database="app")

    server.create_database("app")
    server.create_database("dropped")
    server.execute("CREATE TABLE gone AS SELECT generate_series(1, 1000) i", database="dropped")
    server.execute(f"CREATE TABLESPACE place LOCATION '{tablespace}'")
    run(
        "CREATE TABLE kept AS SELECT i, repeat('x', 100) pad FROM generate_series(1, 40000) i",
        "CREATE INDEX ON kept (i)",
        "CREATE TABLE shrunk AS SELECT i, repeat('y', 100) pad FROM generate_series(1, 20000) i",
        "CREATE TABLE moved TABLESPACE place AS SELECT generate_series(1, 20000) i",
        "CREATE TABLE filled AS SELECT generate_series(1, 10000) i",
        "CREATE UNLOGGED TABLE unlogged_rows AS SELECT generate_series(1, 5000) i",
        "SELECT lo_from_bytea(0, decode(repeat('ab', 30000), 'hex'))",
    )
    chain.take()
    run("UPDATE kept SET pad = 'changed' WHERE i % 997 = 0", "DELETE FROM shrunk WHERE i > 5000", "VACUUM shrunk")
    run("SELECT lo_put(oid, 100, 'overwritten') FROM pg_largeobject_metadata", "TRUNCATE filled")
    chain.take()
    run("INSERT INTO filled SELECT generate_series(1, 3000)", "UPDATE moved SET i = i + 1 WHERE i % 50 = 0")
    run("VACUUM FULL kept", "CREATE TABLE late AS SELECT generate_series(1, 100) i")
    server.execute("DROP DATABASE dropped")
    server.create_database("newer")
    chain.take()
    chain.take()  # nothing has changed
    run("UPDATE kept SET pad = 'again' WHERE i = 20000", "INSERT INTO late SELECT generate_series(101, 5000)")
    run("ALTER TABLE moved SET TABLESPACE pg_default", "CREATE TABLE placed TABLESPACE place AS SELECT 1 AS i")
    chain.take()
    with server.server("app").connect() as connection:
        return connection.execute(CONTENT).fetchone()


@pytest.fixture(scope="module", params=[17, 18])
def history(request, tmp_path_factory):
    """A server with a chain of five backups and the content of the last."""
    server = start_server(tmp_path_factory.mktemp("chain"), bin_directory=wheel_bin_directory(request.param))
    tablespace = server.place / "tablespace"
    tablespace.mkdir()
    shutil.chown(tablespace, server.data_directory.owner())
    try:
        chain = BackupChain(server, tmp_path_factory.mktemp("backups"))
        truth = make_history(server, chain, tablespace)
        yield chain, truth
    finally:
        server.remove()


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch):
    """Archives are cut into many ranges, as those of large databases are."""
    monkeypatch.setattr("lc2_backup_dagster.engines.postgres.restore.base.RANGE_BYTES", 100_000)


def restored(chain: BackupChain, place: Path, *numbers: int, **options):
    stored = chain.stored(*numbers)
    options = {"tablespaces": spaces_of(stored[-1], place), "durable": False, **options}
    return restore_chain(stored, target_directory=place / "data", **options)


def spaces_of(stored, place: Path) -> dict[int, Path]:
    return {oid: place / f"space-{oid}" for oid in stored.tablespaces}


def check_with_tool(directory: Path, major: int) -> None:
    program = find_programs("pg_verifybackup", major=major) / "pg_verifybackup"
    subprocess.run([program, "--exit-on-error", directory], check=True, capture_output=True)


@pytest.mark.parametrize("length", [1, 5])
def test_a_chain_is_what_pg_combinebackup_makes(length, history, place, monkeypatch):
    chain, _ = history
    cut = []
    monkeypatch.setattr(restore_base, "cut_tar", lambda *of, **how: cut.append(cut_tar(*of, **how)) or cut[-1])
    result = restored(chain, place, *range(length))
    assert max(map(len, cut)) > 50  # ranges of the full backup
    check_with_tool(place / "data", chain.server.major)
    assert (result.backups, result.verified.wal_parsed) == (length, True)
    if length == 1:
        return
    reference = chain.combined(place, *range(length))
    assert differing(content(place / "data"), content(reference)) == ["backup_manifest"]


def with_damaged_index(stored):
    def open_stream(name):
        if name.endswith(".index"):
            raise PartCorrupt(f"{name} is damaged")
        return stored.open_stream(name)

    return replace(stored, open_stream=open_stream)


def as_whole_streams(stored):
    return replace(stored, open_range=None)


@pytest.mark.parametrize("made", [with_damaged_index, as_whole_streams])
def test_without_an_index_a_chain_is_the_same(made, history, place):
    chain, _ = history
    stored = chain.stored(0, 1)
    restored(chain, place, 0, 1)
    restore_chain([made(each) for each in stored], target_directory=place / "other", durable=False,
                  tablespaces=dict.fromkeys(stored[-1].tablespaces, place / "other-space"))  # fmt: skip
    assert differing(content(place / "data"), content(place / "other")) == []


def test_an_index_that_lies_is_noticed_and_leaves_nothing(history, place):
    """It names boundaries where no member begins."""
    chain, _ = history
    [full] = chain.stored(0)

    def shifted(name):
        source = full.open_stream(name)
        if not name.endswith(".index"):
            return source
        with source:
            members = [TarMember.from_line(line) for line in source]
        return io.BytesIO(b"".join(replace(each, size=each.size + 512).to_line() for each in members[:-1]))

    with pytest.raises(IntegrityError):
        restore_chain([replace(full, open_stream=shifted)], target_directory=place / "data",
                      tablespaces=spaces_of(full, place))  # fmt: skip
    assert list(place.iterdir()) == []


def test_a_lane_that_breaks_stops_the_others_and_leaves_nothing(history, place):
    chain, _ = history
    *older, newest = chain.stored(0, 1)
    opened = []

    def breaking(name, start, end):
        opened.append(start)
        if len(opened) == 5:
            raise PartCorrupt("part 7 is damaged")
        return older[0].open_range(name, start, end)

    with pytest.raises(PartCorrupt, match="part 7"):
        restore_chain([replace(older[0], open_range=breaking), newest], target_directory=place / "data",
                      tablespaces=spaces_of(newest, place))  # fmt: skip
    assert len(opened) < 10
    assert list(place.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("restore")]


def test_the_restored_chain_starts_and_has_the_last_rows(history, place):
    chain, truth = history
    restored(chain, place, verify=False)
    found = start_and_ask(place / "data", CONTENT, database="app", fsync=False)
    *logged, _ = truth
    assert found == [(*logged, 0)]  # unlogged tables are empty after a crash, and after a restore
    databases = start_and_ask(place / "data", "SELECT datname FROM pg_database", fsync=False)
    assert {"app", "newer"} < {name for (name,) in databases}
    assert ("dropped",) not in databases


def test_backups_in_wrong_order_or_of_other_chains_are_refused_before_anything_is_written(history, place):
    chain, _ = history
    for numbers in ((0, 2), (1, 2), (0, 2, 1)):
        with pytest.raises((ChainBroken, IntegrityError)):
            restored(chain, place, *numbers)
        assert list(place.iterdir()) == []


def test_a_chain_of_two_systems_is_refused(history, place):
    chain, _ = history
    full, increment = chain.stored(0, 1)
    foreign = replace(full, system_identifier="7000000000000000001")
    with pytest.raises(ChainBroken, match="is of system"):
        restore_chain([foreign, replace(increment, system_identifier="7000000000000000001")],
                      target_directory=place / "data", tablespaces=spaces_of(increment, place))  # fmt: skip
    assert list(place.iterdir()) == []


def victim(tar: bytes) -> int:
    """Return a position inside the blocks of the largest increment of a file."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        largest = max((each for each in archive if "/INCREMENTAL." in each.name), key=lambda each: each.size)
    return largest.offset_data + largest.size - 100


@pytest.mark.parametrize("name", ["base.tar", "backup_manifest"])
def test_damage_in_an_increment_is_noticed_and_leaves_nothing(name, history, place):
    """Also behind the checksums of stored parts: a stream that is not what the server's manifest promises."""
    chain, _ = history
    *older, newest = chain.stored(0, 1, 2)

    with newest.open_stream(name) as source:
        body = bytearray(source.read())
    body[victim(body) if name.endswith(".tar") else len(body) // 2] ^= 1

    def open_stream(stream):
        return io.BytesIO(body) if stream == name else newest.open_stream(stream)

    def open_range(stream, start, end):
        return io.BytesIO(body[start:end]) if stream == name else newest.open_range(stream, start, end)

    damaged = replace(newest, open_stream=open_stream, open_range=open_range)
    with pytest.raises(IntegrityError):
        restore_chain([*older, damaged], target_directory=place / "data", tablespaces=spaces_of(newest, place))
    assert list(place.iterdir()) == []


def test_every_tablespace_needs_a_directory_of_its_own(history, place):
    chain, _ = history
    stored = chain.stored(0)
    [oid] = stored[-1].tablespaces
    target = place / "data"
    with pytest.raises(ConfigurationError, match=f"no directory was named for tablespace {oid}"):
        restore_chain(stored, target_directory=target)
    with pytest.raises(ConfigurationError, match="has no tablespace 1"):
        restore_chain(stored, target_directory=target, tablespaces={1: place / "x"})
    with pytest.raises(ConfigurationError, match="lies inside"):
        restore_chain(stored, target_directory=target, tablespaces={oid: target / "inside"})
    (place / "full").mkdir()
    (place / "full/precious").touch()
    with pytest.raises(TargetNotEmpty, match="is not empty"):
        restore_chain(stored, target_directory=target, tablespaces={oid: place / "full"})
    assert [path.name for path in place.iterdir()] == ["full"]
