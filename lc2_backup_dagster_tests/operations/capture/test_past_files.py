"""A past day of the files: rebuilt from the versions of their source where a backup proves them, or refused (L-32)."""

from datetime import timedelta

import pytest

from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import BackupPartial, ManifestCorrupt, WindowNotRestorable
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.capture import files as capture_files
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.engines.files.library import fill
from lc2_backup_dagster_tests.engines.files.versioned import Versioned
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock
from lc2_backup_dagster_tests.operations.files_site import FilesSite


@pytest.fixture
def site(tmp_path) -> FilesSite:
    return FilesSite(tmp_path)


@pytest.fixture
def versions(site: FilesSite) -> Versioned:
    assert isinstance(site.source, Versioned)
    return site.source


def forget(versions: Versioned, key: str, place: int) -> None:
    versions.forget(key, versions.versions_of(key)[place].info.version or "")


def refused(site: FilesSite, window) -> WindowNotRestorable:
    sequence = site.repository.log.history().sequence if site.store.objects else 0
    with pytest.raises(WindowNotRestorable) as refusal:
        site.capture(window)
    assert site.repository.log.history().sequence == sequence, "nothing began"
    return refusal.value


def test_a_past_day_holds_what_was_there_at_its_end_and_nothing_of_today(site: FilesSite) -> None:
    site.change(kept=b"1", changed=b"22", deleted=b"333", gone=b"4444")
    before = site.capture()
    site.next_day()
    site.change(changed=b"as of the missed day", added=b"55555", deleted=None)
    missed = site.next_day()
    site.change(changed=b"today", added=None, gone=None, new=b"today")

    captured = site.capture(missed)

    assert site.contents(captured) == {"kept": 1, "changed": 20, "added": 5, "gone": 4}
    backup, manifest = captured.backup, captured.manifest
    assert backup.window == missed.key == captured.window.key
    assert (backup.kind, backup.parent) == (BackupKind.INCREMENTAL, before.backup.backup_id)
    assert manifest.bases == [before.backup.backup_id]
    last = to_text(missed.end - timedelta(microseconds=1))
    assert manifest.moment.restorable_from == manifest.moment.restorable_until == last
    assert manifest.strategy.chosen == backup.summary["strategy"] == "as_of"
    assert f"as of {last}" in manifest.strategy.reason
    assert before.backup.backup_id in manifest.strategy.reason
    assert backup.summary["as_of"] == last
    assert manifest.details["as_of"] == {
        "moment": last,
        "versions_kept_since": before.manifest.moment.restorable_from,
        "before": before.backup.backup_id,
        "after": None,
        "held_by_backups": 0,
    }
    assert (backup.summary["unchanged"], backup.summary["copied_bytes"]) == (2, 25)


def test_what_backups_on_both_sides_hold_is_not_copied(site: FilesSite) -> None:
    site.change(old=b"1", changed=b"22")
    before = site.capture()
    site.next_day()
    site.change(changed=b"another", added=b"333")
    missed = site.next_day()
    after = site.capture()

    captured = site.capture(missed)

    assert captured.backup.summary["copied_bytes"] == 0
    assert site.contents(captured) == {"old": 1, "changed": 7, "added": 3}
    # The nearest in time is compared with first; both are kept from a purge while their files are shared.
    assert captured.manifest.bases == [after.backup.backup_id, before.backup.backup_id]
    assert captured.backup.parent == after.backup.backup_id


def test_todays_backup_stands_on_the_newest_files_and_not_on_what_was_committed_last(site: FilesSite) -> None:
    site.change(a=b"1")
    site.capture()
    missed = [site.next_day(), site.next_day()][1]
    site.change(a=b"22")
    newest = site.capture()
    site.capture(missed)
    site.clock.move(minutes=5)
    captured = site.capture()
    assert captured.backup.parent == newest.backup.backup_id
    assert captured.backup.summary["copied_bytes"] == 0


def test_a_past_day_proves_the_days_after_it(site: FilesSite) -> None:
    site.change(a=b"1")
    site.capture()
    site.next_day()
    first = site.next_day()
    site.change(a=b"22")
    second = site.next_day()
    rebuilt = site.capture(first)
    captured = site.capture(second)
    assert captured.manifest.details["as_of"]["before"] == rebuilt.backup.backup_id
    assert site.contents(captured) == {"a": 2}


def test_without_versions_a_past_day_is_refused(tmp_path) -> None:
    site = FilesSite(tmp_path, source=MemoryStore(SetClock()))
    fill(site.source, {"a": b"1"})
    captured = site.capture()
    site.next_day()
    error = refused(site, site.next_day())
    assert "its source keeps no versions" in str(error)
    assert "today's data" in str(error)
    assert error.hint == f"the nearest before is {captured.manifest.moment.restorable_until}"


