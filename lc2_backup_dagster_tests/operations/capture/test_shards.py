"""A site's files in shards: steps that know nothing of each other but the repository make one commit, or none."""

from datetime import timedelta

import pytest

from lc2_backup_dagster.engines.files.capture.shards import result_key
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    BackupPartial,
    ComponentBusy,
    ComponentMissing,
    ConfigurationError,
    Fenced,
    StoreUnavailable,
    WindowNotRestorable,
)
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.capture import shards as capture_shards
from lc2_backup_dagster.operations.capture.shards import begin_shards, capture_shard, commit_shards
from lc2_backup_dagster.repository.lease import LEASE_SECONDS, PAUSE_SECONDS
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.engines.files.library import fill
from lc2_backup_dagster_tests.fakes import Killed, MemoryStore
from lc2_backup_dagster_tests.operations.files_site import SITE, FilesSite

CUT = ("b/", "a/")
A, B, REST = 0, 1, 2


class Steps:
    """The steps of one run."""

    def __init__(self, site: FilesSite, ticket: str = "run-1") -> None:
        self.site = site
        self.ticket = ticket

    def begin(self, window=None, *, asked_at=None) -> str:
        return begin_shards(
            self.site.context,
            window=window or self.site.today,
            asked_at=asked_at or self.site.clock.now(),
            initiator=TESTER,
            ticket=self.ticket,
        )

    def capture(self, number: int):
        return capture_shard(self.site.context, number, ticket=self.ticket, initiator=TESTER)

    def commit(self):
        return commit_shards(self.site.context, ticket=self.ticket, initiator=TESTER)

    def all(self, window=None):
        self.begin(window)
        for number in (REST, A, B):
            self.capture(number)
        return self.commit()


@pytest.fixture
def site(tmp_path) -> FilesSite:
    site = FilesSite(tmp_path, shards=CUT, settings="as first written")
    site.change(
        **{"a/1": b"1", "a/2": b"22", "b/1": b"333", "b/public": b"1", "c": b"4444", "a": b"5", "b/x.tmp": b"6"}
    )
    return site


@pytest.fixture
def steps(site: FilesSite) -> Steps:
    return Steps(site)


def open_types(site: FilesSite) -> list[RecordType]:
    return [record.type for record in site.repository.log.records()]


def test_shards_are_one_backup_like_any_other(site: FilesSite, steps: Steps) -> None:
    captured = steps.all()
    backup, manifest = captured.backup, captured.manifest
    assert site.contents(captured) == {"a": 1, "a/1": 1, "a/2": 2, "b/1": 3, "b/public": 1, "c": 4}
    assert open_types(site) == [RecordType.BEGIN, RecordType.COMMIT]
    assert (backup.kind, backup.window, backup.parent) == (BackupKind.FULL, site.today.key, None)
    assert list(manifest.streams) == ["files"]
    assert manifest.details["shards"] == 3
    assert (backup.summary["objects"], backup.summary["excluded"]) == (6, 1)
    assert backup.summary["source_versions"] is True
    assert not list(site.store.list("heartbeats/"))

    site.change(**{"a/2": b"changed", "b/1": None})
    again = Steps(site, "run-2").all()
    assert (again.backup.kind, again.backup.parent) == (BackupKind.INCREMENTAL, backup.backup_id)
    assert again.manifest.bases == [backup.backup_id]
    summary = again.backup.summary
    assert (summary["changed"], summary["removed"], summary["unchanged"], summary["copied_bytes"]) == (1, 1, 4, 7)
    assert [each.backup_id for each in again.earlier] == [backup.backup_id]

    whole = site.capture()
    assert (whole.backup.parent, whole.backup.summary["copied_bytes"]) == (again.backup.backup_id, 0)


