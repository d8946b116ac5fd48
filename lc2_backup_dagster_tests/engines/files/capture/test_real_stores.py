"""The whole road on a directory and on an S3 server that lists out of order."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.aws.client import S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.files.manifest.entry import Copied
from lc2_backup_dagster.engines.files.verify.choices import OldestFirst
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import AccessDenied, KeyNotRepresentable
from lc2_backup_dagster_tests.engines.files.library import (
    Library,
    all_of_a_library,
    facts_of,
    fill,
    store_below_public,
)
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

Make = Callable[[], ObjectStore]


@pytest.fixture(params=["directory", "s3"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "directory":
        numbers = iter(range(100))
        return lambda: DirectoryStore(tmp_path / f"store-{next(numbers)}", create=True)
    connection: S3Connection = request.getfixturevalue("s3_connection")
    make_bucket: Callable[[], str] = request.getfixturevalue("make_bucket")
    return lambda: S3Store(connection, make_bucket())


@pytest.mark.usefixtures("small_sizes")
def test_a_library_is_captured_changed_captured_verified_and_restored(make: Make, key: KeyFile, tmp_path: Path) -> None:
    source, store, target = make(), make(), make()
    fill(source, all_of_a_library())
    library = Library(source, store, key=key, clock=SetClock(), protection_of=store_below_public, scratch=tmp_path)

    library.capture()
    first = library.done.counts
    fill(source, {"20097/00007/1.0": b"changed", "new/file": b"n", "public/photo.jpg": b"another"})
    source.delete(["empty.txt"])
    backup = library.capture()

    counts = library.done.counts
    assert first.copied_objects == len(all_of_a_library())
    assert (counts.added, counts.changed, counts.removed, counts.copied_objects) == (1, 2, 1, 3)
    assert counts.unreadable.count == counts.vanished.count == 0
    assert {entry.key for entry in library.entries(backup) if isinstance(entry.location, Copied)} == {
        "public/photo.jpg",
        "public/empty",
    }
    assert library.verify(backup).damaged_count == 0
    library.restore(backup, target)
    assert facts_of(target) == facts_of(source)


@pytest.mark.usefixtures("small_sizes")
def test_results_of_verifications_are_kept_in_the_store_and_used(make: Make, key: KeyFile, tmp_path: Path) -> None:
    source, store = make(), make()
    fill(source, all_of_a_library())
    library = Library(source, store, key=key, clock=SetClock(), protection_of=store_below_public, scratch=tmp_path)
    first = library.capture()
    due = {"keep": True, "choice": lambda now: OldestFirst(due_before=now - 86400)}

    read = library.verify(first, **due, limits=Limits(journal_entries=5))
    again = library.verify(first, **due)
    second = library.capture()

    assert (read.read_objects, read.hashed_pending, read.unkept) == (read.objects, 2, None)
    assert (again.read_objects, again.never_read, again.damaged_count, again.ignored) == (0, 0, 0, {})
    assert library.done.counts.sha256_pending == 0
    assert library.verify(first, second, **due, whole=lambda: True).damaged_count == 0
    assert len({found.key.split("/")[3] for found in store.list("verified/")}) == 3


def test_an_unreadable_file_of_a_directory_makes_the_backup_partial(key: KeyFile, tmp_path: Path) -> None:
    source = DirectoryStore(tmp_path / "library", create=True)
    fill(source, {"a": b"1", "public/b": b"2", "c": b"3"})
    # Not by mode bits: root, as whom the tests may run, reads everything.
    library = Library(
        source,
        DirectoryStore(tmp_path / "repository", create=True),
        key=key,
        clock=SetClock(),
        protection_of=store_below_public,
    )
    opened = source.open

    def refuse(name: str, **options: object):
        if name in ("a", "public/b"):
            raise AccessDenied(f"read '{name}': permission denied")
        return opened(name, **options)

    source.open = refuse  # type: ignore[method-assign]

    backup = library.capture()

    assert {name for name, _ in library.done.counts.unreadable.samples} == {"a", "public/b"}
    assert [entry.key for entry in library.entries(backup)] == ["c"]


def test_a_name_that_is_not_utf8_comes_back_in_a_directory_and_is_refused_elsewhere(
    key: KeyFile, tmp_path: Path, s3_store: S3Store
) -> None:
    source = DirectoryStore(tmp_path / "library", create=True)
    odd = b"odd-\xff-name".decode("utf-8", "surrogateescape")
    fill(source, {odd: b"1", "😀": b"2", "z": b"3"})
    library = Library(source, MemoryStore(), key=key, clock=SetClock())

    backup = library.capture()

    target = DirectoryStore(tmp_path / "target", create=True)
    library.restore(backup, target)
    assert facts_of(target) == facts_of(source)
    with pytest.raises(KeyNotRepresentable):
        library.restore(backup, s3_store)


def test_a_directory_that_is_moved_still_restores(key: KeyFile, tmp_path: Path) -> None:
    source = DirectoryStore(tmp_path / "library", create=True)
    fill(source, {"public/a": b"1" * 5000, "b": b"2"})
    library = Library(
        source,
        DirectoryStore(tmp_path / "repository", create=True),
        key=key,
        clock=SetClock(),
        protection_of=store_below_public,
    )
    backup = library.capture()
    shutil.copytree(tmp_path / "repository", tmp_path / "moved")
    moved = Library(source, DirectoryStore(tmp_path / "moved"), key=key, clock=SetClock())

    target = MemoryStore()
    result = moved.restore(backup, target)

    assert {name: body for name, (body, _, _) in facts_of(target).items()} == {"public/a": b"1" * 5000, "b": b"2"}
    assert [name for name, _ in result.unproven.samples] == ["public/a"]


def test_a_thousand_and_more_objects_on_s3_in_listing_pages(key: KeyFile, s3_store: S3Store, tmp_path: Path) -> None:
    source = DirectoryStore(tmp_path / "library", create=True)
    names = {f"d{number % 7}/{number:05d}.txt": b"%d" % number for number in range(1200)}
    for name, body in names.items():
        path = tmp_path / "library" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)
    library = Library(source, s3_store, key=key, clock=SetClock())

    backup = library.capture(limits=Limits())

    assert {entry.key for entry in library.entries(backup)} == names.keys()
    target = MemoryStore()
    library.restore(backup, target)
    assert {name: body for name, (body, _, _) in facts_of(target).items()} == names
