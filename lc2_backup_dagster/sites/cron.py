"""Cron expressions and time zones, checked when a site file is read. Pure but for the zone database.

Five fields as in crontab(5): minute, hour, day of month, month, day of week. Stricter than most readers, so that
nothing is accepted here that the scheduler would read otherwise: no ``@daily``, no seconds, no ``L``, ``W`` or ``#``,
no ranges that wrap around.
"""

import difflib
import re
import zoneinfo
from datetime import date, timedelta
from functools import cache
from itertools import pairwise

CRON_ALLOWED = (
    "five fields 'minute hour day-of-month month day-of-week' of numbers, *, lists (1,15), ranges (1-5) and "
    "steps (*/15), for example '0 2 * * *'"
)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SPAN_DAYS = 9 * 366  # holds two leap days
_ITEM = re.compile(r"(?:(?P<all>\*)|(?P<low>\w{1,3})(?:-(?P<high>\w{1,3}))?)(?:/(?P<step>[0-9]{1,2}))?", re.ASCII)


class CronRefused(ValueError):
    """Not a cron expression; the text says which field and why."""


def check_cron(text: str) -> str:
    """Return the expression, single-spaced, when every field is well-formed and in range and it can ever fire.

    Raises:
        CronRefused: otherwise.
    """
    fields = text.split()
    if len(fields) != 5:
        raise CronRefused(f"has {len(fields)} {'field' if len(fields) == 1 else 'fields'}, not five")
    _values(fields[0], name="minute", low=0, high=59)
    _values(fields[1], name="hour", low=0, high=23)
    days = _values(fields[2], name="day of month", low=1, high=31)
    months = _values(fields[3], name="month", low=1, high=12, names=_MONTHS, first=1)
    _values(fields[4], name="day of week", low=0, high=7, names=_DAYS, first=0)
    # With a restricted day of week cron fires on either, so only a date by itself can be impossible.
    if fields[4] == "*" and not any(day <= _DAYS_IN_MONTH[month - 1] for day in days for month in months):
        raise CronRefused("names a date that no year has")
    return " ".join(fields)


@cache
def longest_pause_days(text: str) -> int:
    """Return the longest time between two ticks of a checked expression, in days and at least one.

    Days of the week and of the month both count where both are restricted, as cron does it.
    """
    _, _, day_field, month_field, weekday_field = text.split()
    days = _values(day_field, name="day of month", low=1, high=31)
    months = _values(month_field, name="month", low=1, high=12, names=_MONTHS, first=1)
    weekdays = {each % 7 for each in _values(weekday_field, name="day of week", low=0, high=7, names=_DAYS, first=0)}

    def fires(day: date) -> bool:
        if day.month not in months:
            return False
        of_month, of_week = day.day in days, day.isoweekday() % 7 in weekdays
        if day_field != "*" and weekday_field != "*":
            return of_month or of_week
        return of_month and of_week

    start = date(2001, 1, 1)
    ticks = [number for number in range(_SPAN_DAYS) if fires(start + timedelta(days=number))]
    return max(later - earlier for earlier, later in pairwise(ticks))


def _values(
    field: str, *, name: str, low: int, high: int, names: tuple[str, ...] = (), first: int = 0
) -> frozenset[int]:
    """Return the values a field stands for.

    Raises:
        CronRefused: malformed or out of range.
    """
    values: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise CronRefused(f"has the {name} '{field}', which cannot be read")
        step = int(match["step"]) if match["step"] else 1
        if step == 0:
            raise CronRefused(f"has a step of 0 in the {name}")
        if match["all"]:
            start, end = low, high
        else:
            start = _value(match["low"], name=name, names=names, first=first)
            end = _value(match["high"], name=name, names=names, first=first) if match["high"] else start
            if match["step"] and not match["high"]:
                raise CronRefused(f"has the {name} '{item}': a step needs * or a range before it")
        if not low <= start <= high or not low <= end <= high:
            raise CronRefused(f"has the {name} '{item}', which is not within {low} to {high}")
        if start > end:
            raise CronRefused(f"has the {name} '{item}', which runs backwards")
        if match["step"] and step > end - start:
            # Dagster would fire at every start of the range, more often than meant (dagster#15294).
            raise CronRefused(f"has the {name} '{item}', whose step is longer than its range")
        values.update(range(start, end + 1, step))
    return frozenset(values)


def _value(text: str, *, name: str, names: tuple[str, ...], first: int) -> int:
    if text.isdecimal():
        return int(text)
    if text.lower() in names:
        return names.index(text.lower()) + first
    raise CronRefused(f"has the {name} '{text}', which cannot be read")


def is_time_zone(name: str) -> bool:
    """Say whether a name is in the IANA time-zone database."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # OSError: some names are folders of the database, like "Europe".
        return False
    return True


def nearest_time_zones(name: str) -> list[str]:
    """Return up to three names of zones that resemble a wrong one."""
    return difflib.get_close_matches(name, _zones(), n=3, cutoff=0.5)


@cache
def _zones() -> tuple[str, ...]:
    return tuple(sorted(zoneinfo.available_timezones()))
