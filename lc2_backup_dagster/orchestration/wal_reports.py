"""What a look at archived WAL reports, and what is remembered of it until the next one. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.operations.wal.restorable_until import Proven, Restorable

_REPORTS_PER_RPO = 5
_CHECKS_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Reported:
    """What a sensor remembers from one look to the next.

    Attributes:
        proven: how far WAL was proven.
        until: the moment of the last materialization.
        reported_at: when that was reported.
        passed: the last result of the check.
        checked_at: when that was reported.
    """

    proven: Proven | None = None
    until: datetime | None = None
    reported_at: datetime | None = None
    passed: bool | None = None
    checked_at: datetime | None = None

    def after(self, seen: Restorable, report: "Due", *, passed: bool, now: datetime) -> "Reported":
        """Return what is remembered once a report was made."""
        return Reported(
            proven=seen.proven,
            until=seen.until if report.materialization else self.until,
            reported_at=now if report.materialization else self.reported_at,
            passed=passed,
            checked_at=now if report.check else self.checked_at,
        )


@dataclass(frozen=True, slots=True)
class Due:
    """What a look reports.

    Attributes:
        materialization: that WAL advanced, and lies within the RPO.
        check: the result of the check.
    """

    materialization: bool
    check: bool


def due(seen: Restorable, before: Reported, *, passed: bool, rpo: timedelta, now: datetime) -> Due:
    """Decide what to report.

    The event log keeps every event for ever, so a materialization comes a few times per RPO, and the check's result
    when it changes, or once an hour.
    """
    advanced = seen.until is not None and (before.until is None or seen.until > before.until)
    waited = before.reported_at is None or now - before.reported_at >= rpo / _REPORTS_PER_RPO
    rested = before.checked_at is None or now - before.checked_at >= _CHECKS_EVERY
    return Due(materialization=passed and advanced and waited, check=passed is not before.passed or rested)


def encode(reported: Reported) -> str:
    """Return what a cursor holds."""
    proven = reported.proven
    told = [proven.base, str(proven.lsn), proven.lsn.timeline, proven.segments, to_text(proven.until)] if proven else []
    return json.dumps(
        {
            "proven": told,
            "until": to_text(reported.until) if reported.until else None,
            "reported_at": to_text(reported.reported_at) if reported.reported_at else None,
            "passed": reported.passed,
            "checked_at": to_text(reported.checked_at) if reported.checked_at else None,
        }
    )


def decode(cursor: str | None) -> Reported:
    """Read a cursor; one of another release is forgotten, and everything is proven again."""
    try:
        told = json.loads(cursor or "{}")
        proven = None
        if told.get("proven"):
            base, lsn, timeline, segments, until = told["proven"]
            proven = Proven(base, Lsn.parse(lsn, timeline=timeline), segments, from_text(until))
        until, reported_at, checked_at = (
            from_text(told[name]) if told.get(name) else None for name in ("until", "reported_at", "checked_at")
        )
        return Reported(proven, until, reported_at, told.get("passed"), checked_at)
    except (ValueError, TypeError, AttributeError, ConfigurationError):
        return Reported()
