"""Starting and ending the demo's Dagster: nothing stays behind, and what went wrong is said."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lc2_backup_dagster.demo.servers.dagster import CodeLocation, DagsterProcesses, members_of_group
from lc2_backup_dagster.demo.servers.ports import free_ports
from lc2_backup_dagster.model.errors import PermanentError
from lc2_backup_dagster_tests.orchestration.deployment.conftest import PROJECT_ROOT, SCRATCH_MODULE, wait_for

pytestmark = pytest.mark.journey
TREE = "lc2_backup_dagster_tests.orchestration.deployment.tree_for_tests"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_tree_started_in_the_background_of_a_script_ends_with_its_parent(
    number: signal.Signals, tmp_path: Path, dagster_storage: dict[str, str]
) -> None:
    # A shell without job control starts background jobs with SIGINT ignored; the children would inherit that.
    command = f"exec 2>&1; {sys.executable} -m {TREE} {tmp_path} {SCRATCH_MODULE} & wait $!"
    environment = {**os.environ, **dagster_storage, "SCRATCH": str(tmp_path), "PYTHONPATH": str(PROJECT_ROOT)}
    with subprocess.Popen(["sh", "-c", command], env=environment, cwd=PROJECT_ROOT) as shell:
        wait_for((tmp_path / "pids").exists, "the tree to start")
        pids = json.loads((tmp_path / "pids").read_text())
        # Dagster copies its handling of SIGINT to SIGTERM when it is up; before that any process would end.
        for name in ("daemon", "code_server_lc2_backup", "webserver"):
            wait_for(lambda name=name: catches_sigterm(pids[name]), f"{name} to handle signals")
        os.kill(pids["parent"], number)
        shell.wait()
    wait_for(lambda: not members_of_group(pids["group"]), "the whole group to end")


def catches_sigterm(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught & (1 << (signal.SIGTERM - 1)))


def test_a_code_location_that_does_not_load_is_told_with_its_error_and_a_taken_port_is_stepped_over(
    tmp_path: Path, dagster_storage: dict[str, str]
) -> None:
    (tmp_path / "broken_location.py").write_text("raise ValueError('retail.yaml, line 3: unknown field')\n")
    with socket.socket() as taken:
        # Not one of those that the system gives to outgoing connections: the next ports are tried instead of it.
        (port,) = free_ports(1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        processes = DagsterProcesses(
            # Longer than a socket's path may be.
            tmp_path / ("long" * 30) / "home",
            environment={**dagster_storage, "PYTHONPATH": str(tmp_path)},
            log_directory=tmp_path / "logs",
            locations=[CodeLocation("broken", "broken_location")],
            preferred_port=port,
        )
        with pytest.raises(PermanentError, match="retail.yaml, line 3: unknown field"), processes:
            pass
    assert processes.port not in (0, port)
    assert not processes.pids
    processes.stop()  # a second time does nothing


def test_a_process_that_ends_early_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("storage: {nonsense: 1}\n")
    processes = DagsterProcesses(
        tmp_path / "home",
        environment={},
        log_directory=tmp_path / "logs",
        locations=[CodeLocation("any", "json")],
        instance_file=tmp_path / "dagster.yaml",
        preferred_port=3500,
    )
    with pytest.raises(PermanentError, match="nonsense"), processes:
        pass
