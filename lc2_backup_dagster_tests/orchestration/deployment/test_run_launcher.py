"""The table of the launcher's module: who is asked, and which verdict follows."""

import os
import socket
from collections.abc import Iterator

import dagster as dg
import pytest

from lc2_backup_dagster.orchestration.deployment import run_launcher
from lc2_backup_dagster.orchestration.deployment.dagster_internals import DagsterUserCodeUnreachableError, WorkerStatus
from lc2_backup_dagster.orchestration.deployment.run_launcher import (
    GRPC_INFO_TAG,
    REMOTE_GRACE_SECONDS,
    WORKER_HOST_TAG,
    MonitoredRunLauncher,
)

UNREACHABLE = None
LOCAL = {GRPC_INFO_TAG: '{"host": "localhost", "socket": "/x"}', WORKER_HOST_TAG: socket.gethostname()}
REMOTE = {GRPC_INFO_TAG: '{"host": "code-server", "port": 4000}', WORKER_HOST_TAG: socket.gethostname()}


@dg.asset
def something() -> None:
    pass


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def launcher(instance: dg.DagsterInstance) -> MonitoredRunLauncher:
    launcher = MonitoredRunLauncher()
    launcher.register_instance(instance)
    return launcher


def a_started_run(instance: dg.DagsterInstance, *, tags: dict[str, str], pid: int | None) -> dg.DagsterRun:
    run = instance.create_run_for_job(dg.Definitions([something]).resolve_implicit_global_asset_job_def(), tags=tags)
    if pid is not None:
        from dagster._core.events import EngineEventData

        instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))
    return run


def code_server_says(monkeypatch: pytest.MonkeyPatch, answer: bool | None) -> None:
    def ask(run_id: str, **address: object) -> bool:
        if answer is None:
            raise DagsterUserCodeUnreachableError("gone")
        return answer

    monkeypatch.setattr(run_launcher, "code_server_runs", ask)


def a_dead_pid() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_a_worker_its_code_server_knows_is_running(
    instance: dg.DagsterInstance, launcher: MonitoredRunLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_server_says(monkeypatch, True)
    # Even a dead one: its code server has children to bury and will report it.
    run = a_started_run(instance, tags=LOCAL, pid=a_dead_pid())
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


@pytest.mark.parametrize("answer", [False, UNREACHABLE])
def test_a_local_worker_is_judged_by_its_process(
    instance: dg.DagsterInstance, launcher: MonitoredRunLauncher, monkeypatch: pytest.MonkeyPatch, answer: bool | None
) -> None:
    code_server_says(monkeypatch, answer)
    alive = launcher.check_run_worker_health(a_started_run(instance, tags=LOCAL, pid=os.getpid()))
    dead = launcher.check_run_worker_health(a_started_run(instance, tags=LOCAL, pid=a_dead_pid()))
    assert alive.status == WorkerStatus.RUNNING
    assert dead.status == WorkerStatus.FAILED
    assert "is gone" in str(dead.msg)


@pytest.mark.parametrize(("answer", "verdict"), [(False, WorkerStatus.FAILED), (UNREACHABLE, WorkerStatus.UNKNOWN)])
@pytest.mark.parametrize("tags", [REMOTE, {**LOCAL, WORKER_HOST_TAG: "the container before"}])
def test_a_worker_elsewhere_gets_a_grace(
    instance: dg.DagsterInstance,
    launcher: MonitoredRunLauncher,
    monkeypatch: pytest.MonkeyPatch,
    tags: dict[str, str],
    answer: bool | None,
    verdict: WorkerStatus,
) -> None:
    now = 1000.0
    monkeypatch.setattr(run_launcher.time, "monotonic", lambda: now)
    code_server_says(monkeypatch, answer)
    run = a_started_run(instance, tags=tags, pid=os.getpid())
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING

    now += REMOTE_GRACE_SECONDS / 2
    code_server_says(monkeypatch, True)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING

    # The grace starts anew after an answer.
    code_server_says(monkeypatch, answer)
    now += REMOTE_GRACE_SECONDS / 2
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    now += REMOTE_GRACE_SECONDS
    assert launcher.check_run_worker_health(run).status == verdict


def test_a_run_whose_process_is_unknown_gets_the_grace_too(
    instance: dg.DagsterInstance, launcher: MonitoredRunLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_server_says(monkeypatch, UNREACHABLE)
    run = a_started_run(instance, tags=LOCAL, pid=None)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
