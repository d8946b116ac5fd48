"""What is never purged: each refusal names what is in the way and what to do, and leaves everything as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from lc2_backup_dagster.engines.files.capture.capture import FileSource, capture_files
from lc2_backup_dagster.engines.files.capture.journal import Journal, journal_prefix
from lc2_backup_dagster.engines.files.manifest.entry import encode_entries, encode_entry
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import (
    Fenced,
    FormatNotSupported,
    LogCorrupt,
    ManifestCorrupt,
    PartCorrupt,
    PartMissing,
    PurgeRefused,
)
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.purge.files import GRACE, purge_backups
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.parts import put_sealed
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_backup, a_draft
from lc2_backup_dagster_tests.engines.files.library import AT_ONCE, SITE, Library
from lc2_backup_dagster_tests.engines.files.stepping import SteppingStore
from lc2_backup_dagster_tests.fakes import DyingStore, Killed
from lc2_backup_dagster_tests.operations.purging import RememberedLibrary

pytestmark = pytest.mark.usefixtures("small_sizes")


@contextmanager
def refused(past: RememberedLibrary, kind: type[Exception], match: str) -> Iterator[None]:
    """Nothing may change but lists that no record names."""
    before = {key: body for key, (body, _) in past.store.objects.items()}
    with pytest.raises(kind, match=match) as told:
        yield
    assert "nothing was purged" in str(told.value).lower() or "nothing was deleted" in str(told.value).lower()
    after = {key: body for key, (body, _) in past.store.objects.items() if not key.startswith("purges/")}
    assert after == before


def tell(past: RememberedLibrary, type: RecordType, **body: object) -> None:
    past.repository.tell(type, initiator=TESTER, body=body)


def test_a_backup_that_has_not_expired(past):
    first = past.capture()
    with refused(past, PurgeRefused, f"{first} has not expired; hint: expire it first"):
        past.purge(first)


def test_a_backup_that_was_undeleted(past):
    first = past.capture()
    past.expire(first)
    tell(past, RecordType.UNDELETE, backup_ids=[first])
    with refused(past, PurgeRefused, "has not expired"):
        past.purge(first)


def test_a_held_backup(past):
    first, second = past.capture(), past.capture()
    tell(past, RecordType.HOLD, backup_id=first, reason="audit 2026")
    past.expire(first, second)
    with refused(past, PurgeRefused, f"{first} is held .audit 2026.; hint: release the hold"):
        past.purge(second, first)
    tell(past, RecordType.RELEASE, backup_id=first, reason="audit 2026")
    past.purge(second, first)


@pytest.mark.parametrize("what", ["undelete", "hold"])
def test_what_comes_while_a_purge_is_planned_is_heard(past, what):
    """Before every call in turn: it is refused, or was too late for a purge that the log names already."""
    first = past.capture()
    past.change(a__1=b"x")
    past.capture()
    past.expire(first)
    heard, number, calls = 0, 0, 1
    while number < calls:
        here = past.copy()
        bodies = {"undelete": {"backup_ids": [first]}, "hold": {"backup_id": first, "reason": "audit"}}

        def meanwhile(current: int, call: str, key: str, *, here=here, at=number, bodies=bodies) -> None:
            if current == at and not here.repository.log.history().purges:
                tell(here, RecordType(what), **bodies[what])

        store = SteppingStore(here.store, meanwhile)
        try:
            purge_backups(here.seen_through(store), [first], initiator=TESTER)
            assert here.repository.log.history().backups.keys().isdisjoint({first})
        except PurgeRefused:
            heard += 1
            assert here.contents() == past.contents()
        here.assert_every_backup_restores(number)
        calls, number = max(calls, len(store.calls)), number + 1
    assert heard > 15


def test_every_reason_is_named_at_once(past):
    first, second = past.capture(), past.capture()
    tell(past, RecordType.HOLD, backup_id=second, reason="audit")
    with refused(past, PurgeRefused, f"{first} has not expired; {second} has not expired; {second} is held"):
        past.purge(first, second)


def test_a_base_of_a_live_attempt_and_then_of_a_dead_one(past):
    """The attempt began before its base expired; a capture that is killed holds it up for the grace, no longer."""
    first = past.capture()
    attempt = past.repository.begin(Component.FILES, window=None, initiator=TESTER, bases=[first]).__enter__()
    past.expire(first)
    with refused(past, PurgeRefused, f"{first} is a base of attempt {attempt.backup_id} of tester .*may still run"):
        past.purge(first)
    past.clock.move(seconds=(GRACE - timedelta(minutes=2)).total_seconds())
    with refused(past, PurgeRefused, "may still run"):
        past.purge(first)

    past.clock.move(minutes=3)
    past.purge(first)

    with pytest.raises(Fenced, match=f"bases {first} expired or were purged"):
        attempt.commit(a_draft())
    attempt.__exit__(None, None, None)


def test_a_base_of_an_attempt_without_a_heartbeat_counts_from_its_begin(past):
    first = past.capture()
    attempt = past.repository.begin(Component.FILES, window=None, initiator=TESTER, bases=[first]).__enter__()
    attempt._heartbeat.stop()
    past.expire(first)
    with refused(past, PurgeRefused, "may still run"):
        past.purge(first)
    past.clock.move(days=2)
    past.purge(first)


@pytest.mark.parametrize("skew_minutes", [-60, 60])
def test_the_hosts_clock_says_nothing_about_attempts(past, skew_minutes):
    """L-24: the purging host is an hour off; ages are the store's."""
    first = past.capture()
    attempt = past.repository.begin(Component.FILES, window=None, initiator=TESTER, bases=[first]).__enter__()
    past.expire(first)
    past.clock.move(hours=23)
    past.library()  # of a host whose clock is off
    other = type(past.clock)(past.clock.now() + timedelta(minutes=skew_minutes))
    skewed = RememberedLibrary(past.store, past.key, other, past.truths)
    with refused(past, PurgeRefused, "may still run"):
        skewed.purge(first)
    attempt.__exit__(None, None, None)


