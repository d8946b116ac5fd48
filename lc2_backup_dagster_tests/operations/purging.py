"""A library whose past is remembered beside it: every backup that is not purged must restore to what was true."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.files.manifest.entry import STREAM, FileEntry, Protection, decode_entries
from lc2_backup_dagster.engines.files.manifest.identity import files_prefix
from lc2_backup_dagster.engines.files.restore.restore import restore_files
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.purge.collect_garbage import Garbage, collect_garbage
from lc2_backup_dagster.operations.purge.files import PurgeOutcome, purge_backups
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster_tests.builders import TESTER, a_repository
from lc2_backup_dagster_tests.engines.files.library import AT_ONCE, SITE, Library, facts_of, fill, store_below_public
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

Facts = dict[str, tuple[bytes, str | None, dict[str, str]]]


def a_small_library() -> dict[str, bytes]:
    """Return files of every kind of location: bundled, alone, in parts, copied by the store."""
    return {
        "a/1": b"one", "a/2": b"two", "a/3": b"three", "b/empty": b"", "b/größe.txt": b"4",
        "big/one-part": bytes(range(256)) * 20, "big/several": bytes(range(256)) * 600,
        "public/photo.jpg": b"jpeg" * 20, "public/empty": b"",
    }  # fmt: skip


@dataclass
class RememberedLibrary:
    """A source in memory, a repository, and what was true at every backup.

    Attributes:
        store: the repository's store, without anything between.
        key: the site's key.
        clock: of hosts and stores.
        truths: backup id → the source as it was.
    """

    store: ObjectStore
    key: KeyFile | None
    clock: SetClock = field(default_factory=SetClock)
    truths: dict[str, Facts] = field(default_factory=dict[str, Facts])

    def __post_init__(self) -> None:
        self.source = MemoryStore(self.clock, url="memory://source")
        fill(self.source, a_small_library())

    def copy(self) -> "RememberedLibrary":
        """Return the same past in stores of its own; for stores in memory."""
        assert isinstance(self.store, MemoryStore)
        clock = SetClock(self.clock.now())
        store = type(self.store)(clock)
        store.objects = dict(self.store.objects)
        other = RememberedLibrary(store, self.key, clock, dict(self.truths))
        other.source.objects = dict(self.source.objects)
        return other

    def seen_through(self, store: ObjectStore) -> SiteRepository:
        """Return the repository as another process has it, through a store of its own."""
        return a_repository(store, SITE, wrapper=self.key, clock=self.clock, create=store is self.store)

    @cached_property
    def repository(self) -> SiteRepository:
        """The repository as the test has it; it reads on in the log whenever it is asked."""
        return self.seen_through(self.store)

    def library(self, store: ObjectStore | None = None) -> Library:
        return Library(
            self.source, store or self.store, key=self.key, clock=self.clock, protection_of=store_below_public
        )

    def change(self, **files: bytes) -> None:
        """Change some files; ``__`` stands for a slash."""
        self.clock.move(seconds=5)
        fill(self.source, {key.replace("__", "/"): body for key, body in files.items()})

    def capture(self, library: Library | None = None, **options: Any) -> str:
        self.clock.move(minutes=1)
        backup_id = (library or self.library()).capture(**options)
        self.truths[backup_id] = facts_of(self.source)
        return backup_id

    def expire(self, *backup_ids: str) -> None:
        self.clock.move(minutes=1)
        self.repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": list(backup_ids)})

    def purge(self, *backup_ids: str, **options: Any) -> list[PurgeOutcome]:
        return purge_backups(self.repository, backup_ids, initiator=TESTER, **options)

    def collect(self, **options: Any) -> Garbage:
        return collect_garbage(self.repository, **options)

    def entries(self, backup_id: str) -> list[FileEntry]:
        return entries_of(self.repository, backup_id)

    def contents(self) -> set[str]:
        """Return the keys of all stored contents."""
        return {found.key for found in self.store.list(files_prefix(SITE))}

    def referenced(self) -> set[str]:
        """Return the keys of all contents that backups name which are not purged."""
        return {
            key
            for backup in self.repository.log.history().backups.values()
            if backup.component is Component.FILES
            for entry in self.entries(backup.backup_id)
            for key, _ in entry.stored_objects(SITE)
        }

    def assert_every_backup_restores(self, what: object = "") -> None:
        """Restore every backup that is not purged, expired ones too, and compare it with what was true."""
        repository = self.repository
        for backup in repository.log.history().backups.values():
            if backup.component is Component.FILES:
                entries, target = entries_of(repository, backup.backup_id), MemoryStore()
                restore_files(repository, lambda found=entries: found, target, patience=AT_ONCE)
                assert facts_of(target) == self.truths[backup.backup_id], (backup.backup_id, what)


def entries_of(repository: SiteRepository, backup_id: str) -> list[FileEntry]:
    """Read the entries of a backup, also of one that has expired."""
    manifest = repository.manifest_of(repository.log.history().backups[backup_id])
    with repository.open_stream(manifest, STREAM) as reader:
        return list(decode_entries(reader, name=STREAM))


def only_client(key: str) -> Protection:
    return Protection.CLIENT
