from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.model.window import Moment, Window, WindowLength
from lc2_backup_dagster.operations.capture.windows import nearest, require_filled, require_open

HOUR = Window.parse("2026-11-23-02:00", length=WindowLength.HOURLY)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_open_window_is_captured_now():
    require_open(HOUR, asked_at=at("2026-11-23 02:59:58"), what="database", restorable=[])


def test_a_past_window_is_refused_and_the_nearest_moments_are_named():
    moments = [Moment(t, t) for t in (at("2026-11-23 01:20"), at("2026-11-23 05:00"), at("2026-11-23 06:00"))]
    with pytest.raises(
        WindowNotRestorable,
        match=r"today's data; hint: the nearest before is 2026-11-23T01:20.*after is 2026-11-23T05:00",
    ):
        require_open(HOUR, asked_at=at("2026-11-23 09:00"), what="database", restorable=moments)


def test_a_window_that_has_not_begun_is_refused():
    with pytest.raises(WindowNotRestorable, match="has not begun"):
        require_open(HOUR, asked_at=at("2026-11-23 01:59:00"), what="database", restorable=[])


def test_a_capture_that_came_too_late_fills_the_window_it_belongs_to():
    late = at("2026-11-23 03:00")
    with pytest.raises(WindowNotRestorable, match=r"lies in window 2026-11-23-03:00.*backup b1 was kept"):
        require_filled(
            HOUR, late, what="database", backup_id="b1", actual=Window.around(late, length=WindowLength.HOURLY)
        )


def test_with_nothing_restorable_the_hint_says_so():
    assert "nothing of this component" in nearest(at("2026-11-23 02:00"), [])


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2090, 1, 1)), st.sampled_from(WindowLength))
def test_every_moment_lies_in_exactly_the_window_around_it(naive, length):
    moment = naive.replace(tzinfo=UTC)
    window = Window.around(moment, length=length)
    assert moment in window
    assert Window.parse(window.key, length=length) == window
    assert moment not in Window.around(window.start - timedelta(seconds=1), length=length)
    assert window.end not in window
