"""Time as an argument: a clock is passed in, never read from the environment by code that decides."""

import re
from datetime import UTC, datetime
from typing import Protocol

from lc2_backup_dagster.model.errors import ConfigurationError


class Clock(Protocol):
    """Tells the time, always zone-aware and in UTC."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """Render a zone-aware time as RFC 3339 in UTC with microseconds, so that text order is time order.

    Raises:
        ValueError: the time has no zone (L-15).
    """
    if moment.tzinfo is None:
        raise ValueError(f"a time without zone has no meaning here: {moment!r}")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """Read an RFC 3339 time; a time without zone is refused (L-15).

    Raises:
        ConfigurationError: not a time, or without zone.
    """
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except ValueError as error:
        raise ConfigurationError(
            f"'{text}' is not a time", hint="write it like 2026-11-23T02:00:00Z or 2026-11-23T03:00:00+01:00"
        ) from error
    if moment.tzinfo is None:
        raise ConfigurationError(f"'{text}' has no time zone", hint="append Z for UTC or an offset like +01:00")
    return moment.astimezone(UTC)
