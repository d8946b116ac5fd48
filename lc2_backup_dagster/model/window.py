"""Windows of time: what a partition stands for, and whether a captured moment lies inside it.

Pure; partition keys are in UTC because local hourly keys appear twice or never when daylight saving changes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class WindowLength(StrEnum):
    """The two lengths of windows that assets use."""

    HOURLY = "hourly"
    DAILY = "daily"


_FORMAT = {WindowLength.HOURLY: "%Y-%m-%d-%H:%M", WindowLength.DAILY: "%Y-%m-%d"}
_DELTA = {WindowLength.HOURLY: timedelta(hours=1), WindowLength.DAILY: timedelta(days=1)}


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open span of time ``[start, end)`` in UTC."""

    start: datetime
    length: WindowLength

    @property
    def end(self) -> datetime:
        """The first moment after the window."""
        return self.start + _DELTA[self.length]

    @property
    def last(self) -> datetime:
        """The last moment inside the window: the end itself belongs to the next one."""
        return self.end - timedelta(microseconds=1)

    @property
    def key(self) -> str:
        """The partition key, the same text that Dagster uses."""
        return self.start.strftime(_FORMAT[self.length])

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    @classmethod
    def parse(cls, key: str, *, length: WindowLength) -> "Window":
        """Read a partition key.

        Raises:
            ValueError: not a key of that length.
        """
        return cls(datetime.strptime(key, _FORMAT[length]).replace(tzinfo=UTC), length)

    @classmethod
    def around(cls, moment: datetime, *, length: WindowLength) -> "Window":
        """Return the window that holds a moment."""
        utc = moment.astimezone(UTC)
        hour = utc.hour if length is WindowLength.HOURLY else 0
        return cls(utc.replace(hour=hour, minute=0, second=0, microsecond=0), length)


@dataclass(frozen=True, slots=True)
class Moment:
    """When the captured data was true.

    Attributes:
        restorable_from: earliest moment the backup can restore, UTC.
        restorable_until: latest moment the backup can restore, UTC. For one snapshot both are equal.
        lsn: PostgreSQL position of the moment, as text, or None for what has none.
        timeline: its timeline, or None.
    """

    restorable_from: datetime
    restorable_until: datetime
    lsn: str | None = None
    timeline: int | None = None