def test_a_member_of_a_recovery_point(past):
    files = past.capture()
    dump = a_backup(past.repository, component=Component.DATABASE_DUMP, stream="dump.custom").backup_id
    point = a_point(past, [dump, files])
    past.expire(dump, files)
    with refused(past, PurgeRefused, f"{files} is a member of recovery point {point}, which has not expired"):
        past.purge(files)
    past.expire(point)
    with refused(past, PurgeRefused, f"{dump} is a member of recovery point {point}, which could still be undeleted"):
        past.purge(dump)
    past.purge(dump, files, point)


def test_a_member_of_a_point_whose_summary_does_not_say_so(past):
    files = past.capture()
    point = a_point(past, [files], summary={})
    past.expire(files)
    with refused(past, PurgeRefused, f"member of recovery point {point}"):
        past.purge(files)


def a_point(past: RememberedLibrary, members: list[str], **draft: object) -> str:
    told = {f"component {number}": {"backup_id": each} for number, each in enumerate(members)}
    fields = {"details": {"members": told}, "summary": {"member_ids": members}, **draft}
    repository = past.repository
    with repository.begin(Component.RECOVERY_POINT, window=None, initiator=TESTER, bases=members) as attempt:
        return attempt.commit(a_draft(kind=BackupKind.BINDING, **fields)).backup_id


def test_what_a_chain_stands_on(past):
    full = a_backup(past.repository).backup_id
    increment = a_backup(past.repository, kind=BackupKind.INCREMENTAL, parent=full).backup_id
    wal = a_backup(past.repository, kind=BackupKind.WAL, parent=increment).backup_id
    past.expire(full, increment)
    for chosen, child in ((full, increment), (increment, wal)):
        with refused(past, PurgeRefused, f"{chosen} is what backup {child} stands on"):
            past.purge(chosen)
    with refused(past, PurgeRefused, f"{increment} is what backup {wal} stands on, which has not expired"):
        past.purge(full, increment)
    past.expire(wal)
    past.purge(wal, full, increment)


def test_the_parent_of_files_is_no_chain(past):
    """Their manifest is complete by itself, and says only for people what it was compared with."""
    first = past.capture()
    with past.repository.begin(Component.FILES, window=None, initiator=TESTER, bases=[first]) as attempt:
        with attempt.stream_writer("files") as writer:
            writer.write(encode_entries(past.entries(first)))
        draft = a_draft(kind=BackupKind.INCREMENTAL, parent=first, streams=(writer.stream,))
        second = attempt.commit(draft).backup_id
    past.truths[second] = past.truths[first]
    past.expire(first)

    past.purge(first)

    assert list(past.repository.log.history().backups) == [second]
    past.assert_every_backup_restores()


Damage = Callable[[RememberedLibrary, str], None]


def lose_manifest(past: RememberedLibrary, backup_id: str) -> None:
    past.store.delete([layout.manifest_key(SITE, Component.FILES, backup_id)])


def change_manifest(past: RememberedLibrary, backup_id: str) -> None:
    key = layout.manifest_key(SITE, Component.FILES, backup_id)
    past.store.put(key, past.store.get(key).replace(b'"tool"', b'"tood"'), create_only=False)


def lose_part(past: RememberedLibrary, backup_id: str) -> None:
    past.store.delete([f"{layout.backup_prefix(SITE, Component.FILES, backup_id)}files/000000"])


def change_part(past: RememberedLibrary, backup_id: str) -> None:
    past.store.put(f"{layout.backup_prefix(SITE, Component.FILES, backup_id)}files/000000", b"?", create_only=False)


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lose_manifest, ManifestCorrupt),
        (change_manifest, ManifestCorrupt),
        (lose_part, PartMissing),
        (change_part, PartCorrupt),
    ],
)
@pytest.mark.parametrize("which", ["the purged one", "one that stays", "one that has expired"])
def test_manifests_that_cannot_be_read(past, damage: Damage, kind, which):
    first, second, third = past.capture(), past.capture(), past.capture()
    past.expire(first, second)
    damaged = {"the purged one": first, "one that stays": third, "one that has expired": second}[which]
    damage(past, damaged)
    with refused(past, kind, f"files manifest of backup {damaged} cannot be read.*older versions"):
        past.purge(first)


