"""A library of files that lives and is backed up: what happens to it, what is done for it, and what was true.

Processes die at any call on a store, or pause and come back long after they were given up. What was true at each
backup stands beside the repository, and every backup that is not purged must restore to exactly that.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore
from lc2_backup_dagster.engines.files.capture import FilesCapture, FileSource, capture_files
from lc2_backup_dagster.engines.files.entry import FileEntry
from lc2_backup_dagster.engines.files.identity import files_prefix
from lc2_backup_dagster.engines.files.restore import restore_files
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import Fenced, PurgeRefused, RecoveryPointNotFound
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.collect_garbage import collect_garbage
from lc2_backup_dagster.operations.purge_files import purge_backups, resume_purges
from lc2_backup_dagster.repository.attempt import Attempt
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster_tests.builders import TESTER, a_draft, a_repository
from lc2_backup_dagster_tests.engines.files.library import AT_ONCE, SITE, facts_of, store_below_public
from lc2_backup_dagster_tests.engines.files.stepping import SteppingStore
from lc2_backup_dagster_tests.fakes import Killed, MemoryStore, SetClock
from lc2_backup_dagster_tests.operations.purging import Facts, entries_of

KEYS = (
    "a/1", "a/2", "a/3", "a-b", "b/c/d", "public/1", "public/2", "public/größe.jpg", "a b+c%2F d.txt", "dots/...",
    "ümlaut/日本語/😀.bin", "e\u0301", "é", "quote\"'<&>.txt", "x" * 250, "back\\slash", "tab\tin it", "\u2028",
    "\U0010ffff", "\uffee",
)  # fmt: skip
"""Keys that every store of these tests can hold."""
KEYS_OF_A_DIRECTORY = ("line\nfeed", "control-\x01", "odd-\udcff", "odd-\udcff/\udc80", "cr\r")
KEYS_OF_A_BUCKET = ("a", "a/1/below", "public")
_TYPES = (None, "text/plain", "image/jpeg", "application/octet-stream")
_SIZES = (0, 1, 700, 3000, 5000, 70_000, 200_000)
"""Of files that are bundled, stored alone, and cut into parts (see the fixture ``small_sizes``)."""


class AnyKeys(MemoryStore):
    """Lists keys that are not UTF-8 as well."""

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        found = sorted(self.objects, key=lambda key: key.encode("utf-8", "surrogateescape"))
        return iter([self.objects[key][1] for key in found if key.startswith(prefix)])


@dataclass
class Paused:
    """A process that was stopped in the middle of a capture, and does not know what has happened since."""

    attempt: Attempt
    repository: SiteRepository
    base: str | None
    captured: FilesCapture | None = None
    truth: Facts = field(default_factory=dict[str, Facts])


@dataclass
class LibraryPast:
    """A source, its repository, and what was true.

    Attributes:
        source: the files, as their application sees them.
        store: the repository's store.
        key: the site's key.
        random: chooses files, contents and moments of death.
        scratch: for lists.
        directory: of the source, where it is one.
        truths: backup id → what was true when it was made.
        told: what has happened, for whoever reads a failure.
    """

    source: ObjectStore
    store: ObjectStore
    key: KeyFile
    random: Random
    scratch: Path
    directory: Path | None = None
    truths: dict[str, Facts] = field(default_factory=dict[str, Facts])
    told: list[str] = field(default_factory=list[str])
    paused: list[Paused] = field(default_factory=list[Paused])

    def __post_init__(self) -> None:
        self._clock = SetClock()
        self._ahead = timedelta()
        self._keys = KEYS + (KEYS_OF_A_BUCKET if self.directory is None else KEYS_OF_A_DIRECTORY)
        self.repository = self._process()

    # What happens to the library.

    def create(self) -> None:
        """Write some files anew, or over what is there."""
        for key in self.random.sample(self._keys, self.random.randint(1, 5)):
            self._write(key)

    def change(self) -> None:
        """Change some files; where it is a directory, also in place."""
        for key in self._some():
            size_bytes = self.source.stat(key).size_bytes
            if self.directory is not None and size_bytes and self.random.random() < 0.5:
                with (self.directory / key).open("r+b") as file:
                    file.write(self.random.randbytes(size_bytes))
            else:
                self._write(key, size_bytes if self.random.random() < 0.5 else None)

    def delete(self) -> None:
        """Remove some files."""
        self.source.delete(self._some())

    def rename(self) -> None:
        """Give a file the name of another, or a new one."""
        for key in self._some()[:2]:
            new = self.random.choice(self._keys)
            if new == key or self._hinders(new):
                continue
            if self.directory is not None:
                (self.directory / new).parent.mkdir(parents=True, exist_ok=True)
                (self.directory / key).rename(self.directory / new)
            else:
                size_bytes = self.source.stat(key).size_bytes
                self.source.copy_from(self.source, key, new, size_bytes=size_bytes)
                self.source.delete([key])

    def retype(self) -> None:
        """Write the same content with another type and other metadata."""
        for key in self._some():
            self._write(key, body=self.source.get(key))

    def _write(self, key: str, size_bytes: int | None = None, body: bytes | None = None) -> None:
        if self._hinders(key):
            return
        body = (
            self.random.randbytes(self.random.choice(_SIZES) if size_bytes is None else size_bytes)
            if body is None
            else body
        )
        self.source.put_stream(
            key, [body], size_bytes=len(body), create_only=False, content_type=self.random.choice(_TYPES),
            metadata=self.random.choice(({}, {"author": "somebody"}, {"a": "1", "b": "2"})),
        )  # fmt: skip

    def _hinders(self, key: str) -> bool:
        """Say whether a directory cannot hold a key beside what it holds."""
        if self.directory is None:
            return False
        path = self.directory / key
        return path.is_dir() or any(each.is_file() for each in path.parents)

    def _some(self) -> list[str]:
        there = sorted(found.key for found in self.source.list())
        return self.random.sample(there, min(len(there), self.random.randint(1, 4)))

    # What is done for it.

    def capture(self) -> None:
        """Capture and commit; whoever runs still is superseded."""
        self._captured(None)

    def capture_killed(self) -> None:
        """The process dies at some call; it may have committed before."""
        self._captured(self.random.randint(0, 60))

    def pause(self) -> None:
        """Begin a capture, perhaps do all of its work, and stop before the end."""
        if len(self.paused) < 2:
            paused = self._begun(self._process())
            if self.random.random() < 0.7:
                self._copy(paused)
            self.paused.append(paused)

    def wake(self) -> None:
        """Let a paused process go on: it commits, or is told that it may not."""
        if self.paused:
            paused = self.paused.pop(self.random.randrange(len(self.paused)))
            backups = self.repository.log.history().backups
            kept = paused.base is None or (paused.base in backups and backups[paused.base].expired_at is None)
            may = kept and paused.attempt.backup_id in self.repository.log.history().running
            try:
                if paused.captured is None:
                    self._copy(paused)
                self._commit(paused)
                assert may, "it was superseded, or its base has expired"
            except (Fenced, RecoveryPointNotFound):
                assert not may
            finally:
                with suppress(Fenced):
                    paused.attempt.__exit__(None, None, None)

    def expire(self) -> None:
        """Expire some backups, the newest too."""
        kept = [each.backup_id for each in self.repository.backups(Component.FILES)]
        if kept:
            self._tell(RecordType.EXPIRE, self.random.sample(kept, self.random.randint(1, min(3, len(kept)))))

    def undelete(self) -> None:
        """Bring an expired backup back."""
        expired = self._expired()
        if expired:
            self._tell(RecordType.UNDELETE, [self.random.choice(expired)])

    def purge(self) -> None:
        """Purge some of what has expired."""
        self._purged(None)

    def purge_killed(self) -> None:
        """The process dies at some call."""
        self._purged(self.random.randint(0, 40))

    def resume(self) -> None:
        """Go on with purges."""
        self._mortal(None, resume_purges)

    def resume_killed(self) -> None:
        """The process dies at some call."""
        self._mortal(self.random.randint(0, 20), resume_purges)

    def collect(self) -> None:
        """Collect garbage."""
        self._mortal(None, lambda repository: collect_garbage(repository, scratch=self.scratch))

    def collect_killed(self) -> None:
        """The process dies at some call."""
        self._mortal(self.random.randint(0, 60), lambda repository: collect_garbage(repository, scratch=self.scratch))

    def days_pass(self) -> None:
        """Let the store's clock go on, beyond every grace."""
        self._ahead += timedelta(days=10)

    def _process(self, dies_at: int | None = None) -> SiteRepository:
        """Return the repository as a new process has it."""
        self._clock.move(seconds=1)
        store = SteppingStore(self.store)
        repository = a_repository(store, SITE, wrapper=self.key, clock=self._clock)
        repository.log.history()  # its records are many: the process shall die behind them
        store.calls.clear()
        store.ahead = self._ahead
        if dies_at is not None:
            store.die_at(dies_at)
        return repository

    def _captured(self, dies_at: int | None) -> None:
        running = None
        with suppress(Killed):
            running = self._begun(self._process(dies_at))
            try:
                self._copy(running)
                self._commit(running)
            finally:
                running.attempt.__exit__(None, None, None)
        for backup_id in self.repository.log.history().backups:
            # It may have died after its commit: nothing has happened to the source since.
            self.truths.setdefault(backup_id, facts_of(self.source))

    def _begun(self, repository: SiteRepository) -> Paused:
        bases = [each.backup_id for each in repository.backups(Component.FILES)][-1:]

        def wait(seconds: float) -> None:
            self._ahead += timedelta(seconds=seconds)
            repository.store.ahead = self._ahead  # type: ignore[attr-defined]

        attempt = repository.begin(Component.FILES, window=None, initiator=TESTER, bases=bases, sleep=wait)
        return Paused(attempt.__enter__(), repository, bases[0] if bases else None)

    def _copy(self, paused: Paused) -> None:
        previous: list[FileEntry] = []
        if paused.base:
            paused.repository.backup(paused.base)
            previous = entries_of(paused.repository, paused.base)
        paused.truth = facts_of(self.source)
        paused.captured = capture_files(
            paused.attempt, paused.repository, FileSource(self.source, "library", protection_of=store_below_public),
            previous=previous, patience=AT_ONCE, scratch=self.scratch,
            limits=Limits(max_concurrency=self.random.choice((1, 3)), journal_entries=self.random.choice((1, 4, 50))),
        )  # fmt: skip

    def _commit(self, paused: Paused) -> None:
        assert paused.captured is not None
        assert not paused.captured.partial
        committed = paused.attempt.commit(a_draft(window=None, streams=paused.captured.streams))
        self.truths[committed.backup_id] = paused.truth
        self.told.append(f"  committed {committed.backup_id}, {paused.captured.counts}")

    def _purged(self, dies_at: int | None) -> None:
        expired = self._expired()
        chosen = self.random.sample(expired, self.random.randint(0, min(3, len(expired))))

        def purge(repository: SiteRepository) -> None:
            try:
                purge_backups(repository, chosen, initiator=TESTER, scratch=self.scratch)
            except PurgeRefused as error:
                assert {each.base for each in self.paused} & set(chosen) or "may still run" in str(error)

        self._mortal(dies_at, purge)

    def _mortal(self, dies_at: int | None, work: Callable[[SiteRepository], object]) -> None:
        with suppress(Killed):
            work(self._process(dies_at))

    def _tell(self, type: RecordType, backup_ids: list[str]) -> None:
        self.told.append(f"  {type} {backup_ids}")
        self.repository.tell(type, initiator=TESTER, body={"backup_ids": backup_ids})

    def _expired(self) -> list[str]:
        return [each.backup_id for each in self.repository.log.history().backups.values() if each.expired_at]

    # What must hold.

    def step(self, name: str) -> None:
        """Do one thing, and look at everything."""
        self.told.append(name)
        getattr(self, name)()
        if name not in SOURCE_STEPS:
            self.check()

    def check(self) -> None:
        """Restore every backup that is not purged, expired or not, and compare it with what was true."""
        repository = self._process()
        for backup_id in repository.log.history().backups:
            entries, target = entries_of(repository, backup_id), AnyKeys()
            restore_files(repository, lambda found=entries: found, target, patience=AT_ONCE, scratch=self.scratch)
            assert facts_of(target) == self.truths[backup_id], "\n".join((*self.told, f"restored {backup_id}"))

    def end(self) -> None:
        """End what is unfinished, and find nothing left over that nobody needs."""
        while self.paused:
            self.wake()
        for step in ("resume", "capture", "days_pass", "collect"):
            self.step(step)
        repository = self._process()
        stored = {found.key for found in self.store.list(files_prefix(SITE))}
        named = {
            key
            for backup_id in repository.log.history().backups
            for entry in entries_of(repository, backup_id)
            for key, _ in entry.stored_objects(SITE)
        }
        assert stored == named, "\n".join(self.told)
        folders = {found.key.split("/")[4] for found in self.store.list(f"backups/{SITE}/")}
        assert folders == repository.log.history().backups.keys()


SOURCE_STEPS = ("create", "change", "delete", "rename", "retype")
REPOSITORY_STEPS = (
    "capture", "capture", "capture", "capture_killed", "capture_killed", "pause", "wake", "expire", "expire",
    "undelete", "purge", "purge", "purge_killed", "resume", "resume_killed", "collect", "collect_killed", "days_pass",
)  # fmt: skip


def a_directory(folder: Path, name: str) -> DirectoryStore:
    return DirectoryStore(folder / name, create=True)
