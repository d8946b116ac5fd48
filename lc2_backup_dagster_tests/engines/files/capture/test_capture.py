from collections.abc import Iterator
from datetime import timedelta

import pytest

from lc2_backup_dagster.engines.files.capture.capture import FileSource, capture_files
from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, Parts, Protection
from lc2_backup_dagster.engines.files.manifest.identity import files_prefix
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import AccessDenied, ConfigurationError, Fenced, StoreUnavailable
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.engines.files.faults import CopyingFrom, Outage, Troubled, Unordered
from lc2_backup_dagster_tests.engines.files.library import (
    SITE,
    Library,
    all_of_a_library,
    facts_of,
    fill,
    only_store,
    store_below_public,
)
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

pytestmark = pytest.mark.usefixtures("small_sizes")


@pytest.fixture
def troubled(clock: SetClock) -> Troubled:
    return Troubled(clock)


@pytest.fixture
def destination(clock: SetClock) -> CopyingFrom:
    return CopyingFrom(clock)


@pytest.fixture
def shaky(troubled: Troubled, destination: CopyingFrom, key, clock: SetClock) -> Library:
    return Library(troubled, destination, key=key, clock=clock, protection_of=store_below_public)


def stored_keys(library: Library) -> Iterator[str]:
    return (found.key for found in library.store.list(files_prefix(SITE)))


def test_every_kind_of_file_comes_back_byte_for_byte_with_its_metadata(library: Library, source: MemoryStore) -> None:
    fill(source, all_of_a_library())

    backup = library.capture()
    target = MemoryStore()
    restored = library.restore(backup, target)

    assert facts_of(target) == facts_of(source)
    assert restored.written == restored.selected == len(all_of_a_library())
    entries = {entry.key: entry for entry in library.entries(backup)}
    assert isinstance(entries["20097/00001/1.0"].location, Bundled)
    assert isinstance(entries["public/photo.jpg"].location, Copied)
    assert entries["public/photo.jpg"].location.encryption == "AES256"
    assert entries["public/photo.jpg"].sha256 is None
    several = entries["big/several"].location
    assert isinstance(several, Parts) and [part.plain_bytes for part in several.parts] == [65536] * 4 + [256]
    assert len(library.verify(backup).damaged) == 0


def test_the_second_run_copies_only_what_changed(library: Library, source: MemoryStore, clock: SetClock) -> None:
    fill(source, all_of_a_library())
    library.capture()
    clock.move(hours=1)
    fill(source, {"20097/00007/1.0": b"new", "new": b"n", "public/photo.jpg": b"smaller", "big/several": b"shrunk"})
    source.delete(["empty.txt", "20097/00009/1.0"])

    backup = library.capture()

    counts = library.done.counts
    assert (counts.added, counts.changed, counts.removed) == (1, 3, 2)
    assert (counts.copied_objects, counts.copied_bytes) == (4, 3 + 1 + 7 + 6)
    assert counts.unchanged == len(all_of_a_library()) - 5
    target = MemoryStore()
    library.restore(backup, target)
    assert facts_of(target) == facts_of(source)


def test_an_unchanged_library_costs_no_object(library: Library, source: MemoryStore, clock: SetClock) -> None:
    fill(source, all_of_a_library())
    library.capture()
    before = list(stored_keys(library))
    clock.move(days=1)

    library.capture()

    assert list(stored_keys(library)) == before
    assert library.done.counts.copied_objects == 0
    assert library.done.counts.stored_bytes == 0


def test_the_moment_is_the_interval_of_the_listing(library: Library, source: MemoryStore, clock: SetClock) -> None:
    began = clock.now()
    fill(source, {"a": b"1"})

    library.capture()

    assert library.done.moment.restorable_from == began
    assert library.done.moment.restorable_until == began


def test_more_than_ten_listing_pages_of_files_are_all_captured(library: Library, source: MemoryStore) -> None:
    fill(source, {f"{number:05d}": b"%d" % number for number in range(10_500)})
    progress: list[tuple[int, int]] = []

    backup = library.capture(
        limits=Limits(max_concurrency=3), progress=lambda objects, size: progress.append((objects, size))
    )

    assert [entry.key for entry in library.entries(backup)] == [f"{number:05d}" for number in range(10_500)]
    assert library.verify(backup, deep=False).files == 10_500
    assert progress[-1] == (10_500, sum(len(b"%d" % number) for number in range(10_500)))


def test_a_source_that_lists_out_of_order_is_captured_whole_and_in_order(store, key, clock: SetClock, tmp_path) -> None:
    source = Unordered(clock)
    fill(source, {name: name.encode() for name in ["a", "a/b", "a-b", "a/b/c", "a.b", "a/b-c"]})
    library = Library(source, store, key=key, clock=clock, scratch=tmp_path)

    first, second = library.capture(), library.capture()

    assert [entry.key for entry in library.entries(first)] == sorted(source.objects)
    assert library.done.counts.unchanged == 6
    assert not library.done.listing_ordered
    target = MemoryStore()
    library.restore(second, target)
    assert facts_of(target) == facts_of(source)


