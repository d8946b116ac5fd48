"""One real Dagster per test session of this folder: PostgreSQL, code server, daemon, guarded web server."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lc2_backup_dagster.demo.servers.dagster import CodeLocation, DagsterProcesses
from lc2_backup_dagster.demo.servers.dagster_client import DagsterClient
from lc2_backup_dagster.demo.servers.postgres import PostgresServer

PROJECT_ROOT = Path(__file__).parents[3]
SCRATCH_MODULE = "lc2_backup_dagster_tests.orchestration.deployment.scratch_location"
STORAGE_PASSWORD = "storage-secret"


@pytest.fixture(scope="session")
def dagster_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of dagster.yaml, for a real PostgreSQL."""
    server = PostgresServer(tmp_path_factory.mktemp("dagster_storage"), password=STORAGE_PASSWORD, fsync=False)
    server.start()
    yield {
        "LC2_DAGSTER_PG_HOST": "127.0.0.1",
        "LC2_DAGSTER_PG_PORT": str(server.port),
        "LC2_DAGSTER_PG_USER": "postgres",
        "LC2_DAGSTER_PG_PASSWORD": STORAGE_PASSWORD,
        "LC2_DAGSTER_PG_DATABASE": "postgres",
    }
    server.remove()


@dataclass(frozen=True)
class Deployment:
    processes: DagsterProcesses
    client: DagsterClient
    scratch: Path

    def hold(self) -> None:
        """Let steps started from now on wait."""
        (self.scratch / "hold").touch()

    def release(self) -> None:
        (self.scratch / "hold").unlink(missing_ok=True)

    def starts_of(self, run_id: str) -> list[tuple[str, int]]:
        """Return asset and process id of every start of a step in a run."""
        lines = (self.scratch / "starts").read_text().splitlines() if (self.scratch / "starts").exists() else []
        return [(asset, int(pid)) for asset, run, pid in (line.split() for line in lines) if run == run_id]

    def worker_of(self, run_id: str) -> int:
        """Wait until a step of the run has started; return the process id of the run's worker."""
        wait_for(lambda: self.starts_of(run_id), f"a step of run {run_id} to start")
        return self.starts_of(run_id)[0][1]


def wait_for(condition: Callable[[], object], what: str, *, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def started_deployment(
    tmp_path_factory: pytest.TempPathFactory, dagster_storage: dict[str, str], scratch: Path
) -> Iterator[Deployment]:
    home = tmp_path_factory.mktemp("deployment")
    processes = DagsterProcesses(
        home / "home",
        environment={
            **dagster_storage,
            "SCRATCH": str(scratch),
            "PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC2_WEB_TRUSTED_PROXY": "127.0.0.1",
        },
        log_directory=home / "logs",
        locations=[CodeLocation("lc2_backup", SCRATCH_MODULE)],
        preferred_port=3300,
    )
    with processes:
        yield Deployment(processes=processes, client=processes.client(), scratch=scratch)


@pytest.fixture
def deployment(started_deployment: Deployment) -> Iterator[Deployment]:
    """The shared deployment; what a test left running is ended and waited for."""
    yield started_deployment
    started_deployment.release()
    client = started_deployment.client
    for run in client.runs():
        if not run.is_finished:
            client.terminate(run.run_id, force=True)
