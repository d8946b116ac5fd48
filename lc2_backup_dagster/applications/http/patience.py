"""How often, and how long, a network is asked again. The arithmetic is pure; the clock is an argument."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from lc2_backup_dagster.model.errors import AnswerInvalid, BackupError, ServiceUnavailable

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How much is put up with.

    Attributes:
        tries: how often one request is sent.
        first_wait_seconds: after the first try; doubled after each further one.
        longest_wait_seconds: between two tries, unless the API asks for more.
        total_seconds: for one request with all its tries and waits.
        requests_per_second: how fast an API is asked at most, so that it need not say 429.
    """

    tries: int = 6
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0
    total_seconds: float = 600.0
    requests_per_second: float = 10.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Where time comes from and goes to; tests hand in their own.

    Attributes:
        monotonic: tells the seconds that pass.
        sleep: lets some pass.
        now: tells the time of day, in UTC.
        jitter: a number from 0 to 1.
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    jitter: Callable[[], float] = random.random


def wait_seconds(patience: Patience, tries: int, *, asked_for: float | None, jitter: float) -> float:
    """Return how long to wait after so many tries.

    Half of the wait is chance, so that many clients that failed together do not come back together. What the API asks
    for (``Retry-After``) is never undercut.
    """
    grown = patience.first_wait_seconds * 2.0 ** min(tries - 1, 30)
    own = min(patience.longest_wait_seconds, grown) * (0.5 + 0.5 * jitter)
    return own if asked_for is None else max(own, asked_for)


def retry_after_seconds(header: str | None, *, now: datetime) -> float | None:
    """Return what a ``Retry-After`` header asks for: seconds or a date (RFC 9110); None where it says nothing."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def repeated(action: Callable[[], _T], *, patience: Patience, timing: Timing, repeatable: bool) -> _T:
    """Do something until it succeeds, or patience has an end.

    ``ServiceUnavailable`` and ``AnswerInvalid`` are put up with where the action is repeatable, or where the error says
    by its attribute ``sent`` that the request was not carried out; never where its attribute ``repeat`` is False.

    Args:
        action: sends one request.
        patience: how often and how long.
        timing: the clock.
        repeatable: whether carrying it out twice does no harm.

    Raises:
        BackupError: what the last try raised; the message tells how often it was tried.
    """
    began, tries = timing.monotonic(), 0
    while True:
        tries += 1
        try:
            return action()
        except (ServiceUnavailable, AnswerInvalid) as error:
            attributes = error.attributes
            if not attributes.get("repeat", repeatable or not attributes.get("sent", True)):
                raise
            asked_for: Any = attributes.get("retry_after")
            wait = wait_seconds(patience, tries, asked_for=asked_for, jitter=timing.jitter())
            passed = timing.monotonic() - began
            if tries >= patience.tries or passed + wait > patience.total_seconds:
                raise _exhausted(error, tries=tries, passed=passed, asked_for=asked_for) from None
        timing.sleep(wait)


def _exhausted(error: BackupError, *, tries: int, passed: float, asked_for: float | None) -> BackupError:
    times = "once" if tries == 1 else f"{tries} times"
    asked = f", asked to wait {asked_for:.0f} s more" if asked_for else ""
    message = f"{error.message} (tried {times} in {passed:.0f} s{asked})"
    return type(error)(message, hint=error.hint, **error.attributes)
