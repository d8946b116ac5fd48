"""Start and stop the Dagster processes of the demo: one code server, the daemon and the guarded web server.

Daemon and web server share the code servers (with modules in the workspace file each would start its own). No
Dagster is imported here: the processes are started with ``python -m``.

Whatever happens to this process, nothing of the tree stays behind: all children share one process group whose leader is
a small reaper; it waits for the end of a pipe that only this process holds open, and then ends the group. (Dagster's
run workers take no notice of the death of their code server, so a parent-death signal would not be enough.)
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lc2_backup_dagster.demo.servers.dagster_client import DagsterClient, DagsterUnreachable
from lc2_backup_dagster.demo.servers.ports import free_ports
from lc2_backup_dagster.model.errors import PermanentError

PREFERRED_PORT = 3000
_INSTANCE_FILE = Path(__file__).parents[3] / "dagster.yaml"
_STOP_SECONDS = 20.0
_REAPER_SECONDS = 8.0
# sockaddr_un.sun_path holds 108 bytes on Linux, 104 elsewhere, with a final zero.
_LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True)
class CodeLocation:
    """One code location: its name in the UI, and the module (and the attribute in it) that defines it."""

    location_name: str
    module_name: str
    attribute: str | None = None


# As in workspace.yaml: the sites, and a location that shows wrong site files.
CODE_LOCATIONS = (
    CodeLocation("lc2_backup", "lc2_backup_dagster.definitions", "defs"),
    CodeLocation("site_files", "lc2_backup_dagster.definitions", "site_files"),
)


class DagsterProcesses:
    """The running Dagster of one home directory.

    Args:
        home: becomes ``DAGSTER_HOME``; the instance file is copied into it. Created when absent.
        environment: variables for the processes beside those of this one (database, site files, secrets).
        log_directory: one log file per process.
        locations: what to serve. The first must load; errors of the others are for the UI to show.
        instance_file: the ``dagster.yaml`` to use.
        preferred_port: port of the web server; the next free one is taken when it is in use.
    """

    def __init__(
        self,
        home: Path,
        *,
        environment: Mapping[str, str],
        log_directory: Path,
        locations: Sequence[CodeLocation] = CODE_LOCATIONS,
        instance_file: Path = _INSTANCE_FILE,
        preferred_port: int = PREFERRED_PORT,
    ) -> None:
        self.home = home.resolve()
        self.log_directory = log_directory.resolve()
        self.port = 0
        self._environment = dict(environment)
        self._locations = tuple(locations)
        self._instance_file = instance_file
        self._preferred_port = preferred_port
        self._reaper: subprocess.Popen[bytes] | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._socket_directory: Path | None = None
        self._sockets: dict[str, Path] = {}

    @property
    def url(self) -> str:
        """Address of the UI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by name: ``daemon``, ``webserver``, and ``code_server_<location>`` for each location."""
        return {name: process.pid for name, process in self._processes.items()}

    def client(self) -> DagsterClient:
        """Return a client for the web server."""
        return DagsterClient(self.url, location=self._locations[0].location_name)

    def __enter__(self) -> Self:
        """Start and wait until everything is ready."""
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        self.stop()

    def start(self) -> None:
        """Start all processes at once; `wait_until_ready` tells when they can be used."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.log_directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._instance_file, self.home / "dagster.yaml")
        self._place_sockets()
        workspace = self.home / "workspace.yaml"
        servers = [
            {"grpc_server": {"socket": str(path), "location_name": name}} for name, path in self._sockets.items()
        ]
        workspace.write_text(json.dumps({"load_from": servers}))  # JSON is YAML
        self.port = free_ports(1, preferred=range(self._preferred_port, self._preferred_port + 100))[0]
        self._reaper = self._start_reaper()
        for location in self._locations:
            self.start_code_server(location)
        self._spawn("daemon", ["-m", "dagster._daemon", "run", "-w", str(workspace)])
        web = "lc2_backup_dagster.orchestration.deployment.webserver"
        self._spawn("webserver", ["-m", web, "-w", str(workspace), "--port", str(self.port)])

    def start_code_server(self, location: CodeLocation | None = None) -> None:
        """Start the code server of a location (by default the first); also again, after it has died.

        ``code-server`` and not ``api grpc``, which would save 95 MB: the UI's Reload button then reads the sites anew.
        """
        location = location or self._locations[0]
        name = f"code_server_{location.location_name}"
        if dead := self._processes.pop(name, None):
            dead.kill()
            dead.wait()
        socket_path = self._sockets[location.location_name]
        # A killed server leaves its socket, and gRPC does not bind over it.
        socket_path.unlink(missing_ok=True)
        attribute = ["--attribute", location.attribute] if location.attribute else []
        command = ["-m", "dagster", "code-server", "start", "--socket", str(socket_path)]
        self._spawn(name, [*command, "--module-name", location.module_name, *attribute])

    def wait_until_ready(self, *, timeout_seconds: float = 180.0) -> None:
        """Wait for the UI, the loaded code location and a heartbeat of every daemon.

        Raises:
            PermanentError: a process ended, the code location does not load (with its error), or it took too long.
        """
        deadline = time.monotonic() + timeout_seconds
        client = self.client()
        waiting_for = "the web server"
        while time.monotonic() < deadline:
            self.check_alive()
            with contextlib.suppress(DagsterUnreachable):
                location = client.location()
                if location.error:
                    raise PermanentError(
                        f"the Dagster code location {self._locations[0].location_name} does not load: {location.error}",
                        hint=f"see {self.log_directory}",
                    )
                is_loaded = location.is_loaded and self._code_server_listens()
                silent = client.silent_daemons() if is_loaded else ["the code location"]
                if not silent:
                    return
                waiting_for = ", ".join(silent)
            time.sleep(0.1)
        raise PermanentError(
            f"Dagster was not ready after {timeout_seconds:.0f} s, still waiting for {waiting_for}",
            hint=f"see the files in {self.log_directory}",
        )

    def check_alive(self) -> None:
        """Raise a `PermanentError` with the end of its log when a process has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = self.log_directory / f"{name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise PermanentError(
                    f"the Dagster process {name} ended with code {process.returncode}: {tail}", hint=f"see {log}"
                )

    def stop(self) -> None:
        """End all processes, running backups included, and wait for them. Does nothing when nothing runs."""
        reaper, self._reaper = self._reaper, None
        if reaper is None:
            return
        # To the group: run workers are children of the code server, which would otherwise wait for their end.
        # The reaper leads the group and ignores the signal, so the group's id cannot belong to somebody else.
        os.killpg(reaper.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        _wait_until_alone(reaper.pid, deadline=deadline)
        os.killpg(reaper.pid, signal.SIGKILL)
        for process in (*self._processes.values(), reaper):
            process.wait()
        if reaper.stdin:
            reaper.stdin.close()
        self._processes.clear()
        if self._socket_directory:
            shutil.rmtree(self._socket_directory, ignore_errors=True)
            self._socket_directory = None

    def _place_sockets(self) -> None:
        """Choose socket paths other users cannot reach: a code server has no authentication either."""
        self.home.chmod(0o700)
        directory = self.home
        longest = max(len(os.fsencode(location.location_name)) for location in self._locations)
        if len(os.fsencode(directory)) + longest + len("/.sock") > _LONGEST_SOCKET_PATH:
            directory = self._socket_directory = Path(tempfile.mkdtemp(prefix="lc2-"))
        self._sockets = {
            location.location_name: directory / f"{location.location_name}.sock" for location in self._locations
        }

    def _code_server_listens(self) -> bool:
        """Dagster shows a code location as loaded for a while after its server has died."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._sockets[self._locations[0].location_name])) == 0

    def _start_reaper(self) -> subprocess.Popen[bytes]:
        # Isolated (-I -S) and without imports of the project: 8 MB.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py")), str(_REAPER_SECONDS)],
            stdin=subprocess.PIPE,
            process_group=0,
        )

    def _spawn(self, name: str, arguments: list[str]) -> None:
        reaper = self._reaper
        if reaper is None:
            raise RuntimeError("the reaper is started first")
        with (self.log_directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *arguments],
                env=self._child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=reaper.pid,
                preexec_fn=_restore_signals,
            )

    def _child_environment(self) -> dict[str, str]:
        environment = {**os.environ, **self._environment, "DAGSTER_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        # Without compiled bytecode every process, each run's worker too, compiles all its imports again (13 s).
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment


def _restore_signals() -> None:
    """Runs in the child before Python starts there.

    A shell without job control starts ``make demo &`` with SIGINT ignored, children inherit that, and Dagster copies
    its handling of SIGINT to SIGTERM: nothing but SIGKILL would end it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait_until_alone(group: int, *, deadline: float) -> None:
    """Wait until the group has no member but its leader (run workers are not our own children)."""
    while time.monotonic() < deadline and members_of_group(group) - {group}:
        time.sleep(0.05)


def members_of_group(group: int, *, proc: Path = Path("/proc")) -> set[int]:
    """Return the living processes of a process group; empty where the system has no ``/proc``."""
    members: set[int] = set()
    for stat in proc.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] not in ("Z", "X"):
                members.add(int(stat.parent.name))
    return members
