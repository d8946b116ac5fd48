"""Servers of every supported major version, where ``LC2_TEST_POSTGRES_MAJORS`` names a directory that has them."""

import shutil
import tempfile
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.basebackup import TAR_STREAM, capture_base_backup
from lc2_backup_dagster.engines.postgres.dump import DUMP_STREAM, REFERENCES_STREAM, capture_dump
from lc2_backup_dagster.engines.postgres.restore_base import restore_base
from lc2_backup_dagster.engines.postgres.restore_dump import restore_dump
from lc2_backup_dagster.engines.postgres.scratch_server import start_and_ask
from lc2_backup_dagster.engines.postgres.tools import find_tools
from lc2_backup_dagster_tests.engines.postgres.asking import content_of, nothing_left
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
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


def test_a_base_backup_of_an_older_server_restores(old_server, tmp_path):
    streams = FileStreams(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    tools = find_tools(at_least_major=17)
    backup = capture_base_backup(backup_server(old_server), tools, write=streams, scratch=scratch)
    assert backup.server_version.split(".")[0] == str(old_server.major)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        with streams.open(TAR_STREAM) as source:
            restored = restore_base(source, target_directory=Path(place) / "data", durable=False)
        assert restored.verified is not None
        rows = start_and_ask(
            restored.directory,
            "SELECT count(*), coalesce(sum(hashtext(t::text)::bigint), 0) FROM t t",
            database="d",
            tools_directory=old_server.bin_directory,
            timeout_seconds=60,
            fsync=False,
        )
    assert rows == content_of(old_server, "d", "t")
    nothing_left(old_server)
    shutil.rmtree(tmp_path)


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
