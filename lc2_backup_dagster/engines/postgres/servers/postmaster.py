"""One PostgreSQL server process over an existing data directory: start, wait, stop, kill.

Used by the demo's and the tests' servers and by restore drills. Knows no roles and no SQL.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from lc2_backup_dagster.engines.postgres.servers.account import Account, run_as
from lc2_backup_dagster.engines.postgres.servers.parent_death import dying_with_parent
from lc2_backup_dagster.model.errors import ToolFailed

_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# "postmaster.pid": 1 pid, 2 directory, 3 start, 4 port, 5 socket directory, 6 address, 7 shared memory, 8 status
_STATUS_LINE = 7


class Postmaster:
    """A server process that belongs to the thread that starts it and ends with it.

    Args:
        bin_directory: where ``postgres`` is; its account must be able to run it.
        data_directory: an initialised data directory owned by the account.
        log_file: the server's output is appended here.
        settings: passed as ``-c name=value``, so they win over every file of the data directory.
        account: who runs it, or None for the current user.
    """

    def __init__(
        self,
        *,
        bin_directory: Path,
        data_directory: Path,
        log_file: Path,
        settings: Mapping[str, str],
        account: Account | None,
    ) -> None:
        self.data_directory = data_directory
        self.log_file = log_file
        self._command = [str(bin_directory / "postgres"), "-D", str(data_directory)]
        for name, value in settings.items():
            self._command += ["-c", f"{name}={value}"]
        self._account = account
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self, *, timeout_seconds: float = 60.0) -> None:
        """Start and wait until the server accepts connections; with ``hot_standby=off`` that is after recovery.

        Raises:
            ToolFailed: it ended or was not ready in time; the message holds the end of its log. It does not run then.
        """
        if self.pid is not None:
            return
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            # Immediate shutdown at the parent's death: unlike SIGKILL it takes children and shared memory along.
            self._child = subprocess.Popen[bytes](
                dying_with_parent(self._command, death_signal=signal.SIGQUIT),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=server_environment(),
                **run_as(self._account),
            )
        try:
            self._wait_ready(timeout_seconds)
        except BaseException:
            self.stop(mode="immediate")
            raise

    def _wait_ready(self, timeout_seconds: float) -> None:
        assert self._child is not None
        deadline = time.monotonic() + timeout_seconds
        while self._status() != "ready":
            if self._child.poll() is not None:
                raise ToolFailed(f"postgres ended with exit code {self._child.returncode}: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise ToolFailed(f"postgres was not ready after {timeout_seconds:.0f} s: {self.log_tail()}")
            time.sleep(0.02)

    def _status(self) -> str | None:
        assert self._child is not None
        with contextlib.suppress(OSError):
            lines = (self.data_directory / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
            if len(lines) > _STATUS_LINE and lines[0] == str(self._child.pid):
                return lines[_STATUS_LINE].strip()
        return None

    def stop(self, *, mode: str = "fast", timeout_seconds: float = 60.0) -> None:
        """Stop the server: ``fast`` (clean), ``smart`` or ``immediate``; what does not stop in time is killed."""
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            child.send_signal(_STOP_SIGNALS[mode])
            try:
                child.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._child = None

    def kill(self) -> None:
        """Kill server and backends at once, like a power cut, and wait until they are gone."""
        child = self._child
        if child is None:
            return
        backends = _children_of(child.pid)
        for pid in [child.pid, *backends]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child.wait()
        deadline = time.monotonic() + 10
        # A backend that still lives would keep the shared memory and the next start would be refused.
        while any(_lives(pid) for pid in backends) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._child = None

    def log_tail(self, *, lines: int = 15) -> str:
        """Return the last lines that the server wrote since its start, joined by `` | ``."""
        try:
            with self.log_file.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, size - 16384))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return "(no log)"
        return " | ".join(text.strip().splitlines()[-lines:]) or "(empty log)"


def server_environment() -> dict[str, str]:
    """Return the environment of server programs: nothing of ours (PGDATA, secrets) and English messages."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        **{name: os.environ[name] for name in ("LD_LIBRARY_PATH", "ICU_DATA") if name in os.environ},
    }


def _state_and_parent(pid: int) -> tuple[str, int] | None:
    try:
        # the name in parentheses may hold spaces; state and parent are the first fields after it
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def _lives(pid: int) -> bool:
    found = _state_and_parent(pid)
    return found is not None and found[0] != "Z"


def _children_of(pid: int) -> list[int]:
    proc = Path("/proc")
    pids = [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()] if proc.is_dir() else []
    return [child for child in pids if (_state_and_parent(child) or ("", 0))[1] == pid]
