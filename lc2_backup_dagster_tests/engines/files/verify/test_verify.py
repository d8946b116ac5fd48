import hashlib

import pytest

from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.verify.proof_sets import known_hashes
from lc2_backup_dagster.model.errors import AccessDenied
from lc2_backup_dagster_tests.engines.files.library import SITE, Library, all_of_a_library, fill
from lc2_backup_dagster_tests.fakes import MemoryStore

pytestmark = pytest.mark.usefixtures("small_sizes")


@pytest.fixture
def backup(library: Library, source: MemoryStore) -> str:
    fill(source, all_of_a_library())
    return library.capture()


def objects_of(library: Library, backup: str) -> dict[str, set[str]]:
    """Return object key → files that need it."""
    needed: dict[str, set[str]] = {}
    for entry in library.entries(backup):
        for key, _ in entry.stored_objects(SITE):
            needed.setdefault(key, set()).add(entry.key)
    return needed


def test_a_sound_backup_is_sound_and_every_object_is_read_once(library: Library, backup: str) -> None:
    found = library.verify(backup)

    assert (found.damaged_count, found.files) == (0, len(all_of_a_library()))
    assert found.objects == found.read_objects == len(objects_of(library, backup))


def test_a_bit_flipped_in_any_object_is_found_and_named_with_its_files(library: Library, backup: str) -> None:
    for key, files in objects_of(library, backup).items():
        whole = library.store.objects[key]
        if not whole[0]:
            continue
        middle = len(whole[0]) // 2
        flipped = whole[0][:middle] + bytes([whole[0][middle] ^ 4]) + whole[0][middle + 1 :]
        etag = hashlib.md5(flipped).hexdigest()
        library.store.objects[key] = (flipped, type(whole[1])(key, len(flipped), whole[1].modified, etag))

        found = library.verify(backup)

        assert [each.key for each in found.damaged] == [key]
        assert found.damaged[0].file_count == len(files)
        assert set(found.damaged[0].files) <= files and not found.damaged[0].missing
        library.store.objects[key] = whole


@pytest.mark.parametrize("deep", [True, False])
def test_missing_and_shortened_objects_are_found_without_reading(library: Library, backup: str, deep: bool) -> None:
    needed = list(objects_of(library, backup))
    gone, cut = needed[0], needed[-1]
    body, info = library.store.objects[cut]
    library.store.objects[cut] = (body[:-1], type(info)(cut, len(body) - 1, info.modified, info.etag))
    library.store.delete([gone])

    found = library.verify(backup, deep=deep)

    assert {each.key: each.missing for each in found.damaged} == {gone: True, cut: False}
    assert (found.read_objects > 0) is deep


def test_the_first_reading_of_a_server_side_copy_tells_its_hash(library: Library, backup: str) -> None:
    found = library.verify(backup, keep=True)

    assert found.hashed_pending == 2
    with known_hashes(library.repository) as known:
        hashes = {each.file: each.sha256 for each in known}
    assert hashes["public/photo.jpg"] == hashlib.sha256(all_of_a_library()["public/photo.jpg"]).hexdigest()


def test_a_repository_that_must_not_be_read_is_not_called_damaged(library: Library, backup: str) -> None:
    get = library.store.get

    def refuse(key: str, **options: object) -> bytes:
        if key.startswith("files/"):
            raise AccessDenied("403")
        return get(key, **options)

    library.store.get = refuse  # type: ignore[method-assign]
    found = library.verify(backup)
    sealed = found.objects - 2  # the copies made by the store are read by other means

    assert (found.damaged_count, found.refused.count, found.read_objects) == (0, sealed, 2)


def test_a_repository_that_refuses_everything_ends_the_verification(library: Library, backup: str) -> None:
    def refuse(*key: str, **options: object) -> None:
        raise AccessDenied("403")

    library.repository.read_sealed = refuse  # type: ignore[method-assign]
    library.store.open = refuse  # type: ignore[method-assign]
    with pytest.raises(AccessDenied, match="refuses to be read: 403"):
        library.verify(backup)


def test_parts_of_a_file_swapped_in_the_store_are_found(library: Library, backup: str) -> None:
    entry = next(entry for entry in library.entries(backup) if entry.key == "big/several")
    one, two = (object_key(SITE, entry.location.identity, part=number) for number in (0, 1))
    objects = library.store.objects
    (first, first_info), (second, second_info) = objects[one], objects[two]
    objects[one], objects[two] = (second, first_info), (first, second_info)

    assert {each.key for each in library.verify(backup).damaged} == {one, two}
