"""The only place that imports names of Dagster which are not exported at its top level.

Each has no public equivalent in 1.13. ``test_dagster_internals.py`` fails when an upgrade moves one.
"""

from dagster import DagsterInstance

# The code server cannot be asked; the code server refuses.
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError

# Types of the launcher's methods, which `RunLauncher` asks subclasses to take and build.
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus

# The web server needs its workspace; the command line of dagster-webserver builds it the same way.
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

# The question "do you still run this?" to a code server; the default launcher asks "cancel this" the same way.
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

__all__ = [
    "CheckRunHealthResult",
    "DagsterUserCodeProcessError",
    "DagsterUserCodeUnreachableError",
    "LaunchRunContext",
    "WorkerStatus",
    "code_server_runs",
    "open_workspace",
]


def code_server_runs(run_id: str, *, host: str | None, port: int | None, socket: str | None, use_ssl: bool) -> bool:
    """Ask a code server whether it has a live worker for a run.

    Raises:
        DagsterUserCodeUnreachableError: the server does not answer within five seconds.
    """
    client = DagsterGrpcClient(host=host or "localhost", port=port, socket=socket, use_ssl=use_ssl)
    answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=5)
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel


def open_workspace(instance: DagsterInstance, workspace_files: list[str]) -> WorkspaceProcessContext:
    """Load the code locations of workspace files for a web server; a context manager."""
    return WorkspaceProcessContext(instance, workspace_load_target=WorkspaceFileTarget(paths=workspace_files))
