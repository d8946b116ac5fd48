"""Run a process beside the demo as a service manager would: started again whenever it ends, ended in order."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lc2_backup_dagster.engines.postgres.servers.parent_death import dying_with_parent

_STOP_SECONDS = 15.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0


class SupervisedProcess:
    """A supervised process of this Python; a context manager.

    Args:
        name: for the thread that looks after it.
        arguments: of the interpreter.
        environment: variables beside those of this process: site files, secrets.
        log_file: takes what it says, and when it was started again.
    """

    def __init__(self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], log_file: Path) -> None:
        self._arguments = tuple(arguments)
        self._environment = {**os.environ, **environment}
        self._log_file = log_file
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        # The child ends with the thread that started it, so this one lives as long as the demo.
        self._thread = threading.Thread(target=self._supervise, name=name, daemon=True)

    @property
    def pid(self) -> int | None:
        """Id of the process that runs now, or None between two."""
        with self._lock:
            return self._process.pid if self._process and self._process.poll() is None else None

    def __enter__(self) -> Self:
        """Start it."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask it to end, and kill it when it has not by then."""
        self._stopping.set()
        with self._lock:
            if self._process is not None:
                self._process.send_signal(signal.SIGTERM)
        self._thread.join()

    def _supervise(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            code = self._run()
            if self._stopping.wait(pause):
                return
            with self._log_file.open("ab") as log:
                log.write(f"ended with code {code}; started again\n".encode())
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _run(self) -> int:
        command = dying_with_parent([sys.executable, *self._arguments])
        with self._log_file.open("ab") as log:
            with self._lock:
                if self._stopping.is_set():
                    return 0
                self._process = subprocess.Popen(
                    command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return self._process.wait(1.0)
                if self._stopping.is_set():
                    break
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_STOP_SECONDS)
        self._process.kill()
        return self._process.wait()
