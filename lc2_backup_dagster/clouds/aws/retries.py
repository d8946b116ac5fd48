"""Trying requests again: which failures pass by themselves, how long to wait, how often the store asked to slow down.

One rule for all requests of the adapter, whoever sends them.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from lc2_backup_dagster.clouds.store import Throttling
from lc2_backup_dagster.model.errors import BackupError, StoreUnavailable

LONGEST_PAUSE_SECONDS = 20.0
# A store may ask for a minute; heartbeats and a person at a terminal cannot wait that long.
_LONGEST_WISH_SECONDS = 5.0

# 404: not from the store itself. 409: another writer is busy, and who asked knows what that means. 501: it never will.
_LASTING = (404, 409, 501)
_SLOW_DOWN = frozenset(
    (
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "ServiceUnavailable",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
    )
)
_TOO_BUSY = (429, 503)

Result = TypeVar("Result")


def passes(error: BackupError) -> bool:
    """Say whether the same request may succeed a little later."""
    return isinstance(error, StoreUnavailable) and error.attributes.get("status") not in _LASTING


def asks_to_slow_down(error: BackupError) -> bool:
    """Say whether the store has had too many requests."""
    code = str(error.attributes.get("code", ""))
    return code in _SLOW_DOWN or "Throttl" in code or error.attributes.get("status") in _TOO_BUSY


def pause_seconds(retry: int, *, chance: float, wish: float = 0.0) -> float:
    """Return how long to wait before a retry.

    Args:
        retry: its number, from 0.
        chance: between 0 and 1; a pause of any length up to the doubled one, so that clients do not come back at once.
        wish: seconds that the store asked for, or 0.
    """
    return max(chance * min(2.0**retry, LONGEST_PAUSE_SECONDS), min(wish, _LONGEST_WISH_SECONDS))


class Retries:
    """Sends requests again after growing pauses and counts throttled ones; safe to use from several threads.

    Args:
        attempts: most tries of one request.
    """

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._lock = threading.Lock()
        self._throttling = Throttling()

    @property
    def throttling(self) -> Throttling:
        """What was counted so far."""
        return self._throttling

    def run(self, request: Callable[[], Result]) -> Result:
        """Send a request until it succeeds, fails for good, or was sent often enough.

        Raises:
            BackupError: of the last try; its attribute ``retries`` says how many came before it.
        """
        retries = 0
        while True:
            try:
                return request()
            except BackupError as error:
                error.attributes["retries"] = retries
                retries += 1
                again = retries < self._attempts and passes(error)
                wish = _seconds(error.attributes.get("retry_after"))
                pause = pause_seconds(retries - 1, chance=random.random(), wish=wish) if again else 0.0  # noqa: S311
                if asks_to_slow_down(error):
                    self._count(pause)
                if not again:
                    raise
            time.sleep(pause)

    def _count(self, pause: float) -> None:
        with self._lock:
            before = self._throttling
            self._throttling = Throttling(before.requests + 1, before.seconds + pause)


def _seconds(text: object) -> float:
    """Read a ``Retry-After`` header; a date in it counts for nothing."""
    return float(text) if isinstance(text, str) and text.isascii() and text.isdigit() else 0.0
