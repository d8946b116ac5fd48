"""What verifications found out is kept: ages, SHA-256, damage; through deaths, at once, and against forgery."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.manifest.entry import Copied
from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.verify.choices import Candidate, OldestFirst, RandomSample
from lc2_backup_dagster.engines.files.verify.proof_sets import open_proofs
from lc2_backup_dagster.engines.files.verify.proofs import Proof
from lc2_backup_dagster.engines.files.verify.sampling import SampleAim
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import AccessDenied, FormatNotSupported, PartCorrupt, StoreUnavailable
from lc2_backup_dagster.repository.layout import verified_prefix
from lc2_backup_dagster_tests.engines.files.library import SITE, Library, all_of_a_library, fill
from lc2_backup_dagster_tests.fakes import DyingStore, Killed, MemoryStore, SetClock

pytestmark = pytest.mark.usefixtures("small_sizes")

DAY = 86400
KEPT = verified_prefix(SITE)


@pytest.fixture
def backup(library: Library, source: MemoryStore) -> str:
    fill(source, all_of_a_library())
    return library.capture()


def due(days: float = 28, **options: Any) -> dict[str, Any]:
    """Return the options of a verification that keeps its results and reads what is older than some days."""
    return {"keep": True, "choice": lambda now: OldestFirst(due_before=int(now - days * DAY), **options)}


def known(library: Library) -> dict[str, Proof]:
    with open_proofs(library.repository, scratch=None) as kept:
        return {each.name: each for each in kept.proofs()}


def copy_of(library: Library, backup: str, file: str = "public/photo.jpg") -> str:
    """Return the key of the copy that the store made of a file."""
    entry = next(entry for entry in library.entries(backup) if entry.key == file)
    assert isinstance(entry.location, Copied)
    return object_key(SITE, entry.location.identity)


def sealed_in(library: Library, backup: str, file: str = "big/one-part") -> str:
    """Return the key of the object that a file was sealed into."""
    return next(entry for entry in library.entries(backup) if entry.key == file).stored_objects(SITE)[0][0]


def rot(store: MemoryStore, key: str, *, etag: str | None = None) -> None:
    """Flip a bit in the middle; time of writing and size stay, and the etag unless one is given."""
    body, info = store.objects[key]
    middle = len(body) // 2
    changed = body[:middle] + bytes([body[middle] ^ 4]) + body[middle + 1 :]
    store.objects[key] = (changed, ObjectInfo(key, len(body), info.modified, etag or info.etag))


def test_what_was_read_is_not_read_again_before_it_is_due(library: Library, backup: str, clock: SetClock) -> None:
    first = library.verify(backup, **due())
    assert first.read_objects == first.objects > 10
    assert (first.oldest_seconds, first.never_read) == (None, 0)

    clock.move(days=10)
    second = library.verify(backup, **due(), max_age_seconds=9 * DAY)
    assert (second.read_objects, second.oldest_seconds, second.over_age) == (0, 10 * DAY, second.objects)

    clock.move(days=18, seconds=1)
    third = library.verify(backup, **due(), max_age_seconds=30 * DAY)
    assert (third.read_objects, third.oldest_seconds, third.over_age) == (third.objects, None, 0)


def test_a_result_that_is_not_kept_is_forgotten(library: Library, backup: str) -> None:
    library.verify(backup)
    assert not list(library.store.list(KEPT))
    assert library.verify(backup, **due()).read_objects > 10


def test_what_does_not_fit_into_the_budget_grows_old_and_is_counted(
    library: Library, backup: str, clock: SetClock
) -> None:
    clock.move(days=31)
    first = library.verify(backup, **due(max_bytes=1), max_age_seconds=30 * DAY)
    assert first.read_objects in (1, 2), "one of no bytes uses nothing up"
    assert first.over_age == first.due_left == first.never_read == first.objects - first.read_objects
    assert first.oldest_seconds == 31 * DAY

    rounds = 1
    while library.verify(backup, **due(max_bytes=1), max_age_seconds=30 * DAY).over_age:
        clock.move(hours=1)
        rounds += 1
        assert rounds < first.objects, "the oldest come first, so every run takes others"
    assert rounds > first.objects // 2


def test_rot_in_a_copy_that_changes_neither_etag_nor_time_is_found_by_the_kept_hash(
    library: Library, store: DyingStore, backup: str, clock: SetClock
) -> None:
    key = copy_of(library, backup)
    library.verify(backup, keep=True)
    clock.move(days=1)
    rot(store, key)

    assert library.verify(backup, deep=False).damaged_count == 0, "nothing shows it without reading"
    found = library.verify(backup, keep=True)
    assert [(each.key, each.files, each.missing) for each in found.damaged] == [(key, ("public/photo.jpg",), False)]
    assert "than when it was read before" in found.damaged[0].reason
    clock.move(days=1)
    assert library.verify(backup, keep=True).damaged_count == 1, "the hash of the rotten bytes took no one's place"


def test_the_next_capture_takes_the_hashes_into_its_manifest(
    library: Library, source: MemoryStore, backup: str, clock: SetClock
) -> None:
    assert library.done.counts.sha256_pending == 2
    library.verify(backup, keep=True)
    clock.move(days=1)
    fill(source, {"public/new": b"new", "public/a": b"before"})
    second = library.capture()

    assert library.done.counts.sha256_pending == 2, "only those that nobody has read"
    hashes = {entry.key: entry.sha256 for entry in library.entries(second) if isinstance(entry.location, Copied)}
    assert hashes == {
        "public/a": None,
        "public/empty": hashlib.sha256(b"").hexdigest(),
        "public/new": None,
        "public/photo.jpg": hashlib.sha256(all_of_a_library()["public/photo.jpg"]).hexdigest(),
    }
    assert library.done.counts.unchanged == len(all_of_a_library())
    found = library.verify(backup, second, keep=True, whole=lambda: True)
    assert (found.damaged_count, found.hashed_pending) == (0, 2)
    library.capture()
    assert library.done.counts.sha256_pending == 0


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_hash_that_any_manifest_has_counts_for_all_of_them(
    library: Library, store: DyingStore, backup: str, clock: SetClock, newest_first: bool
) -> None:
    library.verify(backup, keep=True)
    clock.move(days=1)
    second = library.capture()
    store.delete([each for each in list(store.objects) if each.startswith(KEPT)])
    rot(store, copy_of(library, backup))
    assert library.verify(backup).damaged_count == 0, "alone it has nothing to compare with"
    both = (second, backup) if newest_first else (backup, second)
    assert library.verify(*both).damaged_count == 1


def test_hashes_of_a_version_are_not_taken_for_another(
    library: Library, source: MemoryStore, backup: str, clock: SetClock
) -> None:
    library.verify(backup, keep=True)
    clock.move(days=1)
    fill(source, {"public/photo.jpg": b"another version"})
    second = library.capture()

    entry = next(entry for entry in library.entries(second) if entry.key == "public/photo.jpg")
    assert entry.sha256 is None


def test_a_restore_proves_a_copy_with_another_etag_by_its_kept_hash(
    library: Library, store: DyingStore, backup: str
) -> None:
    key = copy_of(library, backup)
    body, info = store.objects[key]
    store.objects[key] = (body, ObjectInfo(key, len(body), info.modified, "moved-1"))
    assert [name for name, _ in library.restore(backup, MemoryStore()).unproven.samples] == ["public/photo.jpg"]

    store.objects[key] = (body, info)
    library.verify(backup, keep=True)
    store.objects[key] = (body, ObjectInfo(key, len(body), info.modified, "moved-1"))
    target = MemoryStore()
    assert library.restore(backup, target).unproven.count == 0
    assert target.get("public/photo.jpg") == body

    rot(store, key, etag="rotten")
    with pytest.raises(PartCorrupt, match="photo"):
        library.restore(backup, MemoryStore())


def test_a_moved_repository_is_proven_by_reading_and_then_at_a_glance(
    library: Library, store: DyingStore, backup: str, clock: SetClock
) -> None:
    library.verify(backup, keep=True)
    for key, (body, info) in list(store.objects.items()):
        store.objects[key] = (body, ObjectInfo(key, len(body), info.modified, f"moved {info.etag}"))
    clock.move(days=1)

    glance = library.verify(backup, deep=False)
    assert (glance.damaged_count, glance.doubtful.count) == (0, 2), "the store tells other things: unknown, not damage"
    reading = library.verify(backup, **due())
    assert (reading.damaged_count, reading.read_objects, reading.doubtful.count) == (0, 2, 0)
    clock.move(days=1)
    assert library.verify(backup, deep=False).doubtful.count == 0


def test_a_changed_etag_without_any_hash_is_damage_also_at_a_glance(
    library: Library, store: DyingStore, backup: str
) -> None:
    key = copy_of(library, backup)
    rot(store, key, etag="another")

    for deep in (True, False):
        found = library.verify(backup, deep=deep)
        assert [each.key for each in found.damaged] == [key]
        assert "no SHA-256 proves its bytes" in found.damaged[0].reason


def test_damage_is_remembered_until_the_object_was_read_whole(
    library: Library, store: DyingStore, backup: str, clock: SetClock
) -> None:
    key = sealed_in(library, backup)
    whole = store.objects[key]
    rot(store, key)
    library.verify(backup, keep=True)
    assert [(each.read_at, bool(each.damaged_at)) for each in known(library).values() if each.damaged_at] == [
        (None, True)
    ]
    clock.move(days=1)

    glance = library.verify(backup, deep=False)
    assert [each.key for each in glance.damaged] == [key]
    assert "was found damaged at 2026-11-23T02:00:00" in glance.damaged[0].reason
    sample = library.verify(backup, choice=lambda now: RandomSample(SampleAim(), seed="x"))
    assert [each.key for each in sample.damaged] == [key], "no sample that missed it may say that all is well"
    assert library.verify(backup, **due(max_bytes=1)).damaged_count == 1, "it comes before everything else"

    store.objects[key] = whole  # and all that within the same second
    mended = library.verify(backup, **due())
    assert (mended.damaged_count, mended.read_objects) == (0, 1)
    assert library.verify(backup, deep=False).damaged_count == 0


def test_a_time_from_the_future_proves_nothing(library: Library, backup: str, clock: SetClock) -> None:
    """L-24: a clock that was a year ahead must not keep everything unread for a year."""
    clock.move(days=365)
    library.verify(backup, keep=True)
    clock.move(days=-365, hours=1)
    found = library.verify(backup, **due())
    assert found.read_objects == found.objects
    clock.move(days=1)
    assert library.verify(backup, **due()).read_objects == 0, "the wrong time is forgotten"


def test_an_object_that_was_written_again_is_unread(library: Library, store: DyingStore, backup: str, clock: SetClock):
    library.verify(backup, keep=True)
    clock.move(days=2)
    key = next(each for each in store.objects if each.startswith("files/"))
    body, info = store.objects[key]
    store.objects[key] = (body, ObjectInfo(key, len(body), clock.now(), info.etag))
    clock.move(days=1)
    assert library.verify(backup, **due()).read_objects == 1


@pytest.mark.parametrize("write_down", [3, 1000], ids=["often", "at the end"])
def test_killed_before_any_write_it_keeps_what_it_wrote_down_and_nothing_false(
    library: Library, store: DyingStore, backup: str, write_down: int
) -> None:
    limits = Limits(max_concurrency=1, journal_entries=write_down)
    read: list[str] = []
    watch_reading(library, read.append)
    objects, total, killed = dict(store.objects), 0, 0
    while True:
        store.objects, store.writes_left = dict(objects), killed
        try:
            total = library.verify(backup, **due(), limits=limits).objects
        except Killed:
            store.revive()
            before = {object_key_of(name) for name in known(library)}
            assert before <= set(read), "nothing unread counts as read"
            read.clear()
            again = library.verify(backup, **due(), limits=limits)
            assert (again.damaged_count, again.read_objects) == (0, again.objects - len(before))
            assert not again.ignored
            assert not before.intersection(read), "nothing is read twice that was written down"
            assert len(known(library)) == again.objects
            read.clear()
            killed += 1
            continue
        break
    store.revive()
    assert total > 10
    assert killed >= (total // 3 + 3 if write_down == 3 else 3)


def object_key_of(name: str) -> str:
    return f"files/{SITE}/{name[:2]}/{name}"


def watch_reading(library: Library, seen: Callable[[str], None]) -> None:
    read_sealed, opened = library.repository.read_sealed, library.store.open

    def sealed(key: str, part: Any, **options: Any) -> bytes:
        plain = read_sealed(key, part, **options)
        seen(key)
        return plain

    def plain(key: str, **options: Any) -> Any:
        seen(key)
        return opened(key, **options)

    library.repository.read_sealed = sealed  # type: ignore[method-assign]
    library.store.open = plain  # type: ignore[method-assign]


def test_an_outage_ends_the_run_keeps_what_was_read_and_records_nothing_else(
    library: Library, store: DyingStore, backup: str
) -> None:
    """L-28: away is neither damaged nor verified."""
    read: list[str] = []

    def away_after_five(key: str) -> None:
        if len(read) == 5:
            raise StoreUnavailable("503")
        read.append(key)

    watch_reading(library, away_after_five)
    with pytest.raises(StoreUnavailable):
        library.verify(backup, **due(), limits=Limits(max_concurrency=1))
    kept = {object_key_of(name) for name in known(library)}
    assert kept <= set(read)
    assert len(kept) >= 3, "but for the last ones, whose readings ended together with the run"
    assert all(each.read_at is not None and each.damaged_at is None for each in known(library).values())


def test_objects_that_may_not_be_read_are_unknown_and_stay_due(
    library: Library, store: DyingStore, backup: str, clock: SetClock
) -> None:
    key = copy_of(library, backup)

    def refuse(other: str) -> None:
        if other == key:
            raise AccessDenied("403")

    watch_reading(library, refuse)
    clock.move(days=31)
    found = library.verify(backup, **due(), max_age_seconds=30 * DAY)
    assert (found.damaged_count, found.refused.samples, found.over_age) == (0, [(key, "403")], 1)
    assert len(known(library)) == found.objects - 1


class Meanwhile(OldestFirst):
    """Lets something happen before the n-th object is chosen."""

    def __init__(self, action: Callable[[], object], *, at: int, **options: Any) -> None:
        super().__init__(**options)
        self._action = action
        self._at = at

    def wants(self, candidate: Candidate, /) -> bool:
        self._at -= 1
        if self._at == 0:
            self._action()
        return super().wants(candidate)


@pytest.mark.parametrize("at", [1, 8])
def test_of_two_verifications_at_once_the_results_of_both_count(
    library: Library, source: MemoryStore, backup: str, clock: SetClock, at: int
) -> None:
    fill(source, {"late/file": b"late"})
    second = library.capture()
    clock.move(seconds=1)
    limits = Limits(max_concurrency=1, journal_entries=2)
    early: list[int] = []

    def meanwhile() -> None:
        early.append(len(known(library)))
        clock.move(seconds=1)
        library.verify(second, **due(days=-1), limits=limits)

    library.verify(backup, keep=True, limits=limits, choice=lambda now: Meanwhile(meanwhile, at=at))
    proofs = known(library)
    assert {each.key for each in library.entries(second)} - {each.key for each in library.entries(backup)}
    assert len(proofs) == library.verify(backup, second, deep=False).objects
    assert (early[0] > 0) == (at == 8), "what the one has written down is taken in by the other"

    clock.move(days=1)
    last = library.verify(backup, second, **due(), whole=lambda: True)
    assert last.read_objects == 0
    with open_proofs(library.repository, scratch=None) as kept:
        assert len(kept.sets) == 1, "the newest says all"
        assert len(kept.taken_in) == 3


def test_results_of_objects_that_no_backup_needs_any_more_are_forgotten(
    library: Library, source: MemoryStore, backup: str, clock: SetClock
) -> None:
    library.verify(backup, keep=True)
    clock.move(days=1)
    source.delete([each for each in source.objects if each.startswith("20097/")])
    second = library.capture()
    library.verify(second, **due())
    assert known(library).keys() > known_names(library, second), "one backup is not all of them"
    clock.move(days=1)
    source.delete(["public/photo.jpg"])
    third = library.capture()
    library.verify(third, keep=True)
    with open_proofs(library.repository, scratch=None) as kept:
        assert {each.file for each in kept.hashes()} == {"public/photo.jpg", "public/empty"}
    second = third
    clock.move(days=1)
    library.verify(second, **due(), whole=lambda: True)
    assert known(library).keys() == known_names(library, second)


def known_names(library: Library, backup: str) -> set[str]:
    return {key.split("/", 4)[4] for entry in library.entries(backup) for key, _ in entry.stored_objects(SITE)}


def test_results_that_were_changed_are_ignored_and_older_ones_count(
    library: Library, store: DyingStore, backup: str, clock: SetClock
) -> None:
    library.verify(backup, **due(max_bytes=10_000))
    half = len(known(library))
    clock.move(seconds=1)
    run_id = library.verify(backup, **due()).run_id
    key = f"{KEPT}{run_id}/results"
    rot(store, key)
    found = library.verify(backup, deep=False)
    assert found.ignored.keys() == {key}
    assert (found.damaged_count, found.never_read) == (0, found.objects - half)
    assert len(known(library)) == half
    clock.move(seconds=1)
    library.verify(backup, **due())
    assert not library.verify(backup, deep=False).ignored, "it is told once, not for ever"
    assert len(known(library)) == found.objects


def test_a_damaged_part_of_the_results_makes_objects_unread_not_damaged(
    library: Library, store: DyingStore, backup: str
) -> None:
    run_id = library.verify(backup, keep=True).run_id
    for stream in ("objects", "hashes"):
        rot(store, f"{KEPT}{run_id}/{stream}/000000")
    found = library.verify(backup, deep=False)
    assert (found.damaged_count, found.never_read) == (0, found.objects)
    library.capture()
    assert library.done.counts.sha256_pending == 2


def test_results_that_are_not_sealed_are_not_believed_where_the_site_is(
    library: Library, store: DyingStore, backup: str
) -> None:
    from lc2_backup_dagster.engines.files.verify.proofs import encode_proof
    from lc2_backup_dagster.repository.sealing import ZstdSealer

    names = known_names(library, backup)
    lines = b"".join(encode_proof(Proof(name, 2**31)) for name in names)
    key = f"{KEPT}20991231T000000Z-00000000/read/000000"
    store.put(key, b'{"format":1,"key_id":null}\n' + ZstdSealer().seal(lines, key=key))
    assert known(library) == {}
    found = library.verify(backup, **due())
    assert (found.read_objects, found.ignored.keys()) == (found.objects, {key})


def test_results_of_a_newer_version_end_a_verification_but_neither_captures_nor_restores(
    library: Library, store: DyingStore, backup: str
) -> None:
    store.put(f"{KEPT}20991231T000000Z-00000000/results", b'{"format":2,"key_id":null}\n')
    with pytest.raises(FormatNotSupported):
        library.verify(backup)
    library.capture()
    library.restore(backup, MemoryStore())


def test_a_repository_that_must_not_be_written_is_verified_all_the_same(
    library: Library, store: DyingStore, backup: str
) -> None:
    put = store.put

    def refuse(key: str, body: bytes, **options: Any) -> ObjectInfo:
        if key.startswith(KEPT):
            raise AccessDenied(f"put {key}: 403")
        return put(key, body, **options)

    store.put = refuse  # type: ignore[method-assign]
    rot(store, copy_of(library, backup), etag="other")
    found = library.verify(backup, **due(), limits=Limits(max_concurrency=1, journal_entries=2))
    assert isinstance(found.unkept, AccessDenied)
    assert (found.damaged_count, found.run_id) == (1, None)


def test_results_that_must_not_be_read_are_done_without(library: Library, store: DyingStore, backup: str) -> None:
    library.verify(backup, keep=True)
    listed = store.list

    def refuse(prefix: str = "", **options: Any) -> Any:
        if prefix.startswith(KEPT):
            raise AccessDenied(f"list {prefix}: 403")
        return listed(prefix, **options)

    store.list = refuse  # type: ignore[method-assign]
    found = library.verify(backup, **due(), limits=Limits(max_concurrency=1))
    assert (found.read_objects, found.ignored) == (found.objects, {KEPT: f"list {KEPT}: 403"})
    library.capture()
    library.restore(backup, MemoryStore())


def test_nothing_is_ever_overwritten(library: Library, store: DyingStore, backup: str, clock: SetClock) -> None:
    written: list[str] = []
    write = store._write

    def note(key: str, body: bytes, create_only: bool, *rest: Any) -> ObjectInfo:
        if not key.startswith(("heartbeats/", ".lc2-probe/")):
            assert create_only, key
            written.append(key)
        return write(key, body, create_only, *rest)

    store._write = note  # type: ignore[method-assign]
    for _ in range(3):
        library.verify(backup, **due(days=0), limits=Limits(max_concurrency=1, journal_entries=4))
        clock.move(days=1)
    assert len(written) == len(set(written)) > 9
    assert all(key.startswith(KEPT) for key in written)
