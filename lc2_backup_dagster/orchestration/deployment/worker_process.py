"""Is the process that was started as a run's worker still there? No Dagster here.

A process id alone proves nothing: after a restart of the machine or container it may belong to somebody else. So the
process must also have been started before the worker reported itself; a later owner of the id was started after it.
"""

import os
from pathlib import Path

# /proc counts in hundredths and the boot time in whole seconds.
_CLOCK_SLACK_SECONDS = 2.0


def is_same_process(pid: int, *, reported_at: float, proc: Path = Path("/proc")) -> bool:
    """Tell whether the process that reported itself as `pid` at `reported_at` (seconds since 1970) still lives.

    A zombie counts as gone. Where the system has no ``/proc``, only the existence of the id is checked.
    """
    if not (proc / "stat").exists():
        return _exists(pid)
    try:
        # The command name may hold spaces and brackets; the fixed fields start after the last bracket.
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    if fields[0] in ("Z", "X"):
        return False
    started_at = _boot_time(proc) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return started_at - _CLOCK_SLACK_SECONDS <= reported_at


def _boot_time(proc: Path) -> float:
    for line in (proc / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise RuntimeError(f"{proc / 'stat'} has no btime line")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
