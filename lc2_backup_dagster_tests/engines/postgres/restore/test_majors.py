"""Servers of every supported major version, where ``LC2_TEST_POSTGRES_MAJORS`` names a directory that has them."""

import shutil
import tempfile
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.base.capture import capture_base_backup
from lc2_backup_dagster.engines.postgres.base.stream_names import (
    INDEX_STREAM,
    MANIFEST_STREAM,
    TAR_STREAM,
    archive_stream,
    index_stream,
)
from lc2_backup_dagster.engines.postgres.dump.capture import DUMP_STREAM, REFERENCES_STREAM, capture_dump
from lc2_backup_dagster.engines.postgres.dump.restore import restore_dump
from lc2_backup_dagster.engines.postgres.servers.account import give_to, server_account
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools
from lc2_backup_dagster.model.errors import IncrementRefused, ServerUnavailable
from lc2_backup_dagster_tests.engines.postgres.asking import content_of, emptied, nothing_left
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.engines.postgres.unpacked import compare_with_manifest, running, truth, unpacked
from lc2_backup_dagster_tests.fixtures_postgres import BACKUP_ROLE, backup_server, majors_directory, start_server

pytestmark = pytest.mark.majors


@pytest.fixture(scope="module", params=[13, 14, 15, 16])
def old_server(request, tmp_path_factory):
    directory = majors_directory()
    if directory is None or not (directory / f"{request.param}/bin/postgres").exists():
        pytest.skip(f"LC2_TEST_POSTGRES_MAJORS has no {request.param}/bin: PostgreSQL {request.param} is NOT tested")
    server = start_server(tmp_path_factory.mktemp("old"), bin_directory=directory / f"{request.param}/bin")
    server.create_database("d")
    server.execute("CREATE TABLE t AS SELECT i, md5(i::text) v FROM generate_series(1, 5000) i", database="d")
    server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {BACKUP_ROLE}", database="d")
    yield server
    server.remove()


@pytest.fixture(scope="module")
def with_tablespaces(old_server):
    """The old server with a table of database ``d`` in each of two tablespaces."""
    for name in ("first", "second"):
        directory = old_server.place / name
        directory.mkdir(mode=0o700)
        give_to(server_account(), directory)
        old_server.execute(f"CREATE TABLESPACE {name} LOCATION '{directory}'")
        old_server.execute(
            f"CREATE TABLE in_{name} TABLESPACE {name} AS SELECT i, '{name}' v FROM generate_series(1, 50000) i",
            f"GRANT SELECT ON in_{name} TO {BACKUP_ROLE}",
            database="d",
        )
    return old_server


def test_a_base_backup_of_an_older_server_starts_as_an_equal_one(with_tablespaces, tmp_path):
    """Servers 13 and 14 speak the older form of the protocol."""
    server = with_tablespaces
    streams = FileStreams(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    backup = capture_base_backup(backup_server(server), write=streams, scratch=scratch)
    assert (backup.major, backup.incremental) == (server.major, False)
    oids = [tablespace.oid for tablespace in backup.tablespaces]
    assert len(oids) == 2
    assert streams.completed == [
        *map(archive_stream, oids), TAR_STREAM, MANIFEST_STREAM, *map(index_stream, oids), INDEX_STREAM
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        own = {oid: Path(place) / str(oid) for oid in oids}
        directory = unpacked(streams, Path(place) / "data", tablespaces=own)
        compare_with_manifest(directory)
        tables = {"d": ("t", "in_first", "in_second")}
        with running(directory, tools_directory=server.bin_directory) as restored:
            assert truth(restored, tables) == truth(server.server(), tables)
    nothing_left(server)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("end", ["pg_terminate_backend", "pg_cancel_backend"])
def test_a_base_backup_of_an_older_server_that_breaks_off_is_none(end, with_tablespaces, tmp_path):
    """A cancelled one ends its COPY, and what came of it is no archive."""

    def break_off(name, size):
        if name == TAR_STREAM and not size:
            with with_tablespaces.server().connect() as connection:
                connection.execute(f"SELECT {end}(pid) FROM pg_stat_progress_basebackup")

    streams = FileStreams(tmp_path, before_chunk=break_off)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(ServerUnavailable):
        capture_base_backup(backup_server(with_tablespaces), write=streams, scratch=scratch)
    assert TAR_STREAM not in streams.completed
    assert emptied(scratch)
    nothing_left(with_tablespaces)


def test_an_increment_of_an_older_server_is_refused_by_name(old_server, tmp_path):
    with pytest.raises(IncrementRefused, match=f"PostgreSQL {old_server.major}, which makes no increments"):
        capture_base_backup(
            backup_server(old_server), parent_manifest=tmp_path / "any", write=FileStreams(tmp_path), scratch=tmp_path
        )


def test_a_dump_of_an_older_server_restores_on_it_and_on_a_newer_one(old_server, postgres, tmp_path):
    streams = FileStreams(tmp_path)
    tools = find_tools(at_least_major=17)
    dump = capture_dump(
        backup_server(old_server, "d"), tools, write=streams, backup_id="x", references_sql="SELECT i FROM t"
    )
    assert dump.references == 5000
    assert len(streams.path(REFERENCES_STREAM).read_text().splitlines()) == 5000
    name = f"from_{old_server.major}"
    for target in (old_server, postgres):
        with streams.open(DUMP_STREAM) as source:
            restore_dump(source, target.server(), tools, target_database=name)
        assert content_of(target, name, "t") == content_of(old_server, "d", "t")
        target.execute(f"DROP DATABASE {name}")
