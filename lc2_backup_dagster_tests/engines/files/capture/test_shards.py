"""A library cut by prefixes: listed, captured and put together, whatever dies in between."""

from dataclasses import replace
from itertools import count

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.engines.files.capture.capture import FileSource, capture_files
from lc2_backup_dagster.engines.files.capture.counts import SAMPLES, Sampled
from lc2_backup_dagster.engines.files.capture.shard_merge import merge_shards
from lc2_backup_dagster.engines.files.capture.shard_results import ShardResult, merged_counts, read_result, write_result
from lc2_backup_dagster.engines.files.capture.shards import WHOLE, Lane, Shard, list_shard, result_key, shards_of
from lc2_backup_dagster.engines.files.manifest.entry import STREAM, FileEntry, encode_entries
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import ConfigurationError, Fenced, ManifestCorrupt, PartCorrupt, PartMissing
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.repository.canonical import sha256
from lc2_backup_dagster.repository.lease import PAUSE_SECONDS
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.engines.files.faults import Unordered
from lc2_backup_dagster_tests.engines.files.library import (
    AT_ONCE,
    SITE,
    Library,
    all_of_a_library,
    facts_of,
    fill,
    store_below_public,
)
from lc2_backup_dagster_tests.fakes import DyingStore, Killed, MemoryStore, SetClock

pytestmark = pytest.mark.usefixtures("small_sizes")
CUT = ("20097/0001", "20097/0003", "public/")
ONE_BY_ONE = Limits(max_concurrency=1, journal_entries=3)


class Sharded:
    """The steps of one capture in shards, each as its own process would do it."""

    def __init__(self, library: Library, cut: tuple[str, ...] = CUT) -> None:
        self.library = library
        self.shards = shards_of(cut)

    def begin(self) -> str:
        library = self.library
        bases = [each.backup_id for each in library.repository.backups(Component.FILES)][-1:]
        with library.repository.begin(
            Component.FILES,
            window=None,
            initiator=TESTER,
            bases=bases,
            sleep=lambda seconds: library.clock.move(seconds=seconds),
        ) as attempt:
            attempt.hand_over()
        return attempt.backup_id

    def join(self):
        running = self.library.repository.log.history().holder(Component.FILES)
        assert running is not None
        return self.library.repository.join(running, initiator=TESTER)

    def capture(self, number: int, *, lane: Lane | None = None) -> ShardResult:
        library, shard = self.library, self.shards[number]
        with self.join() as attempt:
            previous = [entry for base in attempt.bases for entry in library.entries(base) if entry.key in shard]
            captured = capture_files(
                attempt,
                library.repository,
                FileSource(library.source, "library", shard=shard, protection_of=library.protection_of),
                previous=previous,
                lane=lane or Lane(shard),
                scratch=library.scratch,
                limits=ONE_BY_ONE,
                patience=AT_ONCE,
            )
            key_id = library.repository.sealer.key_id
            return write_result(attempt, library.repository, ShardResult(attempt.backup_id, shard, key_id, captured))

    def results(self) -> list[ShardResult]:
        attempt_id = self.join().backup_id
        found = [read_result(self.library.repository, attempt_id, shard) for shard in self.shards]
        return [each for each in found if each is not None]

    def commit(self) -> str:
        with self.join() as attempt:
            captured = merge_shards(attempt, self.library.repository, self.results())
            self.library.last = captured
            kind = BackupKind.INCREMENTAL if attempt.bases else BackupKind.FULL
            return attempt.commit(a_draft(kind=kind, window=None, streams=captured.streams)).backup_id

    def all(self) -> str:
        self.begin()
        for number in reversed(range(len(self.shards))):
            self.capture(number)
        return self.commit()


@pytest.fixture
def filled(source: MemoryStore) -> MemoryStore:
    fill(source, all_of_a_library())
    return source