def test_a_shard_decodes_only_its_own_lines_of_the_backup_before(site: FilesSite, steps: Steps, monkeypatch) -> None:
    steps.all()
    decoded: list[str] = []
    entry = EntryLine.entry

    def watched(line: EntryLine):
        decoded.append(line.key)
        return entry(line)

    monkeypatch.setattr(EntryLine, "entry", watched)
    other = Steps(site, "run-2")
    other.begin()
    for number, wanted in ((A, ["a/1", "a/2"]), (B, ["b/1", "b/public"]), (REST, ["a", "c"])):
        decoded.clear()
        counts = other.capture(number).capture.counts
        assert decoded == wanted
        assert counts.unchanged == counts.objects == 2


def test_a_step_waits_for_a_quarter_of_an_hour_and_the_attempt_is_still_its_runs(site: FilesSite, steps: Steps) -> None:
    steps.begin()
    for number in (A, B, REST):
        site.clock.move(seconds=PAUSE_SECONDS - LEASE_SECONDS - 1)
        with pytest.raises(ComponentBusy, match="is held by attempt"):
            Steps(site, "run-2").begin()
        steps.capture(number)
    site.clock.move(seconds=PAUSE_SECONDS - LEASE_SECONDS - 1)
    assert steps.commit().backup.summary["objects"] == 6


def test_a_shard_that_failed_is_captured_again_alone(site: FilesSite, steps: Steps, monkeypatch) -> None:
    steps.begin()
    steps.capture(A)
    steps.capture(REST)

    def away(*args, **options):
        raise StoreUnavailable("the source is away")

    with monkeypatch.context() as patched:
        patched.setattr(capture_shards, "capture_files", away)
        with pytest.raises(StoreUnavailable):
            steps.capture(B)
    with pytest.raises(ComponentMissing, match=r"has no result for 'b/'") as error:
        steps.commit()
    assert "run the steps of these shards again" in str(error.value)
    site.clock.move(hours=3)
    steps.capture(B)
    assert steps.commit().backup.summary["objects"] == 6
    assert open_types(site) == [RecordType.BEGIN, RecordType.COMMIT]


def test_a_shard_that_was_captured_is_not_captured_again(site: FilesSite, steps: Steps) -> None:
    steps.begin()
    first = steps.capture(A)
    fill(site.source, {"a/3": b"too late"})
    before = set(site.store.objects)
    assert steps.capture(A) == first
    assert set(site.store.objects) == before


@pytest.mark.parametrize("superseded_by", ["shards", "whole"])
def test_a_shard_of_a_superseded_run_is_refused_and_so_is_its_commit(
    site: FilesSite, steps: Steps, superseded_by
) -> None:
    old = steps.begin()
    steps.capture(A)
    site.clock.move(seconds=PAUSE_SECONDS + 1)
    other = Steps(site, "run-2")
    if superseded_by == "shards":
        held = other.begin()
        assert site.repository.log.history().ended_by[old] == f"superseded by {held} of " + str(
            site.repository.log.history().running[held].initiator
        )
        for step in (lambda: steps.capture(B), steps.commit):
            with pytest.raises(Fenced, match=f"that run run-1 began .* is no longer running; attempt {held}"):
                step()
        for number in (A, B, REST):
            other.capture(number)
        committed = other.commit()
    else:
        committed = site.capture()
    for step in (lambda: steps.capture(B), steps.commit):
        with pytest.raises(Fenced, match="is no longer running"):
            step()
    assert site.backups() == [committed.backup.backup_id]


