"""End a process group when the process that started it is gone, however it went. Run as a script, with ``-I -S``.

The reaper leads the group. Its standard input is a pipe whose other end only the starting process holds: end of file
means that one has died (or has stopped everything itself, and then kills this process too).
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path


def others_of_group() -> bool:
    """Tell whether the group still has other living members; assumes so where the system has no ``/proc``."""
    stats = list(Path("/proc").glob("[0-9]*/stat"))
    for stat in stats:
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == os.getpgrp() and fields[0] not in ("Z", "X") and stat.parent.name != str(os.getpid()):
                return True
    return not stats


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    # First politely: run workers then abort their attempt in the repository instead of leaving it to time out.
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < deadline and others_of_group():
        time.sleep(0.1)
    os.killpg(0, signal.SIGKILL)
