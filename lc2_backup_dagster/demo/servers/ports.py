"""Free TCP ports on the loopback address."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from random import SystemRandom

LOOPBACK = "127.0.0.1"

# Below the range from which the system takes the local ends of outgoing connections, so that nobody takes a port
# between our look and the server's start but another server.
_LOWEST, _HIGHEST = 10_000, 22_000


def free_ports(count: int, *, offsets: Sequence[int] = (0,), preferred: Sequence[int] = ()) -> list[int]:
    """Return ports on which a server can listen now.

    Args:
        count: how many.
        offsets: each port is free together with those this far above it.
        preferred: taken first, in order, as far as they are free.

    Raises:
        OSError: nothing is free in the whole range.
    """
    found: list[int] = []
    numbers = SystemRandom()
    candidates = iter([*preferred, *(numbers.randrange(_LOWEST, _HIGHEST) for _ in range(1000))])
    with ExitStack() as held:
        for port in candidates:
            if len(found) == count:
                break
            if _hold(port, offsets, held):
                found.append(port)
    if len(found) < count:
        raise OSError(f"only {len(found)} of {count} free ports found between {_LOWEST} and {_HIGHEST}")
    return found


def _hold(port: int, offsets: Sequence[int], held: ExitStack) -> bool:
    with ExitStack() as attempt:
        for offset in offsets:
            holder = attempt.enter_context(socket.socket())
            # What a server does too: a port whose last connections are only fading out counts as free.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind((LOOPBACK, port + offset))
                holder.listen(1)
            except (OSError, OverflowError):
                return False
        held.push(attempt.pop_all())
    return True