def test_a_stream_of_files_that_this_version_does_not_know(past):
    first = past.capture()
    with past.repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt:
        with attempt.stream_writer("more-files") as writer:
            writer.write(b"{}\n")
        attempt.commit(a_draft(streams=(writer.stream,)))
    past.expire(first)
    with refused(past, FormatNotSupported, "more-files"):
        past.purge(first)


def test_a_folder_of_an_attempt_that_the_log_does_not_name(past):
    """The end of the log may have been cut off, with a commit that shares contents."""
    first = past.capture()
    second = past.capture()
    past.expire(first)
    cut = past.repository.log.history()
    commit = cut.backups[second].sequence
    begin = commit - 1
    saved = {sequence: past.store.get(layout.log_key(SITE, sequence)) for sequence in (begin, commit, commit + 1)}
    past.store.delete([layout.log_key(SITE, sequence) for sequence in saved])
    past = RememberedLibrary(past.store, past.key, past.clock)  # nobody remembers the end
    past.expire(first)
    with refused(past, LogCorrupt, f"{second}/ .*does not name.*older versions"):
        past.purge(first)


@pytest.fixture
def dying(past) -> RememberedLibrary:
    return RememberedLibrary(DyingStore(past.clock), past.key, past.clock)


def die_at_the_manifest(past: RememberedLibrary) -> str:
    """Kill a capture when its contents are stored and its journal is written; return the attempt."""
    store, write = past.store, past.store._write

    def die_there(key: str, *rest: object):
        if key.endswith("/manifest.json"):
            store.writes_left = 0
        return write(key, *rest)

    store._write = die_there
    with pytest.raises(Killed):
        past.library().capture(limits=Limits(max_concurrency=1, journal_entries=1))
    store._write = write
    store.revive()
    return next(iter(past.repository.log.history().running))


def test_a_journal_that_cannot_be_read(dying):
    past = dying
    first = past.capture()
    past.change(a__1=b"x")
    dead = die_at_the_manifest(past)
    past.clock.move(days=2)
    past.expire(first)
    journal = next(past.store.list(journal_prefix(SITE, dead))).key
    body = past.store.get(journal)
    past.store.put(journal, b"?", create_only=False)
    with refused(past, PartCorrupt, f"{journal} .*cannot be read.*let a capture of the files run to its end"):
        past.purge(first)
    past.store.put(journal, body, create_only=False)
    past.purge(first)


@pytest.mark.parametrize("ended", [False, True], ids=["seems to run", "superseded and resumable"])
def test_what_a_dead_attempt_has_finished_is_left_to_the_next_one(dying, ended):
    """A journal that names what a purged backup names too is nothing our writer makes; it is kept all the same."""
    past = dying
    first = past.capture()
    past.change(a__1=b"x", public__new=b"y")
    dead = die_at_the_manifest(past)
    forge_journal(past, first, into=dead)
    past.clock.move(days=2)
    if ended:
        with (
            pytest.raises(RuntimeError),
            past.repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt,
        ):
            assert attempt.resumes == (dead,)
            raise RuntimeError
    past.expire(first)
    before = past.contents()

    (outcome,) = past.purge(first)

    assert outcome.contents == 0
    assert past.contents() == before
    second = past.capture()
    assert past.library().repository.backups()[-1].backup_id == second
    past.assert_every_backup_restores()


def forge_journal(past: RememberedLibrary, backup_id: str, *, into: str) -> None:
    """Make a dead attempt's journal name everything that a backup names."""
    journal = Journal(_Alive(past, into), SITE, every_entries=1)
    journal._count = 900
    for entry in past.entries(backup_id):
        journal.add(encode_entry(entry), size_bytes=1)
    journal.write_if_due()


class _Alive:
    def __init__(self, past: RememberedLibrary, attempt_id: str) -> None:
        self.backup_id = attempt_id
        self._repository = past.repository

    def check_alive(self) -> None: ...

    def put_sealed(self, key: str, plain: bytes) -> None:
        put_sealed(self._repository.store, self._repository.sealer, key, plain)


def test_a_capture_that_stood_on_a_purged_backup_copies_anew(past):
    """Its commit was refused; the run after it finds no base and copies what it needs."""
    first = past.capture()
    library: Library = past.library()
    with (
        pytest.raises(Fenced),
        library.repository.begin(Component.FILES, window=None, initiator=TESTER, bases=[first]) as attempt,
    ):
        captured = capture_files(
            attempt, library.repository, FileSource(past.source, "library", protection_of=past.library().protection_of),
            previous=past.entries(first), patience=AT_ONCE,
        )  # fmt: skip
        assert captured.counts.copied_objects == 0
        past.expire(first)
        past.clock.move(days=2)
        past.purge(first)
        attempt.commit(a_draft(streams=captured.streams))

    past.capture()
    past.assert_every_backup_restores()
