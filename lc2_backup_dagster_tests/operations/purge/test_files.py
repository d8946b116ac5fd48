"""What a purge takes, what it leaves, and how it tells."""

from io import BytesIO

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, Parts
from lc2_backup_dagster.engines.files.manifest.stored_content import read_list
from lc2_backup_dagster.model.errors import AccessDenied, PartMissing, RecoveryPointNotFound, StoreUnavailable
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.purge.files import purge_backups, resume_purges
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_backup
from lc2_backup_dagster_tests.engines.files.library import SITE, fill
from lc2_backup_dagster_tests.engines.files.stepping import SteppingStore
from lc2_backup_dagster_tests.fakes import MemoryStore
from lc2_backup_dagster_tests.operations.purging import RememberedLibrary

pytestmark = pytest.mark.usefixtures("small_sizes")


def three_backups(past: RememberedLibrary) -> tuple[str, str, str]:
    """Every kind of content changes from each to the next; some is shared by all."""
    first = past.capture()
    past.change(a__1=b"changed", big__several=b"s" * 200_000, public__new=b"new")
    second = past.capture()
    past.change(a__1=b"again", b__x=b"x", public__new=b"newer")
    past.source.delete(["big/several", "big/one-part", "a/2"])
    return first, second, past.capture()


@pytest.mark.parametrize("chosen", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_a_purge_takes_exactly_what_no_other_backup_names(past, chosen):
    made = three_backups(past)
    ids = [made[number] for number in chosen]
    past.expire(*ids)
    assert past.contents() == past.referenced()

    (outcome,) = past.purge(*ids)

    assert outcome.finished
    assert outcome.backup_ids == tuple(ids)
    assert past.contents() == past.referenced()
    past.assert_every_backup_restores()
    assert set(past.repository.log.history().backups) == set(past.truths) - set(ids)
    for backup_id in ids:
        assert not list(past.store.list(layout.backup_prefix(SITE, Component.FILES, backup_id)))


def test_contents_of_every_kind_go(past):
    first = past.capture()
    assert {type(each.location) for each in past.entries(first)} == {Bundled, Copied, Parts}
    assert any(key.endswith("/000002") for key in past.contents()), "a file in several parts"
    past.expire(first)
    # The manifest, its stream and the journal, which a slow machine writes in more pieces.
    own = sum(1 for _ in past.store.list(layout.backup_prefix(SITE, Component.FILES, first)))

    (outcome,) = past.purge(first)

    assert past.contents() == set()
    assert outcome.contents == 5
    assert outcome.objects == 5 + 2 + own  # two further parts
    assert own >= 3


def test_a_bundle_stays_as_long_as_one_of_its_members_is_named(past):
    first = past.capture()
    (bundle,) = {each.location.identity for each in past.entries(first) if isinstance(each.location, Bundled)}
    fill(past.source, {key: b"anew " + key.encode() for key in ("a/1", "a/2", "b/empty", "b/größe.txt")})
    past.change(public__new=b"x")
    second = past.capture()
    assert [each.key for each in past.entries(second) if getattr(each.location, "identity", "") == bundle] == ["a/3"]

    past.expire(first)
    past.purge(first)
    assert any(bundle in key for key in past.contents())
    past.assert_every_backup_restores()

    past.change(a__3=b"the last member")
    third = past.capture()
    past.expire(second)
    past.purge(second)
    assert not any(bundle in key for key in past.contents())
    assert list(past.repository.log.history().backups) == [third]


def test_a_bundle_member_that_only_an_older_state_brought_back_keeps_the_bundle(past):
    """The entry that keeps a content need not be one that the purged backup has."""
    first = past.capture()
    kept = {"a/2": past.source.objects["a/2"]}
    past.change(a__2=b"changed")
    second = past.capture()  # names the first bundle through other members than a/2
    past.expire(second)
    past.source.objects.update(kept)  # the very version that the first backup holds
    past.change(a__1=b"1", a__3=b"3", b__empty=b"x")
    past.change(**{"b__größe.txt": b"5"})
    third = past.capture()
    past.expire(first)

    past.purge(first)
    past.purge(second)

    assert past.repository.log.history().backups.keys() == {third}
    past.assert_every_backup_restores()
    assert past.contents() == past.referenced()


def test_expired_backups_count_until_they_are_purged_themselves(past):
    first, second, third = three_backups(past)
    past.expire(first, second)
    shared = past.contents()

    past.purge(second)

    past.assert_every_backup_restores("the first can still be undeleted")
    past.repository.tell(RecordType.UNDELETE, initiator=TESTER, body={"backup_ids": [first]})
    past.assert_every_backup_restores()
    past.expire(first)
    past.purge(first)
    assert past.contents() == past.referenced() < shared
    assert list(past.repository.log.history().backups) == [third]


def test_the_list_is_written_then_named_by_the_record_then_anything_is_deleted(past):
    first, *_ = three_backups(past)
    past.expire(first)
    store = SteppingStore(past.store)

    (outcome,) = purge_backups(past.seen_through(store), [first], initiator=TESTER)

    writes = [(call, key) for call, key in store.calls if call in ("put", "delete")]
    purge = layout.purge_prefix(SITE, outcome.purge_id)
    assert writes[0] == ("put", f"{purge}contents/000000")
    assert writes[1][1].startswith("log/")
    assert writes[-1] == ("put", f"{purge}finished.json")
    assert {call for call, _ in writes[2:-1]} == {"delete"}
    (named,) = past.repository.log.history().purges
    with past.repository.purge_lists.open(named.listed) as reader:
        listed = {key for content in read_list(reader, name="list") for key in content.keys(SITE)}
    assert listed == {key for call, key in writes if call == "delete" and key.startswith("files/")}


def test_what_was_purged_is_copied_anew_under_identities_that_never_were(past):
    first = past.capture()
    dead = past.contents()
    past.expire(first)
    past.purge(first)

    again = past.capture()

    assert past.library().source is past.source  # the same versions of the same files
    assert past.contents().isdisjoint(dead)
    past.assert_every_backup_restores()
    assert {each.key for each in past.entries(again)} == past.truths[again].keys()


def test_a_second_purge_of_the_same_backups_changes_nothing(past):
    first, *_ = three_backups(past)
    past.expire(first)
    past.purge(first)
    objects = set(past.store.objects)

    assert past.purge(first) == []
    assert past.purge() == []
    assert resume_purges(past.repository) == []
    assert set(past.store.objects) == objects


def test_a_backup_that_the_log_never_named_is_told(past):
    past.capture()
    with pytest.raises(RecoveryPointNotFound, match="backup nonsense of retail/liferay does not exist"):
        past.purge("nonsense")


def test_the_folders_of_any_component_go(past):
    database = a_backup(past.repository, b"d" * 1000)
    dump = a_backup(past.repository, b"e" * 1000, component=Component.DATABASE_DUMP, stream="dump.custom")
    kept = a_backup(past.repository)
    past.expire(database.backup_id, dump.backup_id)

    (outcome,) = past.purge(database.backup_id, dump.backup_id)

    assert outcome.finished
    assert (outcome.contents, outcome.objects) == (0, 4)
    left = {key.split("/")[4] for key in past.store.objects if key.startswith("backups/")}
    assert left == {kept.backup_id}
    assert past.repository.log.history().purges[0].listed is None
    assert resume_purges(past.repository) == []


class Locked(MemoryStore):
    """Refuses to delete some keys for a while, one by one, as a store with locks on objects does."""

    def __init__(self, clock, *, says_which: bool) -> None:
        super().__init__(clock)
        self.locked: set[str] = set()
        self.says_which = says_which
        self.requests = 0

    def delete(self, keys):
        keys = list(keys)
        self.requests += 1
        refused = self.locked & set(keys)
        super().delete([key for key in keys if key not in refused] if self.says_which or not refused else [])
        if refused:
            raise AccessDenied(
                f"{min(refused)} is locked until next week", **({"refused": sorted(refused)} if self.says_which else {})
            )


@pytest.mark.parametrize("says_which", [True, False])
def test_locked_objects_stay_and_go_with_the_next_call(past, says_which):
    store = Locked(past.clock, says_which=says_which)
    past = RememberedLibrary(store, past.key, past.clock)
    first = past.capture()
    locked = sorted(past.contents())[::2]
    store.locked = set(locked)
    past.expire(first)

    (outcome,) = past.purge(first)

    assert not outcome.finished
    assert outcome.deletion.still_there.count == len(locked)
    assert sorted(key for key, _ in outcome.deletion.still_there.samples) == locked
    assert "is locked until next week" in outcome.deletion.still_there.samples[0][1]
    assert past.contents() == set(locked), "everything else is gone"
    (again,) = resume_purges(past.repository)
    assert not again.finished
    store.locked = set()
    (at_last,) = past.purge(first)
    assert at_last.finished
    assert past.contents() == set()


@pytest.mark.parametrize("says_which", [True, False])
def test_a_store_that_lets_nothing_go_is_not_asked_for_ever(past, says_which):
    store = Locked(past.clock, says_which=says_which)
    past = RememberedLibrary(store, past.key, past.clock)
    past.source.objects.clear()
    fill(past.source, {f"public/{number:04d}": b"x" for number in range(2600)})
    first = past.capture()
    store.locked = past.contents()
    past.expire(first)
    store.requests = 0

    (outcome,) = past.purge(first)

    assert outcome.deletion.given_up
    assert not outcome.finished
    assert store.requests <= (1 if says_which else 2001)
    store.locked = set()
    assert [each.finished for each in resume_purges(past.repository)] == [True]
    assert past.contents() == set()


def test_thousands_of_objects_go_on_a_real_store(past, tmp_path):
    """L-7: more than a batch, twice over."""
    past = RememberedLibrary(DirectoryStore(tmp_path / "repository", create=True), past.key, past.clock)
    past.source.objects.clear()
    fill(past.source, {f"{number:04d}": b"x" for number in range(2600)})
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr("lc2_backup_dagster.engines.files.capture.transfer.BUNDLE_FILES", 1)
        patched.setattr("os.fsync", lambda file: None)
        first = past.capture()
    assert len(past.contents()) == 2600
    past.expire(first)

    (outcome,) = past.purge(first)

    assert outcome.finished
    assert past.contents() == set()


def test_a_store_that_is_away_ends_the_call_and_the_next_one_goes_on(past):
    first, *_ = three_backups(past)
    past.expire(first)
    store = SteppingStore(past.store)

    def away(number: int, call: str, key: str) -> None:
        if call == "delete" and store.calls.count(("delete", key)) == 1 and number % 3 == 0:
            raise StoreUnavailable("slow down")

    store.before = away
    repository = past.seen_through(store)
    with pytest.raises(StoreUnavailable):
        purge_backups(repository, [first], initiator=TESTER)
    while True:
        try:
            (outcome,) = resume_purges(repository)
            break
        except StoreUnavailable:
            continue
    assert outcome.finished
    assert past.contents() == past.referenced()


def test_a_lost_list_is_an_alarm_that_keeps_no_other_purge_from_going_on(past):
    first, second, _ = three_backups(past)
    past.expire(first, second)
    store = SteppingStore(past.store)
    for backup_id in (first, second):
        store.before = refuse_deletes
        with pytest.raises(StoreUnavailable):
            purge_backups(past.seen_through(store), [backup_id], initiator=TESTER)
    lost = past.repository.log.history().purges[0]
    past.store.delete([f"{layout.purge_prefix(SITE, lost.purge_id)}contents/000000"])

    with pytest.raises(PartMissing, match=lost.purge_id):
        resume_purges(past.repository)

    assert past.repository.purge_lists.finished() == {past.repository.log.history().purges[1].purge_id}
    past.assert_every_backup_restores()
    past.clock.move(days=9)
    past.collect()
    assert past.contents() == past.referenced(), "what the list named is garbage"


def refuse_deletes(number: int, call: str, key: str) -> None:
    if call == "delete":
        raise StoreUnavailable("away")


def test_a_purge_of_an_older_writer_without_a_list_is_read_and_its_folder_goes(past):
    backup = a_backup(past.repository)
    past.expire(backup.backup_id)
    past.repository.tell(RecordType.PURGE, initiator=TESTER, body={"backup_ids": [backup.backup_id]})

    (outcome,) = resume_purges(past.repository)

    assert outcome.finished
    assert outcome.purge_id is None
    assert not list(past.store.list(layout.backup_prefix(SITE, Component.DATABASE, backup.backup_id)))


def test_without_encryption_a_purge_works_as_well():
    past = RememberedLibrary(MemoryStore(), None)
    first, *_ = three_backups(past)
    past.expire(first)
    past.purge(first)
    assert past.contents() == past.referenced()
    past.assert_every_backup_restores()


def test_a_stream_of_a_database_is_never_taken_for_files(past):
    """The list of a purge without files is none, whatever files there are."""
    past.capture()
    with past.repository.begin(Component.DATABASE, window=None, initiator=TESTER) as attempt:
        attempt.write_stream("base.tar", BytesIO(b"x"))
    before = past.contents()
    backup = a_backup(past.repository)
    past.expire(backup.backup_id)
    past.purge(backup.backup_id)
    assert past.contents() == before
