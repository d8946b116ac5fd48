"""Delta restores: only what differs is written; what broke off cannot start and is continued (L-27)."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.restore.base import restore_chain
from lc2_backup_dagster.engines.postgres.restore.target_directory import WORK_FOLDER
from lc2_backup_dagster.engines.postgres.servers.scratch import start_and_ask, started
from lc2_backup_dagster.model.errors import ConfigurationError, PartCorrupt, TargetNotEmpty, ToolFailed
from lc2_backup_dagster_tests.engines.postgres.chains import BackupChain, content, differing
from lc2_backup_dagster_tests.fixtures_postgres import start_server

CONTENT = "SELECT count(*), sum(i), md5(string_agg(pad, '' ORDER BY i)) FROM big"


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Three backups of a server with one larger table and a tablespace."""
    server = start_server(tmp_path_factory.mktemp("delta"))
    tablespace = server.place / "tablespace"
    tablespace.mkdir()
    shutil.chown(tablespace, server.data_directory.owner())
    try:
        made = BackupChain(server, tmp_path_factory.mktemp("backups"))
        server.create_database("app")
        server.execute(f"CREATE TABLESPACE place LOCATION '{tablespace}'")
        server.execute(
            "CREATE TABLE big AS SELECT i, repeat(i::text, 20) pad FROM generate_series(1, 60000) i",
            "CREATE TABLE placed TABLESPACE place AS SELECT generate_series(1, 1000) i",
            database="app",
        )
        made.take()
        server.execute("UPDATE big SET pad = 'one' WHERE i % 5000 = 0", database="app")
        made.take()
        server.execute("UPDATE big SET pad = 'two' WHERE i % 7000 = 0", database="app")
        server.create_database("late")
        made.take()
        yield made
    finally:
        server.remove()


def restored(chain, place, *numbers, **options):
    stored = chain.stored(*numbers)
    if not options.get("delta"):
        options["tablespaces"] = dict.fromkeys(stored[-1].tablespaces, place / "space")
    return restore_chain(stored, target_directory=place / "data", durable=False, **options)


def test_a_delta_of_a_used_directory_is_a_restore(chain, place):
    """Rows, tables, databases and files that came after the backup are gone; what was right was not written."""
    fresh = restored(chain, place)
    expected = content(place / "data")
    with started(place / "data", database="app", fsync=False) as server, server.connect() as connection:
        connection.execute("UPDATE big SET pad = 'later' WHERE i < 100")
        connection.execute("TRUNCATE placed")
        connection.execute("CREATE TABLE new AS SELECT generate_series(1, 1000) i")
        connection.execute("CREATE DATABASE newest")
    (place / "data/base/stray").write_text("stray")
    (place / "data/stray").mkdir()
    result = restored(chain, place, delta=True)
    assert differing(content(place / "data"), expected) == []
    assert result.bytes_written < fresh.bytes_written / 2
    assert result.kept_files > 500
    assert result.deleted_files > 200
    assert result.verified is not None


def test_a_delta_goes_to_an_older_backup_too(chain, place):
    restored(chain, place, 0)
    expected = content(place / "data")
    shutil.rmtree(place / "data")
    shutil.rmtree(place / "space")
    restored(chain, place)
    restored(chain, place, 0, delta=True)
    assert differing(content(place / "data"), expected) == []


def test_a_directory_of_another_system_is_refused_and_untouched(chain, place, postgres):
    foreign = place / "data"
    shutil.copytree(postgres.data_directory / "global", foreign / "global")
    before = content(foreign)
    with pytest.raises(TargetNotEmpty, match="belongs to system"):
        restored(chain, place, delta=True)
    assert content(foreign) == before


def test_what_is_no_data_directory_is_refused_and_untouched(chain, place):
    with pytest.raises(ConfigurationError, match="there is no directory"):
        restored(chain, place, delta=True)
    (place / "data").mkdir()
    (place / "data/precious").write_text("mine")
    with pytest.raises(TargetNotEmpty, match="neither a data directory nor an unfinished restore"):
        restored(chain, place, delta=True)
    assert (place / "data/precious").read_text() == "mine"
    shutil.rmtree(place / "data")
    (place / "data").symlink_to("/tmp")
    with pytest.raises(TargetNotEmpty, match="symbolic link"):
        restored(chain, place, delta=True)


def test_a_directory_in_use_is_refused(chain, place):
    restored(chain, place)
    with started(place / "data", fsync=False):
        with pytest.raises(TargetNotEmpty, match="a server runs on"):
            restored(chain, place, delta=True)
        assert (place / "data/global/pg_control").exists()


def test_a_delta_that_fails_leaves_a_directory_that_cannot_start_and_can_be_continued(chain, place):
    restored(chain, place)
    expected = content(place / "data")
    stored = chain.stored()

    def broken(done, total):
        if done > total // 2:
            raise PartCorrupt("part 7 is damaged")

    with pytest.raises(PartCorrupt):
        restore_chain(stored, target_directory=place / "data", delta=True, on_progress=broken)
    assert not (place / "data/global/pg_control").exists()
    with pytest.raises(ToolFailed):
        start_and_ask(place / "data", "SELECT 1", timeout_seconds=20, fsync=False)
    restored(chain, place, delta=True)
    assert differing(content(place / "data"), expected) == []


KILLED = """
import sys, time
from pathlib import Path
from lc2_backup_dagster_tests.engines.postgres.restore.test_delta import FromFiles
from lc2_backup_dagster.engines.postgres.restore.base import restore_chain
def on_progress(done, total):
    if done > total * float(sys.argv[3]):
        print("here", flush=True)
        time.sleep(60)
chain = FromFiles(Path(sys.argv[1]), sys.argv[4], sys.argv[5])
place = Path(sys.argv[2])
restore_chain(chain.stored(), target_directory=place / "data", on_progress=on_progress,
              tablespaces={int(sys.argv[5]): place / "space"})
"""


class FromFiles:
    """The chain of the fixture, as another process finds it."""

    def __init__(self, directory: Path, system_identifier: str, oid: str):
        self.directory, self.system_identifier, self.oid = directory, system_identifier, int(oid)

    def stored(self):
        from lc2_backup_dagster.engines.postgres.restore.base import StoredBase
        from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams

        found = []
        for folder in sorted(self.directory.glob("backup-*")):
            sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
            spaces = {self.oid: "/there"}
            base = StoredBase(folder.name, sizes, FileStreams(folder).open, spaces, self.system_identifier)
            found.append(base)
        return found


@pytest.mark.parametrize("share", ["0.1", "0.6", "0.98"])
def test_a_killed_restore_cannot_start_is_not_overwritten_and_is_continued_by_a_delta(share, chain, place):
    backup = chain.backups[0][0]
    [space] = backup.tablespaces
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, chain.directory, place, share, backup.system_identifier, str(space.oid)],
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout.readline() == b"here\n"
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert (place / "data" / WORK_FOLDER).is_dir()
    assert not (place / "data/global/pg_control").exists()
    with pytest.raises(TargetNotEmpty, match="is not empty"):
        restored(chain, place)
    restored(chain, place, delta=True)
    found = start_and_ask(place / "data", CONTENT, database="app", fsync=False)
    with chain.server.server("app").connect() as connection:
        assert found == connection.execute(CONTENT).fetchall()