def test_a_filter_leaves_files_out_and_counts_them(library: Library, source: MemoryStore) -> None:
    fill(source, {"a": b"1", "thumb/a": b"2"})

    backup = library.capture(include=lambda key: not key.startswith("thumb/"))

    assert [entry.key for entry in library.entries(backup)] == ["a"]
    assert library.done.excluded == 1


@pytest.mark.parametrize("name", ["small", "big/file", "public/file"])
def test_one_unreadable_file_makes_the_backup_partial_and_keeps_the_rest(
    shaky: Library, troubled: Troubled, name: str
) -> None:
    fill(troubled, {**all_of_a_library(), name: b"x" * 70_000 if "/" in name else b"x"})

    def refuse(key: str) -> None:
        if key == name:
            raise AccessDenied("403 on this one")

    troubled.trouble = refuse
    backup = shaky.capture()

    assert shaky.done.partial
    assert shaky.done.counts.unreadable.samples == [(name, "403 on this one")]
    assert {entry.key for entry in shaky.entries(backup)} == all_of_a_library().keys()


def test_a_source_that_refuses_everything_is_no_partial_backup(shaky: Library, troubled: Troubled) -> None:
    fill(troubled, {f"{number:03d}": b"x" for number in range(200)})

    def refuse(key: str) -> None:
        raise AccessDenied("403")

    troubled.trouble = refuse
    with pytest.raises(AccessDenied, match="refuses every file"):
        shaky.capture()
    assert shaky.repository.backups() == []


def test_credentials_that_end_in_the_middle_fail_the_run(shaky: Library, troubled: Troubled) -> None:
    fill(troubled, {f"{number:03d}": b"x" for number in range(200)})

    def refuse(key: str) -> None:
        if key > "100":
            troubled.check_fails = True
            raise AccessDenied("403")

    troubled.trouble = refuse
    with pytest.raises(AccessDenied, match="the credentials have ended"):
        shaky.capture()


def test_a_destination_that_refuses_is_not_blamed_on_the_file(shaky: Library, destination, troubled) -> None:
    fill(troubled, {"public/file": b"x"})

    def refuse(*args: object, **options: object) -> None:
        raise AccessDenied("the repository must not be written")

    destination.copy_from = refuse
    with pytest.raises(AccessDenied, match="the repository must not be written"):
        shaky.capture()


@pytest.mark.parametrize("name", ["small", "big/file", "public/file"])
@pytest.mark.parametrize("size_bytes", [3, 70_000])
def test_a_file_that_changes_between_listing_and_copying_is_captured_as_it_is_now(
    shaky: Library, troubled: Troubled, name: str, size_bytes: int
) -> None:
    fill(troubled, {**all_of_a_library(), name: b"x" * 70_000 if "/" in name else b"x"})
    once = [name]

    def change(key: str) -> None:
        if key in once:
            once.clear()
            shaky.clock.move(seconds=2)
            fill(troubled, {key: b"n" * size_bytes})

    troubled.trouble = change
    backup = shaky.capture()

    assert shaky.done.counts.changed_meanwhile == 1 and not shaky.done.partial
    target = MemoryStore()
    shaky.restore(backup, target)
    assert facts_of(target) == facts_of(troubled)
    assert shaky.capture() and shaky.done.counts.unchanged == shaky.done.counts.objects


@pytest.mark.parametrize("name", ["small", "big/file", "public/file"])
def test_a_file_that_keeps_changing_is_reported_not_mixed(shaky: Library, troubled: Troubled, name: str) -> None:
    fill(troubled, {"other": b"1", name: b"x" * 70_000 if "/" in name else b"x"})
    turns = iter(range(100))

    def change(key: str) -> None:
        if key == name:
            fill(troubled, {key: b"%d" % next(turns)})

    troubled.trouble = change
    backup = shaky.capture()

    assert [key for key, _ in shaky.done.counts.unreadable.samples] == [name]
    assert [entry.key for entry in shaky.entries(backup)] == ["other"]


@pytest.mark.parametrize("name", ["small", "big/file", "public/file"])
def test_a_file_that_vanishes_is_reported_and_no_loss(shaky: Library, troubled: Troubled, name: str) -> None:
    fill(troubled, {"other": b"1", name: b"x" * 70_000 if "/" in name else b"x"})

    def vanish(key: str) -> None:
        if key == name:
            troubled.delete([key])

    troubled.trouble = vanish
    backup = shaky.capture()

    assert shaky.done.counts.vanished.samples == [(name, "")] and not shaky.done.partial
    assert [entry.key for entry in shaky.entries(backup)] == ["other"]


