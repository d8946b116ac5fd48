"""A past moment of a library from versions and backups: what it was, what is missing, and what cannot be told."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.store import ObjectVersion
from lc2_backup_dagster.engines.files.capture.capture import FilesCapture, FileSource, capture_files
from lc2_backup_dagster.engines.files.capture.changes import Added, Changed, Removed, Unchanged
from lc2_backup_dagster.engines.files.capture.past import AsOf, Known, PastFindings, changes_as_of, known_at
from lc2_backup_dagster.engines.files.manifest.entry import Copied, Protection
from lc2_backup_dagster.model.errors import ManifestCorrupt, WindowNotRestorable
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.engines.files.library import (
    AT_ONCE,
    Library,
    all_of_a_library,
    an_entry,
    an_info,
    facts_of,
    fill,
    only_store,
    store_below_public,
)
from lc2_backup_dagster_tests.engines.files.versioned import Versioned
from lc2_backup_dagster_tests.fakes import DyingStore, MemoryStore, SetClock

pytestmark = pytest.mark.usefixtures("small_sizes")
T = an_info("x").modified
LATER, EARLIER = T + timedelta(minutes=5), T - timedelta(minutes=5)


@pytest.fixture
def source(clock: SetClock) -> Versioned:
    return Versioned(clock)


class Past:
    """A library whose source keeps versions, and the backups that know of it."""

    def __init__(self, library: Library) -> None:
        self.library = library
        assert isinstance(library.source, Versioned)
        self.source = library.source
        self.clock = library.clock

    def backup(self) -> str:
        """Capture the present; the moments on both sides are its own."""
        self.clock.move(seconds=1)
        backup_id = self.library.capture()
        self.clock.move(seconds=1)
        return backup_id

    def change(self, **files: bytes | None) -> None:
        self.clock.move(seconds=1)
        fill(self.source, {key: body for key, body in files.items() if body is not None})
        self.source.delete([key for key, body in files.items() if body is None])

    def moment(self) -> datetime:
        self.clock.move(seconds=1)
        return self.clock.now() - timedelta(microseconds=1)

    def capture(self, moment: datetime, before: str, after: str | None = None, **options: Any) -> str:
        library = self.library
        bases = [before, after] if after else [before]
        seen = library.repository.manifest(before).moment.restorable_from
        known = known_at(moment, library.entries(before), library.entries(after) if after else ())
        with library.repository.begin(Component.FILES, window=None, initiator=TESTER, bases=bases) as attempt:
            library.last = capture_files(
                attempt,
                library.repository,
                FileSource(self.source, "library", protection_of=library.protection_of, **options),
                as_of=AsOf(moment, kept_since=datetime.fromisoformat(seen), known=known),
                scratch=library.scratch,
                patience=AT_ONCE,
            )
            draft = a_draft(kind=BackupKind.INCREMENTAL, moment=library.last.moment, streams=library.last.streams)
            return attempt.commit(draft).backup_id

    def restored(self, backup_id: str) -> dict[str, Any]:
        target = MemoryStore()
        self.library.restore(backup_id, target)
        return facts_of(target)

    @property
    def done(self) -> FilesCapture:
        return self.library.done

    @property
    def missing(self) -> dict[str, str]:
        return dict(self.done.counts.unreadable.samples)


@pytest.fixture
def past(library: Library) -> Past:
    return Past(library)


def test_a_past_moment_is_restored_byte_for_byte_with_its_own_metadata(past: Past) -> None:
    fill(past.source, all_of_a_library())
    before = past.backup()
    past.change(**{"empty.txt": b"no longer", "public/photo.jpg": b"another", "dots/...": None, "new.txt": b"new"})
    truth, moment = facts_of(past.source), past.moment()
    past.change(**{"new.txt": None, "big/several": b"short", "public/photo.jpg": b"a third", "later": b"later"})
    after = past.backup()

    backup = past.capture(moment, before, after)

    assert past.restored(backup) == truth
    assert not past.done.partial
    assert past.done.moment.restorable_from == past.done.moment.restorable_until == moment
    assert past.library.verify(backup).damaged_count == 0
    entries = {entry.key: entry for entry in past.library.entries(backup)}
    assert isinstance(entries["public/photo.jpg"].location, Copied), "that version was copied by the store itself"
    assert past.done.counts.copied_objects == 2, "what neither backup has: the photo in between, and the new text"


def test_what_a_backup_before_or_after_has_costs_nothing(past: Past) -> None:
    past.change(old=b"1", changed=b"22")
    before = past.backup()
    past.change(changed=b"another", added=b"333")
    moment = past.moment()
    after = past.backup()
    stored = set(past.library.store.objects)  # type: ignore[attr-defined]

    backup = past.capture(moment, before, after)

    assert past.done.counts.copied_objects == 0
    assert past.done.counts.unchanged == past.done.counts.objects == 3
    assert not [key for key in set(past.library.store.objects) - stored if key.startswith("files/")]  # type: ignore[attr-defined]
    assert past.restored(backup)["changed"][0] == b"another"


def test_a_version_that_only_the_backup_after_still_has_is_taken_from_there(past: Past) -> None:
    past.change(a=b"1")
    before = past.backup()
    past.change(b=b"22")
    moment = past.moment()
    after = past.backup()
    past.change(b=b"another")
    past.source.forget("b", past.source.versions_of("b")[0].info.version or "")

    backup = past.capture(moment, before, after)

    assert past.restored(backup)["b"][0] == b"22"
    assert past.done.held == 1
    assert not past.done.partial


def test_a_file_whose_version_was_removed_is_missing_and_the_rest_is_kept(past: Past) -> None:
    past.change(a=b"1", lost=b"22", older=b"0")
    past.change(older=b"1")
    before = past.backup()
    moment = past.moment()
    past.change(lost=b"another", older=b"2")
    after = past.backup()
    past.source.forget("lost", past.source.versions_of("lost")[0].info.version or "")
    # The version that the backup captured is gone, one from before it is still there: it is not what the file was.
    past.source.forget("older", past.source.versions_of("older")[1].info.version or "")

    backup = past.capture(moment, before, after)

    assert past.done.partial
    assert sorted(past.missing) == ["lost", "older"]
    assert "gone from the source" in past.missing["lost"]
    assert sorted(past.restored(backup)) == ["a"]


def test_where_no_replaced_version_is_left_nothing_tells_what_else_was_removed(past: Past) -> None:
    past.change(a=b"1", b=b"1")
    before = past.backup()
    past.change(a=b"22")
    moment = past.moment()
    past.change(c=b"short-lived")
    past.source.forget("a", past.source.versions_of("a")[0].info.version or "")

    with pytest.raises(WindowNotRestorable, match="1 files .* old versions are removed there"):
        past.capture(moment, before)
    assert past.library.repository.log.history().running == {}

    past.change(b=b"22")  # replaced, and kept: whatever removes versions has not come to that time
    later, moment = past.backup(), past.moment()
    past.change(b=b"333")
    assert past.restored(past.capture(moment, later)).keys() == {"a", "b", "c"}


def test_a_deleted_file_is_not_missing_and_one_deleted_later_is_there(past: Past) -> None:
    past.change(deleted=b"1", later=b"22")
    before = past.backup()
    past.change(deleted=None)
    moment = past.moment()
    past.change(later=None)

    backup = past.capture(moment, before)

    assert {key: body for key, (body, *_) in past.restored(backup).items()} == {"later": b"22"}
    assert past.done.counts.removed == 1
    assert not past.done.partial


def test_a_file_that_is_left_out_now_is_not_missing(past: Past) -> None:
    past.change(a=b"1", b=b"22")
    before = past.backup()
    moment = past.moment()
    backup = past.capture(moment, before, include=lambda key: key != "b")
    assert past.restored(backup).keys() == {"a"}
    assert not past.done.partial
    assert past.done.excluded == 1


@pytest.mark.parametrize("protection", [only_store, lambda key: Protection.CLIENT])
def test_a_version_that_is_removed_during_the_copy_is_missing_and_no_other_takes_its_place(
    past: Past, protection
) -> None:
    past.library.protection_of = protection
    past.change(a=b"1")
    before = past.backup()
    past.change(b=b"22", c=b"4444")
    moment = past.moment()
    past.change(b=b"today's")
    version = past.source.versions_of("b")[0].info.version

    real = past.source._version

    def removing(key: str, wanted: str | None):
        if wanted == version:
            past.source.forget("b", wanted)
        return real(key, wanted)

    past.source._version = removing  # type: ignore[method-assign]
    backup = past.capture(moment, before)

    assert list(past.missing) == ["b"]
    assert f"its version {version} is not in the source any more" in past.missing["b"]
    assert past.restored(backup).keys() == {"a", "c"}
    assert past.done.counts.vanished.count == 0


def test_another_protection_copies_the_past_version_again(past: Past) -> None:
    past.change(a=b"1")
    before = past.backup()
    moment = past.moment()
    past.change(a=b"another")
    past.library.protection_of = only_store
    backup = past.capture(moment, before)
    [entry] = past.library.entries(backup)
    assert isinstance(entry.location, Copied)
    assert past.restored(backup)["a"][0] == b"1"


def a_found(key: str, modified: datetime = T, *, marker: bool = False, etag: str | None = None) -> ObjectVersion:
    info = an_info(key, modified=modified, version="v1", etag=None if marker else etag or f"etag of {key}")
    return ObjectVersion(replace(info, size_bytes=0 if marker else 3), is_delete_marker=marker, is_latest=False)


def told(known: list[Known], found: list[ObjectVersion], protection: Protection = Protection.CLIENT):
    findings = PastFindings()
    changes = list(changes_as_of(known, found, findings, protection_of=lambda key: protection))
    return changes, findings


def test_each_of_the_ways_a_key_may_stand_in_listing_and_backups() -> None:
    entry = an_entry("a")
    for proven in (False, True):
        known = [Known(entry, proven)]
        assert told(known, [a_found("a")])[0] == [Unchanged(entry)]
        newer = a_found("a", LATER, etag="other")
        changes, findings = told(known, [newer])
        assert changes == [Changed(newer.info, entry)]
        assert findings.replaced == (not proven)
        assert told(known, [a_found("a", LATER, marker=True)])[0] == [Removed(entry)]
        for older in ([], [a_found("a", EARLIER, etag="other")], [a_found("a", EARLIER, marker=True)]):
            changes, findings = told(known, older)
            assert changes == ([Unchanged(entry)] if proven else [])
            assert (findings.held, findings.missing.count) == (int(proven), int(not proven))
        changes, _ = told(known, [a_found("a")], Protection.STORE)
        assert changes == [Changed(a_found("a").info, entry)]
    added = a_found("b")
    assert told([], [a_found("a", marker=True), added])[0] == [Added(added.info)]


def test_the_same_second_is_not_before(past: Past) -> None:
    exact = an_entry("a", modified=T.replace(microsecond=999_999))
    changes, findings = told([Known(exact, proven=False)], [a_found("a", T.replace(microsecond=1), etag="other")])
    assert isinstance(changes[0], Changed)
    assert findings.missing.count == 0


def test_what_two_backups_know_is_merged_and_what_came_after_the_moment_says_nothing() -> None:
    old = [an_entry(key) for key in "abdf"]
    late = {key: an_entry(key, modified=LATER) for key in "ae"}
    new = [late["a"], an_entry("b"), an_entry("c"), late["e"], an_entry("f")]
    known = [(each.entry.key, each.proven) for each in known_at(T, old, new)]
    assert known == [("a", False), ("b", True), ("c", True), ("d", False), ("f", True)]


@pytest.mark.parametrize("side", ["known", "listed"])
def test_a_side_that_does_not_ascend_is_refused(side: str) -> None:
    known = [Known(an_entry(key), proven=True) for key in ("ba" if side == "known" else "ab")]
    with pytest.raises(ManifestCorrupt, match="not in byte order"):
        told(known, [a_found(key) for key in ("ba" if side == "listed" else "ab")])


_OPERATIONS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from([b"", b"x", b"yy", b"z" * 5000, None]), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)


@contextmanager
def a_past(key: KeyFile):
    clock = SetClock()
    source = Versioned(clock)
    yield Past(Library(source, DyingStore(clock), key=key, clock=clock, protection_of=store_below_public))


def carry_out(past: Past, operations: list[tuple[str, bytes | None, int]]) -> None:
    # Told in whole seconds, two writes of one second have no order.
    least = timedelta(seconds=1 if past.source.whole_seconds else 0.7)
    for name, body, seconds in operations:
        past.clock.time += least + timedelta(seconds=seconds)
        fill(past.source, {name: body}) if body is not None else past.source.delete([name])


def latest_of(source: Versioned) -> dict[str, str | None]:
    return {key: info.version for key, (_, info) in source.objects.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_OPERATIONS, _OPERATIONS, _OPERATIONS, st.booleans(), st.booleans(), st.booleans())
def test_any_history_gives_back_what_was_there_at_the_moment(
    key: KeyFile, first, second, third, with_after: bool, shuffled: bool, whole_seconds: bool
) -> None:
    with a_past(key) as past:
        past.source.shuffled, past.source.whole_seconds = shuffled, whole_seconds
        carry_out(past, first)
        before = past.backup()
        carry_out(past, second)
        past.clock.time = past.clock.now().replace(microsecond=0) + timedelta(seconds=1)
        truth, moment = facts_of(past.source), past.clock.now() - timedelta(microseconds=1)
        carry_out(past, third)
        after = past.backup() if with_after else None
        past.clock.move(seconds=2)
        backup = past.capture(moment, before, after)
        assert past.restored(backup) == truth
        assert not past.done.partial


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_OPERATIONS, _OPERATIONS, _OPERATIONS, _OPERATIONS, st.booleans(), st.integers(0, 40))
def test_with_a_rule_that_removes_old_versions_no_file_is_ever_given_back_as_another_one(
    key: KeyFile, first, second, third, fourth, with_after: bool, age: int
) -> None:
    with a_past(key) as past:
        carry_out(past, first)
        before = past.backup()
        known_before = latest_of(past.source)
        carry_out(past, second)
        past.clock.move(seconds=1)
        versions = latest_of(past.source)
        truth, moment = facts_of(past.source), past.clock.now() - timedelta(microseconds=1)
        carry_out(past, third)
        after = past.backup() if with_after else None
        known_after = latest_of(past.source) if with_after else {}
        carry_out(past, fourth)
        past.clock.move(seconds=2)
        past.source.forget_replaced_before(past.clock.now() - timedelta(seconds=age))
        try:
            backup = past.capture(moment, before, after)
        except WindowNotRestorable:
            return
        restored = past.restored(backup)
        assert {name: facts for name, facts in truth.items() if name in restored} == restored
        for name in truth.keys() - restored.keys() - past.missing.keys():
            # It was written after the one backup and replaced before the other: no trace is left of it.
            assert versions[name] not in (known_before.get(name), known_after.get(name))
