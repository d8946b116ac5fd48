"""A window is filled honestly or not at all (L-32): by every verb that captures, against real servers."""

from datetime import UTC, datetime, timedelta

import pytest

from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import open_window

VERBS = [
    pytest.param(capture_database, Component.DATABASE, WindowLength.HOURLY, id="database"),
    pytest.param(capture_database_dump, Component.DATABASE_DUMP, WindowLength.DAILY, id="dump"),
    pytest.param(capture_site_files, Component.FILES, WindowLength.DAILY, id="files"),
]


def the_one_before(window: Window) -> Window:
    return Window.around(window.start - timedelta(seconds=1), length=window.length)


@pytest.mark.parametrize(("capture", "component", "length"), VERBS)
def test_a_capture_that_came_too_late_is_kept_under_its_own_window_and_the_asked_one_is_refused(
    site, capture, component, length
):
    actual = open_window(length)
    missed = the_one_before(actual)
    with pytest.raises(WindowNotRestorable, match=f"window {missed.key} .* was missed.*{actual.key}") as refusal:
        capture(site.context, window=missed, asked_at=missed.end - timedelta(seconds=2), initiator=TESTER)
    [kept] = site.repository.backups()
    assert (kept.component, kept.window) == (component, actual.key)
    assert refusal.value.attributes["backup_id"] == kept.backup_id
    assert site.repository.manifest(kept.backup_id).window == actual.key


@pytest.mark.parametrize(("capture", "component", "length"), VERBS)
def test_a_past_window_is_refused_before_anything_begins_and_the_nearest_moment_is_named(
    backed_up, tmp_path, capture, component, length
):
    site = backed_up.site.copied(tmp_path)
    before = site.repository.log.history().sequence
    yesterday = Window.around(datetime.now(UTC) - timedelta(days=1), length=length)
    first = {
        Component.DATABASE: backed_up.base,
        Component.DATABASE_DUMP: backed_up.base,  # from which a dump of its moment could be rebuilt
        Component.FILES: backed_up.full,
    }[component]
    with pytest.raises(WindowNotRestorable, match="today's data") as refusal:
        capture(site.context, window=yesterday, asked_at=datetime.now(UTC), initiator=TESTER)
    assert refusal.value.hint == f"the nearest after is {first.manifest.moment.restorable_from}"
    assert site.repository.log.history().sequence == before


@pytest.mark.parametrize(("capture", "component", "length"), VERBS)
def test_a_window_that_has_not_begun_is_refused(site, capture, component, length):
    tomorrow = Window.around(datetime.now(UTC) + timedelta(days=1), length=length)
    with pytest.raises(WindowNotRestorable, match="has not begun") as refusal:
        capture(site.context, window=tomorrow, asked_at=datetime.now(UTC), initiator=TESTER)
    assert to_text(tomorrow.start) in str(refusal.value)
    assert site.repository.log.history().sequence == 0
