"""The commands of README.txt, literally, on backups of a real PostgreSQL server."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.demo.servers.postgres import PostgresServer, wheel_bin_directory
from lc2_backup_dagster.engines.postgres.base.capture import capture_base_backup
from lc2_backup_dagster.engines.postgres.dump.capture import capture_dump
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.repository.site import open_site_repository
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.fixtures_postgres import backup_server
from lc2_backup_dagster_tests.repository.kit.running import run_kit

_ROWS = "SELECT count(*), md5(string_agg(id || text, '' ORDER BY id)) FROM article"


@pytest.fixture
def repository(tmp_path: Path):
    KeyFile.create(tmp_path / "site.key")
    store = DirectoryStore(tmp_path / "repository", create=True)
    return open_site_repository(
        store, SiteId("retail", "liferay"), wrapper=KeyFile.read(tmp_path / "site.key"), create=True
    )


@pytest.fixture
def database(postgres: PostgresServer, make_database: Callable[..., Server]) -> Server:
    return make_database(
        postgres,
        "CREATE TABLE article (id int PRIMARY KEY, text text)",
        "INSERT INTO article SELECT n, repeat('größe ' || n, 20) FROM generate_series(1, 5000) n",
    )


def kit(tmp_path: Path, *arguments: object):
    command, *rest = map(str, arguments)
    script = tmp_path / "repository/kit/0.1.0/restore.py"
    return run_kit(script, command, tmp_path / "repository", *rest, "--key-file", tmp_path / "site.key")


def tool(name: str, *arguments: object, server: Server | None = None) -> str:
    environment = dict(os.environ)
    if server:
        environment |= {"PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": server.user}
        environment |= {"PGPASSWORD": server.password, "PGDATABASE": server.database}
    answer = subprocess.run(
        [wheel_bin_directory() / name, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_dump_is_restored_with_plain_pg_restore(repository, database, postgres, make_database, tmp_path):
    tools = find_tools(wheel_bin_directory(), at_least_major=17)
    with repository.begin(Component.DATABASE_DUMP, window=None, initiator=TESTER) as attempt:
        dump = capture_dump(database, tools, write=attempt.write_stream, backup_id=attempt.backup_id)
        backup = attempt.commit(a_draft(kind=BackupKind.DUMP, streams=dump.streams, moment=dump.moment))
    for stream in ("dump.custom", "globals.sql"):
        answer = kit(tmp_path, "stream", backup.backup_id, stream, tmp_path / stream)
        assert answer.returncode == 0, answer.stderr
    new = make_database(postgres)
    options = ["--jobs=4", "--no-owner", "--exit-on-error"]
    tool("pg_restore", f"--dbname={new.database}", *options, tmp_path / "dump.custom", server=new)
    assert tool("psql", "-Atc", _ROWS, server=new) == tool("psql", "-Atc", _ROWS, server=database)
    assert "CREATE ROLE lc2_backup" in (tmp_path / "globals.sql").read_text(encoding="utf-8")


def unpacked_by_the_readme(tmp_path: Path, backup_id: str) -> Path:
    data_directory = tmp_path / f"data-{backup_id}"
    data_directory.mkdir(mode=0o700)
    answer = kit(tmp_path, "stream", backup_id, "base.tar", "-")
    assert answer.returncode == 0, answer.stderr
    subprocess.run(["tar", "-x", "-f", "-", "-C", data_directory], input=answer.stdout, check=True)
    answer = kit(tmp_path, "stream", backup_id, "backup_manifest", data_directory / "backup_manifest")
    assert answer.returncode == 0, answer.stderr
    return data_directory


def test_a_dump_of_several_jobs_is_unpacked_with_plain_tar_and_restored(
    repository, database, postgres, make_database, tmp_path
):
    tools = find_tools(wheel_bin_directory(), at_least_major=17)
    with repository.begin(Component.DATABASE_DUMP, window=None, initiator=TESTER) as attempt:
        dump = capture_dump(
            database, tools, write=attempt.write_stream, backup_id=attempt.backup_id, jobs=2, scratch=tmp_path
        )
        backup = attempt.commit(a_draft(kind=BackupKind.DUMP, streams=dump.streams, moment=dump.moment))
    answer = kit(tmp_path, "stream", backup.backup_id, "dump.directory", "-")
    assert answer.returncode == 0, answer.stderr
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-x", "-f", "-", "-C", unpacked], input=answer.stdout, check=True)
    new = make_database(postgres)
    options = ["--jobs=4", "--no-owner", "--exit-on-error"]
    tool("pg_restore", f"--dbname={new.database}", *options, unpacked, server=new)
    assert tool("psql", "-Atc", _ROWS, server=new) == tool("psql", "-Atc", _ROWS, server=database)


def test_a_base_backup_is_unpacked_with_plain_tar_and_satisfies_pg_verifybackup(
    repository, database, postgres, tmp_path
):
    with repository.begin(Component.DATABASE, window=None, initiator=TESTER) as attempt:
        base = capture_base_backup(backup_server(postgres), write=attempt.write_stream, scratch=tmp_path)
        full = attempt.commit(a_draft(streams=base.streams, moment=base.moment))
    data_directory = unpacked_by_the_readme(tmp_path, full.backup_id)
    tool("pg_verifybackup", f"--wal-directory={data_directory}/pg_wal", data_directory)
    assert (data_directory / "backup_label").exists()

    manifest = data_directory / "backup_manifest"
    with repository.begin(Component.DATABASE, window=None, initiator=TESTER) as attempt:
        base = capture_base_backup(
            backup_server(postgres), parent_manifest=manifest, write=attempt.write_stream, scratch=tmp_path
        )
        draft = a_draft(kind=BackupKind.INCREMENTAL, parent=full.backup_id, streams=base.streams, moment=base.moment)
        increment = attempt.commit(draft)
    combined = tmp_path / "combined"
    increment_directory = unpacked_by_the_readme(tmp_path, increment.backup_id)
    tool("pg_combinebackup", f"--output={combined}", data_directory, increment_directory)
    tool("pg_verifybackup", f"--wal-directory={combined}/pg_wal", combined)
