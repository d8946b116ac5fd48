"""A limit of bytes per second over all threads of a run."""

import threading
import time
from collections.abc import Callable

_BURST_SECONDS = 0.5


class ByteRate:
    """Lets bytes pass at a rate; whoever asks waits until its bytes are due.

    A pause of half a second may be made up for afterwards, a longer one may not: a run that waited for its database
    does not fall upon the store with all the bytes it did not take meanwhile.

    Args:
        bytes_per_second: the rate, or None for no limit.
        wait: waits so many seconds, or less when the run is ending.
        monotonic: seconds that only grow.
    """

    def __init__(
        self,
        bytes_per_second: int | None,
        *,
        wait: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bytes_per_second = bytes_per_second
        self._wait = wait
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._due = monotonic()

    def take(self, count: int) -> None:
        """Wait until ``count`` bytes may pass."""
        if not self._bytes_per_second:
            return
        with self._lock:
            now = self._monotonic()
            self._due = max(self._due, now - _BURST_SECONDS) + count / self._bytes_per_second
            seconds = self._due - now
        if seconds > 0:
            self._wait(seconds)
