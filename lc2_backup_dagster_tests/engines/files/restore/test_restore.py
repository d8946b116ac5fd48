import pytest

from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied
from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.manifest.selection import Selection
from lc2_backup_dagster.engines.files.restore.restore import restore_files
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.errors import PartCorrupt, PartMissing, StoreUnavailable, TargetNotEmpty
from lc2_backup_dagster_tests.engines.files.library import (
    SITE,
    Library,
    all_of_a_library,
    facts_of,
    fill,
)
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

pytestmark = pytest.mark.usefixtures("small_sizes")


@pytest.fixture
def backup(library: Library, source: MemoryStore) -> str:
    fill(source, all_of_a_library())
    return library.capture()


class Distant(MemoryStore):
    """A target that no other store can copy into."""

    def can_copy_from(self, source: object) -> bool:
        return False


def location_of(library: Library, backup: str, key: str):
    return next(entry.location for entry in library.entries(backup) if entry.key == key)


def damage(library: Library, backup: str, key: str) -> str:
    """Flip a bit in the stored object of a file and return the object's key."""
    stored = object_key(SITE, location_of(library, backup, key).identity)
    body, info = library.store.objects[stored]
    changed = bytes([body[0] ^ 1]) + body[1:]
    library.store.objects[stored] = (changed, type(info)(stored, len(body), info.modified, etag="another"))
    return stored


def test_a_target_elsewhere_gets_everything_streamed(library: Library, source: MemoryStore, backup: str) -> None:
    target = Distant()

    library.restore(backup, target)

    assert facts_of(target) == facts_of(source)


def test_a_restore_below_a_prefix_keeps_the_keys_behind_it(library: Library, source: MemoryStore, backup: str) -> None:
    target = MemoryStore()
    target.put("other", b"stays")

    library.restore(backup, PrefixedStore(target, "restored/2026/"))

    assert facts_of(PrefixedStore(target, "restored/2026/")) == facts_of(source)
    assert target.get("other") == b"stays"


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection.below("big/"), lambda key: key.startswith("big/")),
        (Selection.matching(["*.txt", "public/*"]), lambda key: key.endswith(".txt") or key.startswith("public/")),
        (Selection.only("a b+c%2F d.txt"), lambda key: key == "a b+c%2F d.txt"),
        (Selection.only("absent"), lambda key: False),
    ],
)
def test_a_choice_of_files_is_restored_alone(library: Library, source: MemoryStore, backup: str, selection, wanted):
    target = MemoryStore()

    result = library.restore(backup, target, selection=selection)

    assert facts_of(target) == {key: facts for key, facts in facts_of(source).items() if wanted(key)}
    assert result.written == result.selected == len(target.objects)


def test_a_target_that_is_not_empty_is_refused_before_anything_is_written(library: Library, backup: str) -> None:
    target = MemoryStore()
    target.put("zzz/unrelated", b"x")

    with pytest.raises(TargetNotEmpty, match="nothing was written"):
        library.restore(backup, target)
    assert target.objects.keys() == {"zzz/unrelated"}


def test_a_choice_is_refused_only_when_one_of_its_own_keys_is_taken(library: Library, backup: str) -> None:
    target = MemoryStore()
    target.put("zzz/unrelated", b"x")
    target.put("public/empty", b"x")

    library.restore(backup, target, selection=Selection.below("big/"))
    with pytest.raises(TargetNotEmpty, match="'public/empty'"):
        library.restore(backup, target, selection=Selection.below("public/"))
    assert "public/photo.jpg" not in target.objects


def test_skip_leaves_what_is_there_and_says_what_differs(library: Library, source: MemoryStore, backup: str) -> None:
    target = MemoryStore()
    target.put("big/several", b"mine")
    target.put("unrelated", b"stays")
    library.restore(backup, target, selection=Selection.only("empty.txt"))

    result = library.restore(backup, target, conflict=Conflict.SKIP)

    assert (result.kept, result.kept_differing) == (2, 1)
    assert result.written == len(all_of_a_library()) - 2
    expected = facts_of(source) | {"big/several": (b"mine", None, {}), "unrelated": (b"stays", None, {})}
    assert facts_of(target) == expected


