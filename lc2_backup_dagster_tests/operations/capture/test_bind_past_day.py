"""A recovery point of a day that was rebuilt: dump and files of that day fit by their moments, whatever came first."""

from datetime import datetime, timedelta

import pytest

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import ComponentMissing
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Moment, Window
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point, restorable_points
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.operations.files_site import FilesSite, day_of


@pytest.fixture
def site(tmp_path) -> FilesSite:
    site = FilesSite(tmp_path)
    site.change(a=b"1")
    return site


def dump(site: FilesSite, moment: datetime, *, rebuilt: bool = False) -> str:
    """Commit a dump without data; no rows of it name files."""
    details = {"rebuilt_from": "a base backup" if rebuilt else None, "system_identifier": "1", "restore_point": None}
    draft = a_draft(
        kind=BackupKind.DUMP, moment=Moment(moment, moment), window=day_of(moment).key, details=details, summary={}
    )
    with site.repository.begin(Component.DATABASE_DUMP, window=draft.window, initiator=TESTER) as attempt:
        return attempt.commit(draft).backup_id


def bind(site: FilesSite, window: Window):
    return bind_recovery_point(site.context, window=window, initiator=TESTER)


@pytest.fixture
def missed(site: FilesSite) -> Window:
    """A day without backups, behind one with files; today is the day after it."""
    site.capture()
    site.next_day()
    site.change(a=b"22")
    return site.next_day()


@pytest.mark.parametrize("files_first", [False, True])
def test_a_rebuilt_day_is_bound_in_whatever_order_it_was_rebuilt(site: FilesSite, missed: Window, files_first) -> None:
    moment = missed.end - timedelta(minutes=3)
    if files_first:
        files, made = site.capture(missed), dump(site, moment, rebuilt=True)
    else:
        made, files = dump(site, moment, rebuilt=True), site.capture(missed)
    point = bind(site, missed)
    assert point.backup.summary["member_ids"] == [made, files.backup.backup_id]
    assert point.backup.window == missed.key
    assert from_text(point.manifest.moment.restorable_until) == moment
    assert f"files as of {files.manifest.moment.restorable_until}" in point.manifest.strategy.reason
    assert [each.backup_id for each in restorable_points(site.repository)] == [point.backup.backup_id]


def test_files_as_of_the_days_end_fit_the_latest_of_its_dumps(site: FilesSite, missed: Window) -> None:
    dump(site, missed.start + timedelta(hours=2))
    late = dump(site, missed.end - timedelta(minutes=3), rebuilt=True)
    dump(site, missed.start + timedelta(hours=5), rebuilt=True)
    files = site.capture(missed)
    assert bind(site, missed).backup.summary["member_ids"] == [late, files.backup.backup_id]


def test_a_rebuilt_dump_is_never_bound_to_files_that_were_listed_today(site: FilesSite, missed: Window) -> None:
    """L-32: their listing began after the dump was committed, and says nothing of its day."""
    dump(site, missed.end - timedelta(minutes=3), rebuilt=True)
    site.capture()
    with pytest.raises(ComponentMissing, match="captured after the dump"):
        bind(site, missed)


def test_files_as_of_another_day_never_fit_a_dump_that_was_committed_before_them(
    site: FilesSite, missed: Window
) -> None:
    dump(site, missed.start + timedelta(hours=2))  # of the missed day, taken then
    today = dump(site, site.clock.now())
    site.capture(missed)
    with pytest.raises(ComponentMissing, match="captured after the dump"):
        bind(site, site.today)
    files = site.capture()
    assert bind(site, site.today).backup.summary["member_ids"] == [today, files.backup.backup_id]


def test_the_first_files_behind_a_dump_that_lasted_past_midnight_still_belong_to_it(
    site: FilesSite, missed: Window
) -> None:
    lasting = dump(site, missed.end - timedelta(minutes=3))
    rebuilt = site.capture(missed)  # as of the end of that day
    with_files = bind(site, missed)
    assert with_files.backup.summary["member_ids"] == [lasting, rebuilt.backup.backup_id]

    other = day_of(missed.start - timedelta(days=1))
    lasting = dump(site, other.end - timedelta(minutes=1))
    with pytest.raises(ComponentMissing):
        bind(site, other)  # the files of the day behind it are as of that day's end, a whole day later
    later = dump(site, site.today.end - timedelta(minutes=1))
    ended = site.next_day()
    files = site.capture()
    assert bind(site, ended).backup.summary["member_ids"] == [later, files.backup.backup_id]


def test_a_dump_from_after_the_files_moment_does_not_fit(site: FilesSite, missed: Window) -> None:
    files = site.capture(missed)
    moment = from_text(files.manifest.moment.restorable_until)
    assert moment == missed.last
    draft = a_draft(
        kind=BackupKind.DUMP,
        moment=Moment(moment + timedelta(microseconds=1), moment + timedelta(microseconds=1)),
        window=missed.key,
        details={"rebuilt_from": "a base backup"},
    )
    with site.repository.begin(Component.DATABASE_DUMP, window=missed.key, initiator=TESTER) as attempt:
        attempt.commit(draft)
    with pytest.raises(ComponentMissing):
        bind(site, missed)
