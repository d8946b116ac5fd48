"""Whatever of a run dies, it ends, and the next backup of the component starts (L-3, L-4, L-31).

That this takes less than a minute follows from the settings: see ``test_instance_file.py``.
"""

import os
import signal
from pathlib import Path

import pytest

from lc2_backup_dagster_tests.orchestration.deployment.conftest import Deployment, wait_for

pytestmark = pytest.mark.journey
DATABASE = ["retail", "liferay", "database"]


def kill_code_server(deployment: Deployment) -> None:
    """Kill the code server as the kernel would: it, and the server behind it that has the workers as children."""
    proxy = deployment.processes.pids["code_server_lc2_backup"]
    children = Path(f"/proc/{proxy}/task/{proxy}/children").read_text().split()
    for pid in (proxy, *map(int, children)):
        os.kill(pid, signal.SIGKILL)


def looks_of_run_monitoring(deployment: Deployment, run_id: str) -> int:
    return (deployment.processes.log_directory / "daemon.log").read_text().count(f"Checking run {run_id}")


def test_after_a_killed_worker_the_component_is_backed_up_again_by_itself(deployment: Deployment) -> None:
    deployment.hold()
    run_id = deployment.client.launch_assets([DATABASE], partition="2026-01-10")
    os.kill(deployment.worker_of(run_id), signal.SIGKILL)
    deployment.release()

    assert deployment.client.wait(run_id).status == "FAILURE"
    again = {"dagster/parent_run_id": run_id}
    wait_for(lambda: deployment.client.runs(tags=again), "the automatic retry")
    retry = deployment.client.wait(deployment.client.runs(tags=again)[0].run_id)
    assert retry.status == "SUCCESS"
    assert retry.tags["lc2/initiator"] == "local"
    assert retry.tags["lc2/backup_of_project"] == "retail"


def test_a_run_whose_worker_and_code_server_died_fails_and_frees_its_pool(deployment: Deployment) -> None:
    client = deployment.client
    deployment.hold()
    run_id = client.launch_assets([DATABASE], partition="2026-01-11")
    worker = deployment.worker_of(run_id)
    kill_code_server(deployment)
    os.kill(worker, signal.SIGKILL)

    failed = client.wait(run_id)
    assert failed.status == "FAILURE"
    assert any(f"worker process {worker} is gone" in error for error in failed.errors)

    deployment.processes.start_code_server()
    deployment.processes.wait_until_ready()
    deployment.release()
    following = client.launch_assets([DATABASE], partition="2026-01-12")
    assert client.wait(following).status == "SUCCESS"


def test_a_worker_that_outlived_its_code_server_may_finish_and_can_be_stopped(deployment: Deployment) -> None:
    client = deployment.client
    deployment.hold()
    run_id = client.launch_assets([["bank", "drupal", "zz_after"]])
    worker = deployment.worker_of(run_id)
    kill_code_server(deployment)
    looks_before = looks_of_run_monitoring(deployment, run_id)
    deployment.processes.start_code_server()
    deployment.processes.wait_until_ready()
    # The second look has certainly begun after the kill, and its verdict is in when the third begins.
    wait_for(lambda: looks_of_run_monitoring(deployment, run_id) >= looks_before + 3, "run monitoring to look")
    assert client.run(run_id).status == "STARTED"

    client.terminate(run_id)
    assert client.wait(run_id).status == "CANCELED"
    wait_for(lambda: not Path(f"/proc/{worker}").exists(), "the orphaned worker to end")
