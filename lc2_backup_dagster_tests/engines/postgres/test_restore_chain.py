"""Chains of increments, restored in place, are byte for byte what ``pg_combinebackup`` makes of the same backups."""

import contextlib
import io
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from lc2_backup_dagster.demo.servers.postgres import wheel_bin_directory
from lc2_backup_dagster.engines.postgres.restore_base import restore_chain
from lc2_backup_dagster.engines.postgres.scratch_server import start_and_ask
from lc2_backup_dagster.engines.postgres.tools import find_programs
from lc2_backup_dagster.model.errors import ChainBroken, ConfigurationError, IntegrityError, TargetNotEmpty
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
def test_a_chain_is_what_pg_combinebackup_makes(length, history, place):
    chain, _ = history
    result = restored(chain, place, *range(length))
    check_with_tool(place / "data", chain.server.major)
    assert (result.backups, result.verified.wal_parsed) == (length, True)
    if length == 1:
        return
    reference = chain.combined(place, *range(length))
    assert differing(content(place / "data"), content(reference)) == ["backup_manifest"]


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

    @contextlib.contextmanager
    def damaged(stream):
        with newest.open_stream(stream) as source:
            body = bytearray(source.read())
        if stream == name:
            body[victim(body) if name.endswith(".tar") else len(body) // 2] ^= 1
        yield io.BytesIO(body)

    with pytest.raises(IntegrityError):
        restore_chain([*older, replace(newest, open_stream=damaged)], target_directory=place / "data",
                      tablespaces=spaces_of(newest, place))  # fmt: skip
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
