import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.sites.cron import CronRefused, check_cron, is_time_zone, longest_pause_days, nearest_time_zones


@pytest.mark.parametrize(
    "text",
    ["* * * * *", "0 2 * * *", "*/15 0-5 1,15 jan-MAR mon", "0 0 29 2 *", "0 0 31 2 fri", "5-50/5 22,23 * * 0-7"],
)
def test_a_cron_expression_is_accepted(text):
    assert check_cron(text) == text


def test_a_cron_expression_is_single_spaced():
    assert check_cron(" 0  2 * *   * ") == "0 2 * * *"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "0 fields"),
        ("@daily", "1 field, not five"),
        ("0 2 * *", "4 fields"),
        ("0 0 2 * * *", "6 fields"),
        ("60 * * * *", "minute '60', which is not within 0 to 59"),
        ("0 24 * * *", "hour '24'"),
        ("0 0 0 * *", "day of month '0'"),
        ("0 0 * 13 *", "month '13'"),
        ("0 0 * * 8", "day of week '8'"),
        ("0 22-4 * * *", "runs backwards"),
        ("0 0 30 feb *", "names a date that no year has"),
        ("0 0 31 4,6,9,11 *", "names a date that no year has"),
        ("*/0 * * * *", "step of 0"),
        ("5/10 * * * *", "a step needs"),
        ("*/90 * * * *", "step is longer than its range"),
        ("0 0 L * *", "cannot be read"),
        ("0 0 * * mon#1", "cannot be read"),
        ("0,,1 * * * *", "cannot be read"),
        ("٣ * * * *", "cannot be read"),
        ("jan * * * *", "cannot be read"),
    ],
)
def test_what_cannot_fire_as_meant_is_refused_with_the_field(text, told):
    with pytest.raises(CronRefused, match=told):
        check_cron(text)


_ITEM = st.from_regex(r"(\*|[0-9]{1,2}(-[0-9]{1,2})?)(/[0-9]{1,2})?", fullmatch=True)
_FIELD = st.lists(_ITEM, min_size=1, max_size=2).map(",".join)


@settings(deadline=None, max_examples=200)
@given(st.lists(_FIELD, min_size=5, max_size=5).map(" ".join))
def test_dagster_reads_every_cron_expression_that_is_accepted(text):
    try:
        accepted = check_cron(text)
    except CronRefused:
        return
    assert dg.ScheduleDefinition(name="s", job_name="j", cron_schedule=accepted).cron_schedule == accepted


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_accepted_or_refused_and_nothing_else(text):
    try:
        check_cron(text)
    except CronRefused as refused:
        assert str(refused)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("* * * * *", 1),
        ("0 5 * * *", 1),
        ("0 5 * * 1-5", 3),
        ("0 5 * * sun", 7),
        ("0 5 * * 0,7", 7),
        ("0 5 1 * *", 31),
        ("0 5 31 * *", 61),
        ("0 5 1,15 * *", 17),
        ("0 5 1 * mon", 7),
        ("0 5 * jan *", 336),
        ("0 5 24 12 *", 366),
        ("0 5 29 2 *", 1461),
    ],
)
def test_the_longest_pause_of_a_cron_expression(text, days):
    assert longest_pause_days(text) == days


def test_time_zones_are_those_of_the_database():
    assert is_time_zone("UTC")
    assert is_time_zone("America/Argentina/Ushuaia")
    for wrong in ("Europe", "../etc/passwd", "", "Europe/Berln", "/etc/localtime", "a\0b"):
        assert not is_time_zone(wrong)


def test_a_mistyped_time_zone_has_a_nearest_one():
    assert nearest_time_zones("Europe/Berln")[0] == "Europe/Berlin"
