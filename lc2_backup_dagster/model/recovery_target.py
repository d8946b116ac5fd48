"""Where a physical restore shall end: a time, a position, a restore point, a transaction, or what there is.

A time without a zone is refused, because it means another moment on every machine (L-15). So is nothing else here:
whether a target can be reached is asked of the repository.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.lsn import Lsn

TargetKind = Literal["immediate", "latest", "time", "lsn", "name", "xid"]
_TAKES_NO_VALUE = ("immediate", "latest")
_LONGEST_NAME_BYTES = 63
_XID = re.compile(r"\d{1,20}")


@dataclass(frozen=True, slots=True)
class RecoveryTarget:
    """Where recovery ends.

    Attributes:
        kind: ``immediate`` is the end of the backup itself; ``latest`` the end of all WAL that is archived; ``name`` a
            restore point (``pg_create_restore_point``).
        value: RFC 3339 time in UTC, position as text, name, or transaction id; None for the first two.
        inclusive: whether what happened exactly at the time, position or transaction is part of it.
        timeline: timeline to follow; None for the newest one that can be reached.
    """

    kind: TargetKind
    value: str | None = None
    inclusive: bool = True
    timeline: int | None = None

    @classmethod
    def parse(
        cls, kind: TargetKind, value: str | None = None, *, inclusive: bool = True, timeline: int | None = None
    ) -> "RecoveryTarget":
        """Read a target as people write it.

        Raises:
            ConfigurationError: not a time with a zone, position, name or transaction id.
        """
        if timeline is not None and timeline < 1:
            raise ConfigurationError(f"{timeline} is not a timeline", hint="timelines count from 1")
        if (value is None) != (kind in _TAKES_NO_VALUE):
            raise ConfigurationError(f"the recovery target '{kind}' {'takes no' if value else 'needs a'} value")
        if value is not None:
            value = _checked(kind, value)
        return cls(kind, value, inclusive, timeline)

    @property
    def time(self) -> datetime | None:
        """The time, for a target by time."""
        return from_text(self.value) if self.kind == "time" and self.value else None

    @property
    def lsn_value(self) -> int | None:
        """The position, for a target by position."""
        return Lsn.parse(self.value, timeline=0).value if self.kind == "lsn" and self.value else None

    def __str__(self) -> str:
        """Return it as messages name it."""
        where = f" on timeline {self.timeline}" if self.timeline else ""
        return (f"{self.kind} {self.value}" if self.value else self.kind) + where


IMMEDIATE = RecoveryTarget("immediate")
"""The end of the backup itself."""


def _checked(kind: TargetKind, value: str) -> str:
    value = value.strip()
    if kind == "time":
        return to_text(from_text(value))
    if kind == "lsn":
        try:
            return str(Lsn.parse(value, timeline=0))
        except ValueError as error:
            raise ConfigurationError(f"'{value}' is not a WAL position", hint="write it like 16/B374D848") from error
    if kind == "xid" and not _XID.fullmatch(value):
        raise ConfigurationError(f"'{value}' is not a transaction id", hint="write the number alone")
    if kind == "name" and not (0 < len(value.encode()) <= _LONGEST_NAME_BYTES and value.isprintable()):
        raise ConfigurationError(f"'{value}' is not the name of a restore point", hint="1 to 63 bytes")
    return value