def test_a_file_without_etag_that_changes_while_it_is_read_is_noticed(shaky: Library, troubled: Troubled) -> None:
    fill(troubled, {"small": b"old", "big/file": b"o" * 200_000, "public/file": b"old"})
    for name, (body, info) in list(troubled.objects.items()):
        troubled.objects[name] = (body, type(info)(info.key, info.size_bytes, info.modified))
    left = {"small", "big/file", "public/file"}

    def rewrite(key: str) -> None:
        if key in left:
            left.discard(key)
            body, info = troubled.objects[key]
            modified = info.modified + timedelta(seconds=1)
            troubled.objects[key] = (b"n" * len(body), type(info)(info.key, info.size_bytes, modified))

    troubled.trouble = rewrite
    backup = shaky.capture()

    target = MemoryStore()
    shaky.restore(backup, target)
    assert {key: body for key, (body, _, _) in facts_of(target).items()} == {
        "small": b"nnn",
        "big/file": b"n" * 200_000,
        "public/file": b"nnn",
    }


@pytest.mark.parametrize("name", ["small", "big/file", "public/file"])
def test_a_short_outage_is_waited_out_and_a_long_one_fails_the_run(
    shaky: Library, troubled: Troubled, name: str
) -> None:
    fill(troubled, {name: b"x" * 70_000 if "/" in name else b"x"})

    troubled.trouble = Outage(3)
    shaky.capture()
    assert shaky.done.counts.objects == 1

    shaky.clock.move(seconds=5)
    fill(troubled, {name: b"y" * 70_000 if "/" in name else b"y"})
    troubled.trouble = Outage(1000)
    with pytest.raises(StoreUnavailable):
        shaky.capture()
    assert len(shaky.repository.backups()) == 1


def test_a_server_side_copy_whose_answer_was_lost_is_not_written_twice(
    shaky: Library, troubled: Troubled, destination: CopyingFrom
) -> None:
    fill(troubled, {"public/file": b"x"})
    copy, copies = destination.copy_from, []

    def forget_the_answer(*args: object, **options: object) -> None:
        copies.append(copy(*args, **options))
        raise StoreUnavailable("the answer was lost")

    destination.copy_from = forget_the_answer

    shaky.capture()

    assert len(copies) == 1 and shaky.done.counts.copied_objects == 1


def test_protection_by_the_store_needs_a_store_that_can_copy(source: MemoryStore, key, clock: SetClock) -> None:
    class Elsewhere(MemoryStore):
        def can_copy_from(self, source: object) -> bool:
            return False

    fill(source, {"a": b"1"})
    library = Library(source, Elsewhere(clock), key=key, clock=clock, protection_of=only_store)

    with pytest.raises(ConfigurationError, match=r"files\.protection is 'store'"):
        library.capture()


def test_a_copy_without_encryption_at_rest_is_counted(source: MemoryStore, key, clock: SetClock) -> None:
    class Plain(MemoryStore):
        def _write(self, *args: object):
            info = super()._write(*args)
            plain = type(info)(**{**{f: getattr(info, f) for f in info.__slots__}, "encryption": None})
            self.objects[info.key] = (self.objects[info.key][0], plain)
            return plain

    fill(source, {"a": b"1", "b": b"2"})
    library = Library(source, Plain(clock), key=key, clock=clock, protection_of=only_store)
    library.capture()

    assert library.done.counts.store_copies_unencrypted == 2


def test_changing_the_protection_copies_again(library: Library, source: MemoryStore) -> None:
    fill(source, all_of_a_library())
    library.capture()
    library.protection_of = lambda key: Protection.CLIENT

    backup = library.capture()

    assert library.done.counts.changed == 2
    assert not any(isinstance(entry.location, Copied) for entry in library.entries(backup))


def test_a_superseded_attempt_stops_at_its_next_journal(library: Library, source: MemoryStore) -> None:
    fill(source, all_of_a_library())
    with library.repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt:

        def fenced() -> None:
            raise Fenced("superseded")

        attempt.check_alive = fenced  # type: ignore[method-assign]
        with pytest.raises(Fenced):
            capture_files(
                attempt,
                library.repository,
                FileSource(source, "library"),
                limits=Limits(max_concurrency=1, journal_entries=1),
            )


def test_nothing_in_the_repository_is_ever_overwritten(library: Library, source: MemoryStore, monkeypatch) -> None:
    overwritten: list[str] = []
    write = MemoryStore._write

    def watch(self: MemoryStore, key: str, *rest: object):
        if self is library.store and key in self.objects and not key.startswith("heartbeats/"):
            overwritten.append(key)
        return write(self, key, *rest)

    monkeypatch.setattr(MemoryStore, "_write", watch)
    fill(source, all_of_a_library())
    library.capture()
    fill(source, {"public/photo.jpg": b"changed", "20097/00001/1.0": b"changed"})
    library.capture()
    fill(source, {"public/photo.jpg": b"jpeg" * 30000, "20097/00001/1.0": all_of_a_library()["20097/00001/1.0"]})
    library.capture()

    assert overwritten == []
