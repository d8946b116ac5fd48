"""A command with its keeper: started, read, told to stop, waited for. See ``keeper`` for why there is one."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_KEEPER = Path(__file__).with_name("keeper.py")
_CHUNK_BYTES = 1 << 16
# More than a pipe holds.
_LAST_CHUNKS = 32
# Above the keeper's own patience with processes that do not die.
_SLACK_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code, negative for a signal; None when it was never started, or nobody knows.
        timed_out: whether it was stopped because its time was over.
        not_started: why it could not be started, or None.
        missing: the file that was not found, where that is why.
    """

    code: int | None
    timed_out: bool = False
    not_started: str | None = None
    missing: str | None = None


class KeptProcess:
    """A running command; a context manager that leaves no process behind, whatever is raised inside.

    Args:
        command: program and arguments.
        environment: all of its environment.
        directory: where it runs, or None for here.
        grace_seconds: how long it may take to end after TERM.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None,
        grace_seconds: float,
    ) -> None:
        self._grace = grace_seconds
        self._result, theirs = os.pipe()
        try:
            self._keeper = subprocess.Popen[bytes](
                # Isolated and without site: nothing of the worker's Python settings, and a start within 20 ms.
                [sys.executable, "-I", "-S", str(_KEEPER), str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                start_new_session=True,
                env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            )
        except BaseException:
            os.close(self._result)
            raise
        finally:
            os.close(theirs)
        assert self._keeper.stdin is not None
        order = {
            "command": list(command),
            "environment": dict(environment),
            "directory": str(directory) if directory else None,
            "grace_seconds": grace_seconds,
        }
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.write(json.dumps(order).encode() + b"\n")
            self._keeper.stdin.flush()

    @property
    def keeper_pid(self) -> int:
        """Process id of the keeper."""
        return self._keeper.pid

    def wait(self, timeout_seconds: float, *, on_output: Callable[[bytes], None]) -> Ended:
        """Hand on the command's output until it has ended, or its time is over and it was stopped."""
        assert self._keeper.stdout is not None
        output = self._keeper.stdout.fileno()
        os.set_blocking(output, False)
        deadline = time.monotonic() + timeout_seconds
        timed_out = False
        listening, told = {output, self._result}, b""
        while self._result in listening:
            readable, _, _ = select.select(list(listening), [], [], max(0.0, deadline - time.monotonic()))
            if output in readable and not _hand_on(output, on_output):
                listening.discard(output)
            if self._result in readable:
                piece = os.read(self._result, _CHUNK_BYTES)
                told += piece
                if not piece:
                    listening.discard(self._result)
            if time.monotonic() >= deadline:
                if timed_out:
                    break
                timed_out = True
                self._stop()
                deadline = time.monotonic() + self._grace + _SLACK_SECONDS
        # What its processes wrote before they ended; a pipe that somebody still holds does not keep us.
        for _ in range(_LAST_CHUNKS):
            if output not in listening or not _hand_on(output, on_output, otherwise=False):
                break
        return _ended(told, timed_out=timed_out)

    def _stop(self) -> None:
        assert self._keeper.stdin is not None
        with contextlib.suppress(OSError):
            self._keeper.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        assert self._keeper.stdout is not None
        try:
            # A command that is blocked on a full pipe cannot end by itself.
            self._keeper.stdout.close()
            self._keeper.wait(self._grace + _SLACK_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self._keeper.poll() is None:
                self._keeper.kill()
                self._keeper.wait()
            os.close(self._result)


def _hand_on(output: int, on_output: Callable[[bytes], None], *, otherwise: bool = True) -> bool:
    """Read once; return False at the end, and ``otherwise`` where nothing is there right now."""
    try:
        chunk = os.read(output, _CHUNK_BYTES)
    except BlockingIOError:
        return otherwise
    if chunk:
        on_output(chunk)
    return bool(chunk)


def _ended(told: bytes, *, timed_out: bool) -> Ended:
    results: dict[str, Any] = {}
    for line in told.splitlines():
        results |= json.loads(line)
    if "not_started" in results:
        return Ended(None, not_started=results["not_started"], missing=results["name"])
    if "code" in results:
        return Ended(results["code"], timed_out)
    if "pid" in results:
        # The keeper was killed, and its command with it, but not what that had started.
        with contextlib.suppress(OSError):
            os.killpg(results["pid"], signal.SIGKILL)
    return Ended(None, timed_out)
