"""A capture killed between any two writes, and the run after it."""

from itertools import count

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.engines.files.capture.journal import journal_prefix, read_journals
from lc2_backup_dagster.engines.files.manifest.identity import files_prefix
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.engines.files.library import (
    SITE,
    Library,
    all_of_a_library,
    facts_of,
    fill,
    store_below_public,
)
from lc2_backup_dagster_tests.fakes import DyingStore, Killed, MemoryStore, SetClock

pytestmark = pytest.mark.usefixtures("small_sizes")

ONE_BY_ONE = Limits(max_concurrency=1, journal_entries=3)


def a_library(key: KeyFile | None) -> tuple[MemoryStore, DyingStore, Library]:
    clock = SetClock()
    source, store = MemoryStore(clock), DyingStore(clock)
    fill(source, all_of_a_library())
    return source, store, Library(source, store, key=key, clock=clock, protection_of=store_below_public)


def die(library: Library, store: DyingStore, *, after: int) -> None:
    store.writes_left = after
    with pytest.raises(Killed):
        library.capture(limits=ONE_BY_ONE)
    store.revive()


def die_at_the_manifest(library: Library, store: DyingStore) -> None:
    """Kill the run when all contents are stored; the last of them may not stand in the journal."""
    write = store._write

    def die_there(key: str, *rest: object):
        if key.endswith("/manifest.json"):
            store.writes_left = 0
        return write(key, *rest)

    store._write = die_there  # type: ignore[method-assign]
    with pytest.raises(Killed):
        library.capture(limits=ONE_BY_ONE)
    store._write = write  # type: ignore[method-assign]
    store.revive()


def test_a_capture_killed_at_any_write_is_not_listed_and_the_next_one_completes_it(key: KeyFile) -> None:
    copied: list[int] = []
    for after in count():
        source, store, library = a_library(key)
        store.writes_left = after
        try:
            library.capture(limits=ONE_BY_ONE)
            break  # it was not killed: every write before was
        except Killed:
            store.revive()
        assert library.repository.backups() == []

        backup = library.capture(limits=ONE_BY_ONE)

        target = MemoryStore()
        library.restore(backup, target)
        assert facts_of(target) == facts_of(source), f"killed after {after} writes"
        assert library.verify(backup).damaged_count == 0
        assert library.done.counts.resumed + library.done.counts.copied_objects == len(all_of_a_library())
        copied.append(library.done.counts.copied_objects)
    assert len(copied) > 25
    assert min(copied) < len(all_of_a_library()) / 3


def test_a_capture_killed_again_and_again_goes_on_where_each_one_was(key: KeyFile) -> None:
    source, store, library = a_library(key)
    for after in (8, 12, 10, 14):
        die(library, store, after=after)

    backup = library.capture()

    assert library.done.counts.resumed > 20
    target = MemoryStore()
    library.restore(backup, target)
    assert facts_of(target) == facts_of(source)


def test_a_file_changed_since_the_killed_run_is_copied_again(key: KeyFile) -> None:
    source, store, library = a_library(key)
    die_at_the_manifest(library, store)
    library.clock.move(seconds=90)
    fill(source, {"20097/00001/1.0": b"changed after the kill", "public/photo.jpg": b"changed too"})

    backup = library.capture()

    assert library.done.counts.copied_objects < 10
    target = MemoryStore()
    library.restore(backup, target)
    assert facts_of(target) == facts_of(source)


def killed_late(key: KeyFile) -> tuple[MemoryStore, DyingStore, Library, str]:
    source, store, library = a_library(key)
    die_at_the_manifest(library, store)
    dead = next(iter(library.repository.log.history().running))
    return source, store, library, dead


@pytest.mark.parametrize("damage", [lambda body: body[:-9], lambda body: b"", lambda body: b"\0" + body[1:]])
def test_a_damaged_journal_costs_only_copying_again_and_is_reported(key: KeyFile, damage) -> None:
    source, store, library, dead = killed_late(key)
    journal = [found.key for found in store.list(journal_prefix(SITE, dead))][-1]
    store.objects[journal] = (damage(store.objects[journal][0]), store.objects[journal][1])

    backup = library.capture()

    assert library.done.damaged_journals == (journal,)
    assert library.done.counts.resumed > 10
    target = MemoryStore()
    library.restore(backup, target)
    assert facts_of(target) == facts_of(source)


def test_a_journal_without_encryption_is_guarded_by_its_own_hash() -> None:
    import zstandard

    source, store, library = a_library(None)
    die(library, store, after=12)
    dead = next(iter(library.repository.log.history().running))
    journal = next(found.key for found in store.list(journal_prefix(SITE, dead)))
    plain = zstandard.ZstdDecompressor().decompress(store.objects[journal][0])
    forged = zstandard.ZstdCompressor().compress(plain.replace(b'"s":', b'"s":1', 1))
    store.objects[journal] = (forged, store.objects[journal][1])

    with read_journals(library.repository, [dead], scratch=None) as finished:
        assert finished.damaged == [journal]

    target = MemoryStore()
    library.restore(library.capture(), target)
    assert facts_of(target) == facts_of(source)


def test_what_a_journal_names_but_the_store_lost_is_copied_again(key: KeyFile) -> None:
    source, store, library, _ = killed_late(key)
    lost = [found.key for found in store.list(files_prefix(SITE))]
    store.delete(lost[::2])
    cut = lost[1]
    store.objects[cut] = (
        b"",
        type(store.objects[cut][1])(cut, 0, store.clock.now()),
    )

    backup = library.capture()

    target = MemoryStore()
    library.restore(backup, target)
    assert facts_of(target) == facts_of(source)
    assert library.verify(backup).damaged_count == 0


def test_a_finished_attempt_leaves_nothing_to_resume(key: KeyFile) -> None:
    _, _, library = a_library(key)
    library.capture()

    with library.repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt:
        assert attempt.resumes == ()