def test_a_result_that_another_attempt_left_counts_for_nothing(site: FilesSite, steps: Steps) -> None:
    """A history in which the shards of two attempts could be mixed up: every result is this attempt's own."""
    stale = steps.begin()
    for number in (A, B):
        steps.capture(number)
    site.clock.move(seconds=PAUSE_SECONDS + 1)
    fill(site.source, {"a/1": b"changed since"})
    other = Steps(site, "run-2")
    current = other.begin()
    repository = site.repository
    stale_result = site.store.objects[result_key(SITE, stale, capture_shards.shards_of(CUT)[A])]
    site.store.objects[result_key(SITE, current, capture_shards.shards_of(CUT)[A])] = stale_result
    with pytest.raises(Exception, match=f"is the result of 'a/' of attempt {stale}"):
        other.capture(A)
    del site.store.objects[result_key(SITE, current, capture_shards.shards_of(CUT)[A])]
    results = {number: other.capture(number) for number in (A, B, REST)}
    assert results[A].attempt_id == current
    assert results[A].capture.counts.copied_objects == 1, "what the stale attempt copied is taken over from its journal"
    captured = other.commit()
    assert site.contents(captured)["a/1"] == len(b"changed since")
    assert [each.backup_id for each in repository.backups(Component.FILES)] == [current]


@pytest.mark.parametrize("changed", [{"shards": ("b/",)}, {"settings": "another exclude"}])
def test_a_site_file_that_changed_in_between_is_noticed(site: FilesSite, steps: Steps, changed) -> None:
    steps.begin()
    steps.capture(A)
    site.context = site.changed(**changed)
    for step in (lambda: steps.capture(A), steps.commit):
        with pytest.raises(ConfigurationError, match="described otherwise than when run run-1 began"):
            step()


def test_another_order_of_the_same_shards_is_no_change(site: FilesSite, steps: Steps) -> None:
    steps.begin()
    site.context = site.changed(shards=CUT[::-1])
    for number in (A, B, REST):
        steps.capture(number)
    assert steps.commit().backup.summary["objects"] == 6


def test_a_base_that_expired_in_between_fences_every_step(site: FilesSite, steps: Steps) -> None:
    base = steps.all()
    other = Steps(site, "run-2")
    other.begin()
    site.repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [base.backup.backup_id]})
    for step in (lambda: other.capture(A), other.commit):
        with pytest.raises(Fenced, match="expired or were purged"):
            step()


def test_a_commit_nobody_heard_of_is_found_and_not_made_again(site: FilesSite, steps: Steps) -> None:
    captured = steps.all()
    site.clock.move(hours=1)
    again = steps.commit()
    assert again.backup == captured.backup
    assert again.manifest == captured.manifest
    assert again.window == captured.window
    assert len(site.backups()) == 1
    Steps(site, "run-2").all()
    with pytest.raises(Fenced):
        steps.commit()


def test_a_process_that_dies_before_its_commit_record_is_made_up_for(site: FilesSite, steps: Steps) -> None:
    steps.begin()
    for number in (A, B, REST):
        steps.capture(number)
    put = site.store.put

    def dying(key, body, *, create_only=True):
        if key.startswith("log/"):
            raise Killed
        return put(key, body, create_only=create_only)

    site.store.put = dying  # type: ignore[method-assign]
    with pytest.raises(Killed):
        steps.commit()
    site.store.put = put  # type: ignore[method-assign]
    site.clock.move(seconds=30)
    assert steps.commit().backup.summary["objects"] == 6


def test_files_that_one_shard_could_not_read_make_the_backup_partial_every_time_it_is_asked_for(
    site: FilesSite, steps: Steps, monkeypatch
) -> None:
    real = site.source._version

    def refusing(key: str, version: str | None):
        if key == "b/1":
            raise AccessDenied("read 'b/1': permission denied")
        return real(key, version)

    monkeypatch.setattr(site.source, "_version", refusing)
    with pytest.raises(BackupPartial, match=r"1 files of retail/liferay/document_library .* b/1 \(read 'b/1'"):
        steps.all()
    [kept] = site.repository.backups(Component.FILES)
    assert (kept.summary["partial"], kept.summary["objects"]) == (True, 5)
    with pytest.raises(BackupPartial, match="b/1"):
        steps.commit()
    assert len(site.backups()) == 1