def test_a_day_from_before_the_first_backup_that_saw_versions_is_refused(site: FilesSite, versions: Versioned) -> None:
    """The oldest version is older than the day: that proves nothing."""
    site.change(a=b"1")
    missed = site.next_day()
    assert "no backup from before its end saw that its source kept versions" in str(refused(site, missed))

    versions.capabilities = MemoryStore.capabilities  # versioning is off
    site.capture()
    second = site.next_day()
    versions.capabilities = Versioned.capabilities
    third = site.next_day()
    seen = site.capture()
    first = site.repository.backups()[0]
    for window, nearest in ((missed, first), (second, seen.backup), (third, seen.backup)):
        error = refused(site, window)
        assert f"(from {seen.manifest.moment.restorable_until} on they prove it)" in str(error)
        assert f"the nearest after is {nearest.summary['restorable_from']}" in (error.hint or "")
    site.change(a=b"22")
    assert site.contents(site.capture(site.next_day())) == {"a": 2}


def test_a_backup_of_another_source_or_one_that_has_expired_proves_nothing(site: FilesSite) -> None:
    site.change(a=b"1")
    captured = site.capture()
    site.next_day()
    missed = site.next_day()
    context, site.context = site.context, site.changed(source_id="memory:elsewhere")
    assert "no backup from before" in str(refused(site, missed))
    site.context = context
    site.repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [captured.backup.backup_id]})
    assert "no backup from before" in str(refused(site, missed))


def test_versioning_that_was_off_in_between_is_refused_with_the_nearest_moments(
    site: FilesSite, versions: Versioned
) -> None:
    site.change(a=b"1")
    before = site.capture()
    site.next_day()
    versions.keeping = False
    site.change(b=b"22")
    missed = site.next_day()
    versions.keeping = True
    after = site.capture()
    with pytest.raises(WindowNotRestorable, match=f"window {missed.key} of .* versioning of .* was off") as refusal:
        site.capture(missed)
    assert refusal.value.hint == (
        f"the nearest before is {before.manifest.moment.restorable_until}; "
        f"the nearest after is {after.manifest.moment.restorable_from}"
    )
    assert site.repository.log.history().running == {}
    assert site.backups() == [before.backup.backup_id, after.backup.backup_id]


def test_a_removed_version_makes_the_backup_partial_and_the_window_stays_red(
    site: FilesSite, versions: Versioned
) -> None:
    site.change(a=b"1", lost=b"22")
    site.capture()
    site.next_day()
    missed = site.next_day()
    site.change(lost=b"today's")
    site.capture()
    forget(versions, "lost", 0)
    with pytest.raises(BackupPartial, match=r"1 files .* could not be read: lost \(its version of") as error:
        site.capture(missed)
    assert "versions that were removed do not come back" in str(error.value)
    backup = site.repository.backup(str(error.value.attributes["backup_id"]))
    assert (backup.window, backup.summary["partial"], backup.summary["unreadable"]) == (missed.key, True, 1)
    with capture_files.file_entries(site.repository, backup.backup_id) as entries:
        assert [entry.key for entry in entries] == ["a"]


def test_a_version_that_the_backup_after_holds_is_not_missing(site: FilesSite, versions: Versioned) -> None:
    site.change(a=b"1")
    site.capture()
    site.next_day()
    site.change(b=b"22")
    missed = site.next_day()
    site.capture()
    site.change(b=b"today's")
    forget(versions, "b", 0)
    captured = site.capture(missed)
    assert site.contents(captured) == {"a": 1, "b": 2}
    assert captured.manifest.details["as_of"]["held_by_backups"] == 1


def test_a_listing_that_came_too_late_is_kept_and_the_day_is_filled_as_a_past_one(site: FilesSite) -> None:
    site.change(a=b"1")
    site.capture()
    site.next_day()
    site.change(a=b"22", b=b"333")
    missed = site.today
    site.clock.time = missed.end + timedelta(seconds=5)
    fill(site.source, {"b": b"too late"})
    captured = site.capture(missed, asked_at=missed.end - timedelta(seconds=5))
    assert captured.backup.window == missed.key
    assert site.contents(captured) == {"a": 2, "b": 3}
    assert captured.kept is not None
    assert captured.kept.window == site.today.key
    assert captured.manifest.details["as_of"]["after"] == captured.kept.backup_id
    assert len(site.backups()) == 3


def test_a_late_listing_whose_day_cannot_be_rebuilt_says_that_it_was_kept(site: FilesSite) -> None:
    site.change(a=b"1")
    missed = site.today
    site.clock.time = missed.end + timedelta(seconds=5)
    with pytest.raises(WindowNotRestorable, match="was missed") as refusal:
        site.capture(missed, asked_at=missed.end - timedelta(seconds=5))
    assert [refusal.value.attributes["backup_id"]] == site.backups()


def test_an_engine_error_is_no_reason_to_try_the_past(site: FilesSite, monkeypatch) -> None:
    site.change(a=b"1")
    site.capture()
    site.next_day()
    missed = site.next_day()

    def damaged(*args, **options):
        raise ManifestCorrupt("out of order")

    monkeypatch.setattr(capture_files, "capture_files", damaged)
    with pytest.raises(ManifestCorrupt):
        site.capture(missed)
    assert site.repository.log.history().running == {}
    assert len(site.repository.backups(Component.FILES)) == 1
