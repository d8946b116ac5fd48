"""Child processes that end when the process that started them is gone.

A silent child outlives a killed parent: a ``pg_basebackup`` would go on holding its connection, a test server would
stay for ever. Linux can signal a child at its parent's death (``prctl(2)``, PR_SET_PDEATHSIG). ``setpriv`` sets it
between fork and exec without running Python there: ``preexec_fn`` is not safe once other threads exist (grpc, the
heartbeat), it may find their locks taken for ever.

The "parent" is the *thread* that called ``subprocess.Popen``: that thread must live as long as the child is wanted.
"""

import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

# A parent that dies before the signal is asked for sends none: whoever has another parent by then ends by itself.
_IF_PARENT_LIVES = '[ "$PPID" = "$0" ] || exit 1; exec "$@"'


@functools.cache
def _setpriv() -> str | None:
    found = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if found is None:
        return None
    # busybox has a setpriv without this option
    tried = subprocess.run([found, "--pdeathsig", "KILL", "--", "/bin/true"], capture_output=True, check=False)
    return found if tried.returncode == 0 else None


def dying_with_parent(command: Sequence[str], *, death_signal: signal.Signals = signal.SIGKILL) -> list[str]:
    """Return the command so that it gets ``death_signal`` when the starting thread ends.

    Where ``setpriv`` of util-linux is absent the command is returned as it is: a child that writes to a pipe still
    ends with its reader.
    """
    setpriv = _setpriv()
    if setpriv is None:
        return list(command)
    signal_name = death_signal.name.removeprefix("SIG")
    return [setpriv, "--pdeathsig", signal_name, "--", "/bin/sh", "-c", _IF_PARENT_LIVES, str(os.getpid()), *command]
