"""A library of files that lives and is backed up: what happens to it, what is done for it, and what was true.

Processes die at any call on a store, or pause and come back long after they were given up. What was true at each
backup stands beside the repository, and every backup that is not purged must restore to exactly that.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore
from lc2_backup_dagster.engines.files.capture.capture import FilesCapture, FileSource, capture_files
from lc2_backup_dagster.engines.files.manifest.entry import STREAM, FileEntry, decode_entries
from lc2_backup_dagster.engines.files.manifest.identity import files_prefix
from lc2_backup_dagster.engines.files.restore.restore import restore_files
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import Fenced, IntegrityError, PurgeRefused, RecoveryPointNotFound
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.purge.collect_garbage import collect_garbage
from lc2_backup_dagster.operations.purge.files import purge_backups, resume_purges
from lc2_backup_dagster.repository.attempt import Attempt
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster_tests.builders import TESTER, a_draft, a_repository
from lc2_backup_dagster_tests.engines.files.library import AT_ONCE, SITE, facts_of, store_below_public
from lc2_backup_dagster_tests.engines.files.stepping import SteppingStore
from lc2_backup_dagster_tests.fakes import Killed, MemoryStore, SetClock
from lc2_backup_dagster_tests.journeys.histories.library_life import STEPS, LibraryLife
from lc2_backup_dagster_tests.operations.purging import Facts, entries_of


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
    truths: tuple[Facts, ...] = ()


@dataclass
class LibraryPast:
    """A source, its repository, and what was true.

    Attributes:
        life: what happens to the source; its random numbers choose moments of death too.
        store: the repository's store.
        key: the site's key.
        scratch: for lists.
        truths: backup id → what was true while it was made, before and after what happened meanwhile.
        told: what has happened, for whoever reads a failure.
    """

    life: LibraryLife
    store: ObjectStore
    key: KeyFile
    scratch: Path
    truths: dict[str, tuple[Facts, ...]] = field(default_factory=dict[str, tuple[Facts, ...]])
    told: list[str] = field(default_factory=list[str])
    paused: list[Paused] = field(default_factory=list[Paused])

    def __post_init__(self) -> None:
        self._clock = SetClock()
        self._ahead = timedelta()
        self.random = self.life.random
        self.repository = self._process()

    # What is done for it.

    def capture(self) -> None:
        """Capture and commit; whoever runs still is superseded."""
        self._captured(None)

    def capture_killed(self) -> None:
        """The process dies at some call; it may have committed before."""
        self._captured(self.random.randint(0, 60))

    def capture_moving(self) -> None:
        """Something happens to the library while it is captured."""
        paused = self._begun(self._process())
        try:
            self._copy(paused, moving=True)
            self._commit(paused)
        finally:
            paused.attempt.__exit__(None, None, None)

    def capture_beside(self) -> None:
        """Something else happens as a whole before some call of a capture."""
        self._captured(None, beside=self.random.choice(("capture", "expire", "purge", "collect", "expire_and_purge")))

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
            may = self._may_commit(paused)
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

    def purge_beside(self) -> None:
        """Something else happens as a whole before some call of a purge."""
        self._purged(None, beside=self.random.choice((*_BESIDE, "wake", "undelete")))

    def expire_and_purge(self) -> None:
        """Expire some backups, and purge them when no attempt that stands on them counts any more."""
        self.expire()
        self.days_pass()
        self.purge()

    def resume(self) -> None:
        """Go on with purges."""
        self._mortal(None, resume_purges)

    def resume_killed(self) -> None:
        """The process dies at some call."""
        self._mortal(self.random.randint(0, 20), resume_purges)

    def collect(self) -> None:
        """Collect garbage."""
        self._collected(None)

    def collect_killed(self) -> None:
        """The process dies at some call."""
        self._collected(self.random.randint(0, 60))

    def collect_beside(self) -> None:
        """Something else happens as a whole before some call of a collection."""
        self._collected(None, beside=self.random.choice((*_BESIDE, "wake")))

    def days_pass(self) -> None:
        """Let the store's clock go on, beyond every grace."""
        self._ahead += timedelta(days=10)

    def _process(self, dies_at: int | None = None, beside: str | None = None) -> SiteRepository:
        """Return the repository as a new process has it.

        Args:
            dies_at: number of the call on the store that it does not live to make.
            beside: what happens before some call.
        """
        self._clock.move(seconds=1)
        store = SteppingStore(self.store)
        repository = a_repository(store, SITE, wrapper=self.key, clock=self._clock)
        repository.log.history()  # its records are many: the process shall die behind them
        store.calls.clear()
        store.ahead = self._ahead
        if dies_at is not None:
            store.die_at(dies_at)
        if beside is not None:
            place = self.random.randint(0, 40)

            def meanwhile(number: int, call: str, key: str) -> None:
                if number == place:
                    self.told.append(f"  beside it, at {call} {key}: {beside}")
                    getattr(self, beside)()

            store.before = meanwhile
        return repository

    def _captured(self, dies_at: int | None, *, beside: str | None = None) -> None:
        with suppress(Killed):
            try:
                running = self._begun(self._process(dies_at, beside))
            except Fenced:
                assert beside, "only something else can have expired the base"
                return
            try:
                self._copy(running)
                self._commit(running)
            except (Fenced, RecoveryPointNotFound, IntegrityError) as error:
                assert beside, error
                assert not self._may_commit(running), error
            finally:
                with suppress(Fenced):
                    running.attempt.__exit__(None, None, None)
        for backup_id in self.repository.log.history().backups:
            # It may have died after its commit: nothing has happened to the source since.
            self.truths.setdefault(backup_id, (facts_of(self.life.source),))

    def _may_commit(self, paused: Paused) -> bool:
        history = self.repository.log.history()
        base = history.backups.get(paused.base) if paused.base else None
        kept = paused.base is None or (base is not None and base.expired_at is None)
        return kept and paused.attempt.backup_id in history.running

    def _begun(self, repository: SiteRepository) -> Paused:
        bases = [each.backup_id for each in repository.backups(Component.FILES)][-1:]

        def wait(seconds: float) -> None:
            self._ahead += timedelta(seconds=seconds)
            repository.store.ahead = self._ahead  # type: ignore[attr-defined]

        attempt = repository.begin(Component.FILES, window=None, initiator=TESTER, bases=bases, sleep=wait)
        return Paused(attempt.__enter__(), repository, bases[0] if bases else None)

    def _copy(self, paused: Paused, *, moving: bool = False) -> None:
        previous: list[FileEntry] = []
        if paused.base:
            with paused.repository.open_stream(paused.repository.manifest(paused.base), STREAM) as reader:
                previous = list(decode_entries(reader, name=STREAM))
        source = SteppingStore(self.life.source)
        paused.truths = (facts_of(self.life.source),)
        if moving:
            place = self.random.randint(0, 30)

            def move(number: int, call: str, key: str) -> None:
                if number == place:
                    getattr(self.life, self.random.choice(STEPS))()
                    paused.truths += (facts_of(self.life.source),)

            source.before = move
        paused.captured = capture_files(
            paused.attempt, paused.repository, FileSource(source, "library", protection_of=store_below_public),
            previous=previous, patience=AT_ONCE, scratch=self.scratch,
            limits=Limits(max_concurrency=self.random.choice((1, 3)), journal_entries=self.random.choice((1, 4, 50))),
        )  # fmt: skip

    def _commit(self, paused: Paused) -> None:
        assert paused.captured is not None
        assert not paused.captured.partial
        committed = paused.attempt.commit(a_draft(window=None, streams=paused.captured.streams))
        self.truths[committed.backup_id] = paused.truths
        self.told.append(f"  committed {committed.backup_id}, {paused.captured.counts}")

    def _collected(self, dies_at: int | None, *, beside: str | None = None) -> None:
        if self.random.random() < 0.6:
            self.days_pass()
        self._mortal(dies_at, lambda repository: collect_garbage(repository, scratch=self.scratch), beside=beside)

    def _purged(self, dies_at: int | None, *, beside: str | None = None) -> None:
        expired = self._expired()
        chosen = self.random.sample(expired, self.random.randint(0, min(3, len(expired))))

        def purge(repository: SiteRepository) -> None:
            try:
                purge_backups(repository, chosen, initiator=TESTER, scratch=self.scratch)
            except PurgeRefused as error:
                assert beside or "may still run" in str(error)

        self._mortal(dies_at, purge, beside=beside)

    def _mortal(
        self, dies_at: int | None, work: Callable[[SiteRepository], object], *, beside: str | None = None
    ) -> None:
        with suppress(Killed):
            work(self._process(dies_at, beside))

    def _tell(self, type: RecordType, backup_ids: list[str]) -> None:
        self.told.append(f"  {type} {backup_ids}")
        self.repository.tell(type, initiator=TESTER, body={"backup_ids": backup_ids})

    def _expired(self) -> list[str]:
        return [each.backup_id for each in self.repository.log.history().backups.values() if each.expired_at]

    # What must hold.

    def step(self, name: str) -> None:
        """Do one thing, and look at everything."""
        self.told.append(name)
        if name in STEPS:
            getattr(self.life, name)()
        else:
            getattr(self, name)()
            self.check()

    def check(self) -> None:
        """Restore every backup that is not purged, expired or not, and compare it with what was true."""
        repository = self._process()
        for backup_id in repository.log.history().backups:
            entries, target = entries_of(repository, backup_id), AnyKeys()
            restore_files(repository, lambda found=entries: found, target, patience=AT_ONCE, scratch=self.scratch)
            found, truths = facts_of(target), self.truths[backup_id]
            for key in found.keys() | {each for truth in truths for each in truth}:
                may_be = [truth.get(key) for truth in truths]
                assert found.get(key) in may_be, "\n".join((*self.told, f"restored {key!r} of {backup_id}"))

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


_BESIDE = ("capture", "capture", "capture_killed", "expire", "purge", "collect")
REPOSITORY_STEPS = (
    "capture", "capture", "capture", "capture_killed", "capture_killed", "capture_beside", "capture_moving", "pause",
    "pause", "wake", "wake", "expire", "expire", "undelete", "purge", "purge", "purge_killed", "purge_beside", "resume",
    "resume_killed", "collect", "collect_killed", "collect_beside",
)  # fmt: skip