def test_a_past_day_is_captured_in_shards_too(site: FilesSite, steps: Steps) -> None:
    before = steps.all()
    site.next_day()
    site.change(**{"a/1": b"of the missed day", "b/2": b"22", "c": None})
    missed = site.next_day()
    site.change(**{"a/1": b"today", "b/2": None, "a/2": None, "new": b"today"})
    captured = Steps(site, "run-2").all(missed)
    assert site.contents(captured) == {"a": 1, "a/1": 17, "a/2": 2, "b/1": 3, "b/2": 2, "b/public": 1}
    assert captured.backup.window == missed.key
    assert captured.manifest.strategy.chosen == "as_of"
    assert captured.manifest.details["as_of"]["before"] == before.backup.backup_id
    assert captured.backup.summary["copied_bytes"] == 19


def test_a_past_day_that_cannot_be_rebuilt_is_refused_before_anything_begins(site: FilesSite, steps: Steps) -> None:
    missed = site.next_day()
    with pytest.raises(WindowNotRestorable, match="no backup from before its end"):
        steps.begin(missed)
    assert site.repository.log.history().sequence == 0


def test_a_refusal_of_a_shard_names_the_nearest_moments(site: FilesSite, steps: Steps) -> None:
    before = steps.all()
    site.next_day()
    site.source.keeping = False  # type: ignore[attr-defined]
    site.change(**{"b/3": b"1"})
    missed = site.next_day()
    other = Steps(site, "run-2")
    other.begin(missed)
    other.capture(A)
    with pytest.raises(WindowNotRestorable, match="versioning of .* was off") as refusal:
        other.capture(B)
    assert refusal.value.hint == f"the nearest before is {before.manifest.moment.restorable_until}"


def torn(site: FilesSite, steps: Steps):
    """Let midnight come between the shards; return the day that was asked for."""
    asked = site.today
    steps.begin()
    steps.capture(A)
    site.clock.time = asked.end + timedelta(minutes=5)
    fill(site.source, {"b/1": b"written behind midnight"})
    steps.capture(B)
    steps.capture(REST)
    return asked


def test_shards_from_both_sides_of_midnight_fill_neither_day(tmp_path) -> None:
    site = FilesSite(tmp_path, source=MemoryStore(FilesSite(tmp_path).clock), shards=CUT)
    fill(site.source, {"a/1": b"1", "b/1": b"22", "c": b"333"})
    steps = Steps(site)
    asked = torn(site, steps)
    with pytest.raises(WindowNotRestorable, match=f"window {asked.key} .* on both sides of the end") as refusal:
        steps.commit()
    [kept] = site.repository.backups(Component.FILES)
    assert kept.window is None
    assert refusal.value.attributes["backup_id"] == kept.backup_id
    assert kept.summary["objects"] == 3
    captured = site.capture()
    assert captured.backup.parent == kept.backup_id, "it is a backup all the same"


def test_where_versions_are_kept_that_day_is_filled_as_a_past_one(site: FilesSite, steps: Steps) -> None:
    steps.all()
    site.next_day()
    other = Steps(site, "run-2")
    asked = torn(site, other)
    captured = other.commit()
    assert captured.backup.window == asked.key
    assert site.contents(captured)["b/1"] == 3
    assert captured.kept is not None
    assert captured.kept.window is None
    assert captured.backup.summary["copied_bytes"] == 0, "two backups hold all of it"


def test_shards_that_all_came_too_late_fill_the_day_they_belong_to(tmp_path) -> None:
    site = FilesSite(tmp_path, source=MemoryStore(FilesSite(tmp_path).clock), shards=CUT)
    steps = Steps(site)
    asked = site.today
    steps.begin()
    site.clock.time = asked.end + timedelta(minutes=5)
    for number in (A, B, REST):
        steps.capture(number)
    with pytest.raises(WindowNotRestorable, match=f"was missed.*lies in window {site.today.key}"):
        steps.commit()
    assert [each.window for each in site.repository.backups(Component.FILES)] == [site.today.key]
