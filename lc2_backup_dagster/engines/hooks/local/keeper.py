"""A small process between the worker and a hook's command, which leaves nothing of the command running.

Run as a script, with the standard library alone. A worker can be killed at any moment, and a command can start others
that leave its process group. So the keeper

- is told by the end of its standard input that the hook shall be stopped; that end comes, too, when the worker dies;
- adopts whatever the command's processes leave behind (``PR_SET_CHILD_SUBREAPER``, prctl(2)), so that it finds them;
- ends them all, first with TERM, after a while with KILL, and ends itself when none is left.

First argument: the file descriptor that results are written to, as lines of JSON: the process group once the command is
started, then how it ended. Standard input: one line of JSON,
``{"command": […], "environment": {…}, "directory": … or null, "grace_seconds": …}``; secrets are in it, which
arguments and the keeper's own environment would show to others. Standard output is the command's.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_POLL_SECONDS = 0.02
# What the command started and left behind has no more to do.
_LEFTOVERS_GRACE_SECONDS = 1.0
_KILL_SECONDS = 10.0
_RESET = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGPIPE", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGALRM")


def main() -> int:
    """Run the command that standard input tells, and report how it ended."""
    result = int(sys.argv[1])
    order = json.loads(_first_line())
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake = _wake_on_signals()
    try:
        child = subprocess.Popen(
            order["command"],
            env=order["environment"],
            cwd=order["directory"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _begin(result),  # this process has one thread
        )
    except (OSError, ValueError) as error:
        filename = getattr(error, "filename", None)
        _report(result, {"not_started": str(getattr(error, "strerror", None) or error), "name": filename})
        return 0
    _let_go_of_output()
    stopped = _wait(child, wake)
    code = _sweep(child, grace_seconds=float(order["grace_seconds"]) if stopped else _LEFTOVERS_GRACE_SECONDS)
    _report(result, {"code": code, "stopped": stopped})
    return 0


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        # Byte by byte would be slow for long environments; nothing follows the line until the end.
        piece = os.read(0, 65536)
        if not piece:
            sys.exit(1)
        line += piece
    return line


def _wake_on_signals() -> int:
    """Return a descriptor that can be read when a child ended or somebody wants us to end."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for name in ("SIGHUP", "SIGINT", "SIGTERM", "SIGCHLD"):
        signal.signal(getattr(signal, name), _note)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    return reading


_ended_by: list[int] = []


def _note(number: int, _frame: Any) -> None:
    if number != signal.SIGCHLD:
        _ended_by.append(number)


def _begin(result: int) -> None:
    """Give the command the signals of a new login: some of ours were ignored by whoever started the worker.

    The worker learns its process group before anything runs that could end this keeper.
    """
    _report(result, {"pid": os.getpid()})
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for name in _RESET:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _let_go_of_output() -> None:
    """Leave the pipe to the command: its end is then the end of the command's output."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _wait(child: "subprocess.Popen[bytes]", wake: int) -> bool:
    """Wait until the command has ended; say whether we were told to stop it before."""
    while _any_left(child) and child.returncode is None:
        readable, _, _ = select.select([0, wake], [], [], 1.0)
        if 0 in readable and not os.read(0, 65536):
            return True
        if _ended_by:
            return True
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
    return False


def _sweep(child: "subprocess.Popen[bytes]", *, grace_seconds: float) -> int | None:
    """End every process that came of the command, and return the command's own exit code."""
    _signal_all(child, signal.SIGTERM)
    killed_at = time.monotonic() + grace_seconds
    given_up_at = killed_at + _KILL_SECONDS
    while _any_left(child) and time.monotonic() < given_up_at:
        if time.monotonic() >= killed_at:
            _signal_all(child, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return child.returncode


def _any_left(child: "subprocess.Popen[bytes]") -> bool:
    """Reap what has ended; say whether anything lives. Orphans become our children: without one, none is left."""
    child.poll()
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)


def _signal_all(child: "subprocess.Popen[bytes]", number: int) -> None:
    if child.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, number)
    for pid in _descendants():
        if child.returncode is None and pid == child.pid and number == signal.SIGTERM:
            continue  # it has it already
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _descendants() -> list[int]:
    """Return every process below this one; none where the system has no /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name stands in parentheses and may hold anything, more parentheses too.
            parents[int(entry.parent.name)] = int(entry.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    found: list[int] = []
    above = {os.getpid()}
    while above:
        above = {pid for pid, parent in parents.items() if parent in above}
        found.extend(above)
    return found


def _prctl(option: int, value: int) -> None:
    # Not on other systems than Linux: there only the process group is ended.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _report(result: int, told: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        os.write(result, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