@pytest.fixture
def sharded(library: Library, filled: MemoryStore) -> Sharded:
    return Sharded(library)


def facts_in(entries: list[FileEntry]) -> list[tuple[object, ...]]:
    return [(each.key, each.size_bytes, each.modified, each.etag, each.sha256) for each in entries]


@given(st.sets(st.text("ab/", min_size=1, max_size=4), max_size=5), st.text("ab/c", max_size=8))
def test_every_key_belongs_to_one_shard(prefixes: set[str], key: str) -> None:
    overlap = any(one != other and one.startswith(other) for one in prefixes for other in prefixes)
    if overlap:
        with pytest.raises(ConfigurationError, match="overlap"):
            shards_of(sorted(prefixes))
        return
    shards = shards_of(sorted(prefixes, reverse=True))
    assert sum(key in shard for shard in shards) == 1
    assert [shard.number for shard in shards] == list(range(len(prefixes) + 1))


def test_a_cut_that_makes_no_sense_is_refused() -> None:
    for prefixes, reason in (
        (["a", ""], "empty"),
        (["b/", "a", "b/c"], "'b/' and 'b/c' overlap"),
        (["a", "a"], "over"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            shards_of(prefixes)
    assert [str(shard) for shard in shards_of(["b", "a"])] == ["'a'", "'b'", "the rest"]
    assert shards_of([]) == (WHOLE,)


class Counting(MemoryStore):
    """Counts what a listing hands out."""

    handed = 0

    def list(self, prefix: str = "", *, start_after: str | None = None):
        for found in super().list(prefix, start_after=start_after):
            self.handed += 1
            yield found


@pytest.mark.parametrize("kind", [Counting, Unordered])
def test_the_shards_together_list_everything_once(kind, clock: SetClock) -> None:
    store = kind(clock)
    store.capabilities = replace(store.capabilities, ordered_listing=kind is Counting)
    keys = ["", *(f"{number:02d}" for number in range(30)), "\U0010ffff", "\U0010ffff\U0010ffffz", "zzz"]
    for folder in ("a", "a/", "b/", "b0", "c/\U0010ffff", "c/", "d"):
        fill(store, {folder + key: b"" for key in keys if folder + key})
    shards = shards_of(["b/", "c/", "a/1"])
    listed = [[found.key for found in list_shard(store, shard)] for shard in shards]
    assert sorted(key for of_shard in listed for key in of_shard) == sorted(store.objects)
    for shard, of_shard in zip(shards, listed, strict=True):
        assert all(key in shard for key in of_shard)


def test_the_rest_does_not_ask_for_what_belongs_to_others(clock: SetClock) -> None:
    store = Counting(clock)
    fill(store, {f"{folder}/{number}": b"" for folder in "abc" for number in range(200)})
    assert len(list(list_shard(store, shards_of(["b/"])[-1]))) == 400
    assert store.handed == 401, "one key told that others' begin, and the listing went on behind them"


def test_a_capture_in_shards_is_the_same_backup_as_one_in_one_piece(sharded: Sharded, filled: MemoryStore) -> None:
    library = sharded.library
    backup = sharded.all()
    target = MemoryStore()
    library.restore(backup, target)
    assert facts_of(target) == facts_of(filled)
    assert library.verify(backup).damaged_count == 0
    counts = library.done.counts
    assert (counts.objects, counts.added) == (len(filled.objects), len(filled.objects))
    assert counts.size_bytes == sum(info.size_bytes for _, info in filled.objects.values())

    clock = SetClock()
    whole = Library(filled, DyingStore(clock), key=None, clock=clock, protection_of=library.protection_of)
    assert facts_in(list(library.entries(backup))) == facts_in(list(whole.entries(whole.capture())))


def test_the_next_capture_in_shards_copies_only_what_changed(sharded: Sharded, filled: MemoryStore) -> None:
    sharded.all()
    sharded.library.clock.move(seconds=90)
    fill(filled, {"20097/00031/1.0": b"changed", "public/new": b"added", "zz": b"added"})
    filled.delete(["20097/00012/1.0"])
    backup = sharded.all()
    counts = sharded.library.done.counts
    assert (counts.added, counts.changed, counts.removed, counts.copied_objects) == (2, 1, 1, 3)
    target = MemoryStore()
    sharded.library.restore(backup, target)
    assert facts_of(target) == facts_of(filled)


def test_another_cut_and_none_share_what_is_there(sharded: Sharded, filled: MemoryStore) -> None:
    sharded.all()
    Sharded(sharded.library, ("big/",)).all()
    assert sharded.library.done.counts.copied_objects == 0
    sharded.library.capture()
    assert sharded.library.done.counts.copied_objects == 0
    assert sharded.library.done.counts.unchanged == len(filled.objects)


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_shard_killed_at_any_write_goes_on_alone_and_copies_nothing_again(key: KeyFile, number: int) -> None:
    copied: list[int] = []
    for after in count():
        clock = SetClock()
        source, store = MemoryStore(clock), DyingStore(clock)
        fill(source, all_of_a_library())
        sharded = Sharded(Library(source, store, key=key, clock=clock, protection_of=store_below_public))
        sharded.begin()
        for other in {0, 1, 2, 3} - {number}:
            sharded.capture(other)
        store.writes_left = after
        try:
            sharded.capture(number)
            break  # it was not killed: every write before was
        except Killed:
            store.revive()
        assert sharded.library.repository.backups() == []

        result = sharded.capture(number)

        counts = result.capture.counts
        assert counts.resumed + counts.copied_objects == counts.objects
        backup = sharded.commit()
        target = MemoryStore()
        sharded.library.restore(backup, target)
        assert facts_of(target) == facts_of(source), f"killed after {after} writes"
        assert sharded.library.verify(backup).damaged_count == 0
        copied.append(counts.copied_objects)
    assert len(copied) > 5
    if number == 3:
        assert min(copied) < result.capture.counts.objects / 2, "what its journal names was not copied again"


def test_a_shard_reads_its_own_journal_only_and_all_of_a_dead_attempt(sharded: Sharded) -> None:
    library = sharded.library
    dead = sharded.begin()
    sharded.capture(0)
    sharded.capture(3)
    library.clock.move(seconds=PAUSE_SECONDS + 1)
    assert sharded.begin() != dead
    with sharded.join() as attempt:
        assert attempt.resumes == (dead,)
    for number, done in ((0, True), (1, False), (3, True)):
        counts = sharded.capture(number).capture.counts
        assert (counts.resumed == counts.objects) is done
        assert counts.resumed + counts.copied_objects == counts.objects


def test_a_step_that_was_given_up_never_meets_the_one_that_took_its_place(sharded: Sharded, store: DyingStore) -> None:
    """Two processes capture one shard at once; both write all of it, and whoever is first counts."""
    sharded.begin()
    first, second = Lane(sharded.shards[3]), Lane(sharded.shards[3])
    before = set(store.objects)
    mine = sharded.capture(3, lane=first)
    between = set(store.objects)
    writes: list[str] = []
    put = store.put

    def watched(key: str, body: bytes, *, create_only: bool = True):
        writes.append(key)
        return put(key, body, create_only=create_only)

    store.put = watched  # type: ignore[method-assign]
    # Without its journal nothing is taken over: this is what a process does that was there from the start.
    journals = [key for key in between if "/journal/" in key]
    for key in journals:
        del store.objects[key]
    late = sharded.capture(3, lane=second)

    assert late == mine, "the result that was there first"
    overwritten = {key for key in writes if not key.startswith("heartbeats/")} & (between - before)
    assert overwritten <= {*journals, result_key(SITE, mine.attempt_id, mine.shard)}
    for number in range(3):
        sharded.capture(number)
    assert sharded.library.verify(sharded.commit()).damaged_count == 0


def test_a_shard_of_a_superseded_attempt_is_fenced(sharded: Sharded) -> None:
    sharded.begin()
    late = sharded.join()
    sharded.library.clock.move(seconds=PAUSE_SECONDS + 1)
    backup = sharded.all()
    with pytest.raises(Fenced, match="committed|superseded"), late:
        pass
    assert [each.backup_id for each in sharded.library.repository.backups()] == [backup]


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_result_of_another_attempt_is_never_taken_for_this_ones(key: KeyFile, encrypted: bool) -> None:
    clock = SetClock()
    source, store = MemoryStore(clock), DyingStore(clock)
    fill(source, all_of_a_library())
    sharded = Sharded(Library(source, store, key=key if encrypted else None, clock=clock))
    stale = sharded.begin()
    sharded.capture(0)
    clock.move(seconds=PAUSE_SECONDS + 1)
    current = sharded.begin()
    assert read_result(sharded.library.repository, current, sharded.shards[0]) is None
    moved = result_key(SITE, current, sharded.shards[0])
    store.objects[moved] = store.objects[result_key(SITE, stale, sharded.shards[0])]
    with pytest.raises((PartCorrupt, ManifestCorrupt), match="does not decrypt|is the result of"):
        read_result(sharded.library.repository, current, sharded.shards[0])
    # Nor is one of another shard, nor of a shard that was cut otherwise.
    for shard in (sharded.shards[1], Shard(0, "elsewhere/")):
        store.objects[result_key(SITE, stale, shard)] = store.objects[result_key(SITE, stale, sharded.shards[0])]
        with pytest.raises((PartCorrupt, ManifestCorrupt)):
            read_result(sharded.library.repository, stale, shard)


def ready(sharded: Sharded) -> str:
    attempt_id = sharded.begin()
    for number in range(len(sharded.shards)):
        sharded.capture(number)
    return attempt_id


def test_a_damaged_result_is_no_result(key: KeyFile) -> None:
    clock = SetClock()
    source, store = MemoryStore(clock), DyingStore(clock)
    fill(source, {"a": b"1"})
    sharded = Sharded(Library(source, store, key=None, clock=clock))
    attempt_id = ready(sharded)
    name = result_key(SITE, attempt_id, sharded.shards[3])
    plain = zstandard.ZstdDecompressor().decompress(store.objects[name][0])
    changed = [plain.replace(b'"objects":1', b'"objects":2'), plain[:-1], b""]
    wrong = b'{"attempt":1}'
    for body in (*changed, wrong + b"\n" + sha256(wrong).encode() + b"\n"):
        store.objects[name] = (zstandard.ZstdCompressor().compress(body), store.objects[name][1])
        with pytest.raises(ManifestCorrupt, match=r"shards/003 .* (cut or damaged|is no result)"):
            read_result(sharded.library.repository, attempt_id, sharded.shards[3])
    with pytest.raises(ManifestCorrupt):
        sharded.capture(3)  # what lies there is nobody's result: an alarm, and nothing takes its place


@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_a_damaged_part_of_a_shards_manifest_stops_the_commit(sharded: Sharded, store: DyingStore, damage) -> None:
    ready(sharded)
    name = next(key for key in store.objects if "/shard-001" in key)
    if damage == "gone":
        del store.objects[name]
    else:
        body, info = store.objects[name]
        store.objects[name] = (body[:-1] + bytes([body[-1] ^ 1]), info)
    with pytest.raises(PartMissing if damage == "gone" else PartCorrupt, match="shard-001"):
        sharded.commit()
    assert sharded.library.repository.backups() == []


def rewritten(sharded: Sharded, result: ShardResult, lines: bytes) -> ShardResult:
    """Return the result with another stream, whole in itself."""
    with sharded.join() as attempt:
        with attempt.stream_writer(f"shard-forged-{len(lines)}") as writer:
            writer.write(lines)
        return replace(result, capture=replace(result.capture, streams=(writer.stream,)))


def merge(sharded: Sharded, results: list[ShardResult]) -> None:
    with sharded.join() as attempt:
        merge_shards(attempt, sharded.library.repository, results)


def test_what_does_not_fit_together_is_not_put_together(sharded: Sharded, filled: MemoryStore) -> None:
    backup = sharded.all()
    entries = list(sharded.library.entries(backup))
    ready(sharded)
    results = sharded.results()
    mine = [entry for entry in entries if entry.key in sharded.shards[0]]
    for wrong, reason in (
        (mine[:-1], f"has {len(mine) - 1} lines, its result says {len(mine)}"),
        ([*mine[:-1], entries[-1]], "does not belong to '20097/0001'"),
        ([mine[1], mine[0], *mine[2:]], "out of order"),
        ([mine[0], mine[0], *mine[2:]], "out of order"),
    ):
        forged = rewritten(sharded, results[0], encode_entries(wrong))
        with pytest.raises(ManifestCorrupt, match=reason):
            merge(sharded, [forged, *results[1:]])


def test_a_line_that_is_written_otherwise_is_read_all_the_same(sharded: Sharded) -> None:
    ready(sharded)
    results = sharded.results()
    sharded.commit()
    lines = encode_entries(
        entry for entry in sharded.library.entries(results[0].attempt_id) if entry.key in sharded.shards[0]
    )
    ready(sharded)
    results = sharded.results()
    spaced = lines.replace(b'{"k":', b'{ "k": ')
    merge(sharded, [rewritten(sharded, results[0], spaced), *results[1:]])


def test_an_empty_library_and_empty_shards_make_an_empty_backup(library: Library) -> None:
    sharded = Sharded(library)
    backup = sharded.all()
    assert list(library.entries(backup)) == []
    assert library.repository.manifest(backup).stream(STREAM).plain_bytes == 0


def test_a_commit_killed_at_any_write_is_made_once(key: KeyFile) -> None:
    for after in count():
        clock = SetClock()
        source, store = MemoryStore(clock), DyingStore(clock)
        fill(source, all_of_a_library())
        sharded = Sharded(Library(source, store, key=key, clock=clock, protection_of=store_below_public))
        attempt_id = ready(sharded)
        store.writes_left = after
        try:
            sharded.commit()
            break
        except Killed:
            store.revive()
        if not sharded.library.repository.backups():  # else the process died when the commit was made
            clock.move(seconds=30)
            sharded.commit()
        assert [each.backup_id for each in sharded.library.repository.backups()] == [attempt_id]
        target = MemoryStore()
        sharded.library.restore(attempt_id, target)
        assert facts_of(target) == facts_of(source), f"killed after {after} writes"
    assert after > 2


def test_numbers_of_shards_are_added_and_samples_bounded(sharded: Sharded) -> None:
    ready(sharded)
    captures = [result.capture for result in sharded.results()]
    for capture in captures:
        capture.counts.unreadable = Sampled()
        for number in range(SAMPLES // 2 + 1):
            capture.counts.unreadable.add(str(number), "refused")
    total = merged_counts(captures)
    assert total.objects == sum(capture.counts.objects for capture in captures)
    assert total.unreadable.count == len(captures) * (SAMPLES // 2 + 1)
    assert len(total.unreadable.samples) == SAMPLES


def test_the_moment_is_that_of_all_listings(sharded: Sharded) -> None:
    begun = sharded.library.clock.now()
    sharded.begin()
    for number in range(4):
        sharded.capture(number)
        sharded.library.clock.move(minutes=10)
    sharded.commit()
    moment = sharded.library.done.moment
    assert moment.restorable_from == begun
    assert (moment.restorable_until - begun).total_seconds() == 3 * 600
    assert sharded.library.done.last_begun == moment.restorable_until
