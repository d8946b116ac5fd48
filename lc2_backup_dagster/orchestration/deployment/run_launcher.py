"""Notice runs whose worker process is gone, so that they end and give back their place.

With Dagster's default launcher a code server reports the death of its workers, but when both die (power cut, out of
memory, ``docker kill``) the run stays STARTED for ever and holds its pool slot. Run monitoring asks `check_run_worker_
health` every few seconds and fails a run that is not RUNNING.

A wrong "dead" would start a second backup beside the first. The repository's fence makes that harmless for the data
(the older one is refused, L-3), but it is wasted work; so death is only reported where it is known:

| code server          | worker on this machine | worker elsewhere                     |
|----------------------|------------------------|--------------------------------------|
| knows the run        | running                | running                              |
| does not know it     | by its process         | failed, after the grace              |
| does not answer      | by its process         | unknown (= failed), after the grace  |
"""

import json
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from lc2_backup_dagster.orchestration.deployment.dagster_internals import (
    CheckRunHealthResult,
    DagsterUserCodeProcessError,
    DagsterUserCodeUnreachableError,
    LaunchRunContext,
    WorkerStatus,
    code_server_runs,
)
from lc2_backup_dagster.orchestration.deployment.worker_process import is_same_process

WORKER_HOST_TAG = "lc2/worker_host"
GRPC_INFO_TAG = ".dagster/grpc_info"
# A code server elsewhere may be restarting its network, not its workers; three polls of run monitoring.
REMOTE_GRACE_SECONDS = 20.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class _Worker:
    pid: int
    reported_at: float

    def is_alive(self) -> bool:
        return is_same_process(self.pid, reported_at=self.reported_at)


class MonitoredRunLauncher(dg.DefaultRunLauncher):
    """The default launcher, able to say whether a run's worker still lives, and to stop one without its code server.

    Takes no configuration.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks about workers only when this is true."""
        return True

    def launch_run(self, context: LaunchRunContext) -> None:
        """Remember on which machine the worker starts, then launch it."""
        self._instance.add_run_tags(context.dagster_run.run_id, {WORKER_HOST_TAG: socket.gethostname()})
        super().launch_run(context)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Say whether the worker of a STARTED run lives; see the table of this module."""
        known = _ask_code_server(run)
        if known:
            self._silences().pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        code_server = "does not answer" if known is None else "does not know the run (it was restarted)"
        worker = self._local_worker(run)
        if worker is None:
            return self._judge_remote(run, known=known, code_server=code_server)
        if worker.is_alive():
            # It goes on working and still holds the component: let it finish, its pool slot belongs to it.
            return CheckRunHealthResult(
                WorkerStatus.RUNNING, f"code server {code_server}, worker {worker.pid} goes on without it"
            )
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"worker process {worker.pid} is gone and the code server {code_server}"
        )

    def terminate(self, run_id: str) -> bool:
        """Stop a run through its code server, or by signal where that is gone."""
        try:
            if super().terminate(run_id):
                return True
        except (DagsterUserCodeUnreachableError, DagsterUserCodeProcessError):
            # The code server is gone or was restarted; what is left of the run can still be stopped below.
            pass
        run = self._instance.get_run_by_id(run_id)
        worker = self._local_worker(run) if run and not run.is_finished else None
        if run is None or worker is None:
            return False
        if worker.is_alive():
            os.kill(worker.pid, signal.SIGINT)
        else:
            self._instance.report_run_canceled(run, message="Its worker process and code server were gone already.")
        return True

    def _local_worker(self, run: dg.DagsterRun) -> _Worker | None:
        """Return the worker if it runs, or ran, on this machine."""
        address = _grpc_address(run)
        is_local = bool(address.get("socket")) or address.get("host") in _LOOPBACK
        if not is_local or run.tags.get(WORKER_HOST_TAG) != socket.gethostname():
            return None
        for record in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            event = record.dagster_event
            pid = event.engine_event_data.metadata.get("pid") if event else None
            if pid is not None:  # the first one: "Started process for run"
                return _Worker(pid=int(str(pid.value)), reported_at=record.timestamp)
        return None

    def _judge_remote(self, run: dg.DagsterRun, *, known: bool | None, code_server: str) -> CheckRunHealthResult:
        since = self._silences().setdefault(run.run_id, time.monotonic())
        silence = time.monotonic() - since
        if silence < REMOTE_GRACE_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"code server {code_server} for {silence:.0f} s")
        del self._silences()[run.run_id]
        status = WorkerStatus.UNKNOWN if known is None else WorkerStatus.FAILED
        return CheckRunHealthResult(status, f"code server {code_server} for {silence:.0f} s")

    def _silences(self) -> dict[str, float]:
        """Return since when (monotonic) each run's remote code server has not vouched for it; daemon memory only."""
        if not hasattr(self, "_silent_since"):
            self._silent_since: dict[str, float] = {}
        return self._silent_since


def _grpc_address(run: dg.DagsterRun) -> Mapping[str, object]:
    return json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))


def _ask_code_server(run: dg.DagsterRun) -> bool | None:
    """Return whether the code server has a worker for the run; None when it cannot be asked."""
    address = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    if not address:
        return None
    try:
        return code_server_runs(
            run.run_id,
            host=address.get("host"),
            port=address.get("port"),
            socket=address.get("socket"),
            use_ssl=bool(address.get("use_ssl")),
        )
    except DagsterUserCodeUnreachableError:
        return None