def test_overwrite_replaces_what_differs_writes_nothing_else_and_deletes_nothing(
    library: Library, source: MemoryStore, backup: str, clock: SetClock
) -> None:
    clock.move(hours=1)
    fill(source, {"big/several": b"damaged", "public/photo.jpg": b"damaged", "since": b"stays"})
    source.delete(["empty.txt"])

    result = library.restore(backup, source, conflict=Conflict.OVERWRITE, origin=source)

    assert (result.written, result.overwritten) == (3, 2)
    assert result.kept == len(all_of_a_library()) - 3
    wanted = MemoryStore()
    fill(wanted, {**all_of_a_library(), "since": b"stays"})
    assert facts_of(source) == facts_of(wanted)


def test_a_damaged_bundle_is_named_and_all_other_files_are_restored(
    library: Library, source: MemoryStore, backup: str
) -> None:
    stored = damage(library, backup, "20097/00003/1.0")
    lost = {
        entry.key
        for entry in library.entries(backup)
        if isinstance(entry.location, Bundled) and object_key(SITE, entry.location.identity) == stored
    }
    target = MemoryStore()

    with pytest.raises(PartCorrupt, match=stored) as caught:
        library.restore(backup, target)

    assert set(caught.value.attributes["damaged"]) == lost and len(lost) > 1
    assert facts_of(target) == {key: facts for key, facts in facts_of(source).items() if key not in lost}


def test_a_missing_part_of_a_big_file_leaves_no_half_file(library: Library, backup: str) -> None:
    identity = location_of(library, backup, "big/several").identity
    library.store.delete([object_key(SITE, identity, part=3)])
    target = MemoryStore()

    with pytest.raises(PartMissing, match="000003 is gone"):
        library.restore(backup, target)
    assert "big/several" not in target.objects
    assert len(target.objects) == len(all_of_a_library()) - 1


@pytest.mark.parametrize("target", [MemoryStore, Distant])
def test_a_replaced_server_side_copy_without_hash_is_restored_and_named_as_unproven(
    library: Library, backup: str, target
) -> None:
    damage(library, backup, "public/photo.jpg")
    assert isinstance(location_of(library, backup, "public/photo.jpg"), Copied)

    result = library.restore(backup, target())

    assert [key for key, _ in result.unproven.samples] == ["public/photo.jpg"]


def test_a_restore_that_breaks_off_leaves_whole_files_and_goes_on_under_skip(
    library: Library, source: MemoryStore, backup: str
) -> None:
    class Failing(MemoryStore):
        left = 20

        def put_stream(self, key, chunks, **options):
            if self.left == 0:
                raise StoreUnavailable("503")
            self.left -= 1
            return super().put_stream(key, chunks, **options)

    target = Failing()
    with pytest.raises(StoreUnavailable) as caught:
        library.restore(backup, target)
    assert 0 < caught.value.attributes["written_objects"] <= len(target.objects) < len(all_of_a_library())
    assert "run again with conflict 'skip'" in caught.value.__notes__[0]
    assert all(facts == facts_of(source)[key] for key, facts in facts_of(target).items())

    target.left = -1
    library.restore(backup, target, conflict=Conflict.SKIP)
    assert facts_of(target) == facts_of(source)


def test_a_write_whose_answer_was_lost_is_recognised_as_our_own(
    library: Library, source: MemoryStore, backup: str
) -> None:
    class Forgetful(Distant):
        answers_lost = 5

        def put_stream(self, key, chunks, **options):
            info = super().put_stream(key, chunks, **options)
            if self.answers_lost:
                self.answers_lost -= 1
                raise StoreUnavailable("the answer was lost")
            return info

    target = Forgetful()
    result = library.restore(backup, target)

    assert result.written == len(all_of_a_library())
    assert facts_of(target) == facts_of(source)


def test_a_file_that_somebody_writes_meanwhile_is_not_overwritten(library: Library, backup: str) -> None:
    target = MemoryStore()

    def entries():
        target.objects.setdefault("big/several", target.put("big/several", b"theirs") and target.objects["big/several"])
        return library.entries(backup)

    opened = iter([lambda: library.entries(backup), entries])
    with pytest.raises(TargetNotEmpty, match="appeared in"):
        restore_files(
            library.repository,
            lambda: next(opened)(),
            target,
            selection=Selection.below("big/"),
        )
    assert target.get("big/several") == b"theirs"


def test_neighbours_in_a_bundle_share_one_fetch(library: Library, backup: str) -> None:
    fetched: list[str] = []
    get = library.store.get

    def count(key: str, **options: object) -> bytes:
        fetched.append(key)
        return get(key, **options)

    library.store.get = count  # type: ignore[method-assign]
    library.restore(backup, Distant())

    bundles = [key for key in fetched if key.startswith("files/")]
    assert len(bundles) == len(set(bundles))
