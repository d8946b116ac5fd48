"""Shards as Dagster's multiprocess executor runs them: at once, killed and run again, and never two runs at once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.capture.files import file_entries
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.operations.tiny_site import TinySite, a_directory_site, until

PROGRAM = "lc2_backup_dagster_tests.orchestration.run_sharded"
INSTANCE = """\
concurrency:
  pools: {default_limit: 1, granularity: op}
telemetry: {enabled: false}
"""
BEGIN, COMMIT = "begin", "commit"
SHARDS = ("shard_000", "shard_001", "shard_002")


class Runs:
    """Runs of one site's files, each started by a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "dagster").mkdir(parents=True)
        (home / "dagster" / "dagster.yaml").write_text(INSTANCE)
        (home / "library").mkdir()
        self.source = DirectoryStore(home / "library")
        for folder, count in (("a", 30), ("b", 30), ("c", 3)):
            for number in range(count):
                self.source.put(f"{folder}/{number:02d}", f"{folder} {number}".encode() * 50)
        # Nothing here asks the database.
        nowhere: Any = SimpleNamespace(port=1)
        self.site: TinySite = a_directory_site(
            home, nowhere, database="nowhere", library=home / "library", files__shards=["a/", "b/"], files__rules=[]
        )
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *, again: str | None = None) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            **self.site.environment,
            "SHARDED_HOME": str(self.home),
            "DAGSTER_HOME": str(self.home / "dagster"),
        }
        command = [
            sys.executable,
            "-m",
            PROGRAM,
            str(self.home / f"{name}.json"),
            *([again] if again else []),
        ]
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._started.append(process)
        return process

    def result(self, name: str) -> dict[str, Any]:
        for process in self._started:
            process.wait(timeout=200)
        file = self.home / f"{name}.json"
        assert file.exists(), (self.home / f"{name}.log").read_text()[-8000:]
        return json.loads(file.read_text())

    def run(self, name: str, *, again: str | None = None) -> dict[str, Any]:
        self.start(name, again=again)
        return self.result(name)

    def steps(self) -> list[list[str]]:
        """Return what the shards' steps said: what, shard, run and numbers, process."""
        file = self.home / "steps"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def contents(self, backup_id: str) -> set[str]:
        with file_entries(self.site.repository, backup_id) as entries:
            return {entry.key for entry in entries}

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    started = Runs(tmp_path)
    yield started
    started.close()


def log_of(runs: Runs) -> list[RecordType]:
    return [record.type for record in runs.site.repository.log.records()]


def files_of(keys: set[str]) -> set[str]:
    """Leave out the folders, which a directory has too."""
    return {key for key in keys if not key.endswith("/")}


def test_shards_of_one_run_work_at_once_and_commit_once(runs: Runs) -> None:
    (runs.home / "meet").touch()  # each shard waits until all have begun: one after the other they would never end

    ended = runs.run("first")

    assert ended["success"], (runs.home / "first.log").read_text()[-8000:]
    assert ended["steps"] == dict.fromkeys((BEGIN, *SHARDS, COMMIT), "done")
    processes = {process for what, *_, process in runs.steps() if what == "shard"}
    assert len(processes) == 3
    [backup] = runs.site.repository.backups(Component.FILES)
    assert files_of(runs.contents(backup.backup_id)) == {found.key for found in runs.source.list()}
    assert log_of(runs) == [RecordType.BEGIN, RecordType.COMMIT]
    [shown] = ended["shown"]
    assert shown["partition"] == backup.window
    assert {"backup_id", "kind", "manifest_sha256", "restorable_until", "objects", "parts"} <= set(shown["metadata"])
    assert ended["checks"] == {"checksums": True, "encrypted": True, "files_complete": True, "size_is_plausible": True}


def test_a_shard_whose_process_is_killed_is_run_again_alone_and_copies_nothing_again(runs: Runs) -> None:
    (runs.home / "kill").write_text("1")

    killed = runs.run("killed")

    assert not killed["success"]
    assert killed["steps"] == {BEGIN: "done", "shard_000": "done", "shard_001": "failed", "shard_002": "done"}
    assert runs.site.repository.backups() == []
    assert log_of(runs) == [RecordType.BEGIN], "the attempt is left to be gone on with"

    (runs.home / "kill").unlink()
    before = len(runs.steps())
    again = runs.run("again", again=killed["run_id"])

    assert again["success"], (runs.home / "again.log").read_text()[-8000:]
    assert again["steps"] == {"shard_001": "done", COMMIT: "done"}
    (_, number, ticket, copied, resumed, _) = runs.steps()[before + 1]
    assert (number, ticket) == ("1", killed["run_id"])
    assert int(copied) + int(resumed) == 30
    assert int(resumed) >= 4, "what its journal names was not copied again"
    [backup] = runs.site.repository.backups(Component.FILES)
    assert files_of(runs.contents(backup.backup_id)) == {found.key for found in runs.source.list()}
    assert log_of(runs) == [RecordType.BEGIN, RecordType.COMMIT]


def test_two_runs_of_a_site_do_not_overlap(runs: Runs) -> None:
    (runs.home / "hold").touch()
    runs.start("one")
    until(lambda: len(runs.steps()) == 3, what="the shards of the first run have begun")
    runs.start("two")
    until(lambda: "is held by attempt" in (runs.home / "two.log").read_text(), what="the second run was told to wait")
    assert len({ticket for _, _, ticket, *_ in runs.steps()}) == 1, "no shard of the second run has begun"
    (runs.home / "hold").unlink()

    one, two = runs.result("one"), runs.result("two")

    assert one["success"], (runs.home / "one.log").read_text()[-8000:]
    assert two["success"], (runs.home / "two.log").read_text()[-8000:]
    assert two["waits"] >= 1
    # One after the other: the second began when the first had committed, and stands on it.
    assert log_of(runs) == [RecordType.BEGIN, RecordType.COMMIT, RecordType.BEGIN, RecordType.COMMIT]
    first, second = runs.site.repository.backups(Component.FILES)
    assert second.parent == first.backup_id
    assert second.summary["copied_bytes"] == 0
