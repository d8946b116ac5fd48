"""A library of files over a repository: capture, commit, restore and compare in one line each."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore
from lc2_backup_dagster.engines.files.capture.capture import FilesCapture, FileSource, capture_files
from lc2_backup_dagster.engines.files.capture.source import Patience
from lc2_backup_dagster.engines.files.manifest.entry import (
    STREAM,
    Bundled,
    FileEntry,
    Location,
    Protection,
    decode_entries,
)
from lc2_backup_dagster.engines.files.restore.restore import FilesRestore, restore_files
from lc2_backup_dagster.engines.files.verify.choices import NoReading
from lc2_backup_dagster.engines.files.verify.proof_sets import known_hashes
from lc2_backup_dagster.engines.files.verify.proofs import with_known_hashes
from lc2_backup_dagster.engines.files.verify.verify import FilesReading, FilesVerification, verify_files
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.repository.parts import Part
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster_tests.builders import TESTER, a_draft, a_repository
from lc2_backup_dagster_tests.fakes import SetClock

SITE = SiteId("retail", "liferay")
AT_ONCE = Patience(sleep=lambda seconds: None)
HASH = "ab" * 32


def an_info(key: str, **changes: Any) -> ObjectInfo:
    fields: dict[str, Any] = {
        "size_bytes": 3,
        "modified": datetime(2026, 11, 23, 1, 2, 3, 456789, tzinfo=UTC),
        "etag": f"etag of {key}",
    }
    return ObjectInfo(key=key, **{**fields, **changes})


def an_entry(key: str, location: Location | None = None, **changes: Any) -> FileEntry:
    info = an_info(key)
    fields: dict[str, Any] = {"size_bytes": 3, "modified": info.modified, "etag": info.etag, "sha256": HASH}
    return FileEntry(key=key, location=location or Bundled(HASH, "data-1", 0, 3, a_part()), **{**fields, **changes})


def a_part(plain_bytes: int = 3) -> Part:
    return Part(plain_bytes, plain_bytes + 20, HASH, "cd" * 32)


def only_store(key: str) -> Protection:
    return Protection.STORE


def store_below_public(key: str) -> Protection:
    return Protection.STORE if key.startswith("public/") else Protection.CLIENT


class Library:
    """A source, a repository, and what one does with them."""

    def __init__(
        self,
        source: ObjectStore,
        store: ObjectStore,
        *,
        key: KeyFile | None,
        clock: SetClock,
        protection_of: Callable[[str], Protection] = lambda key: Protection.CLIENT,
        scratch: Path | None = None,
    ) -> None:
        self.source = source
        self.store = store
        self.clock = clock
        self.protection_of = protection_of
        self.scratch = scratch
        self.repository: SiteRepository = a_repository(store, SITE, wrapper=key, clock=clock)
        self.last: FilesCapture | None = None

    def capture(self, **options: Any) -> str:
        """Capture, commit, and return the backup's id; the capture is kept as ``last``."""
        bases = [each.backup_id for each in self.repository.backups(Component.FILES)][-1:]
        fields = {"limits": Limits(max_concurrency=3, journal_entries=4), "patience": AT_ONCE, **options}
        include = fields.pop("include", None)
        with self.repository.begin(
            Component.FILES,
            window=None,
            initiator=TESTER,
            bases=bases,
            sleep=lambda seconds: self.clock.move(seconds=seconds),
        ) as attempt:
            self.last = capture_files(
                attempt,
                self.repository,
                FileSource(self.source, "library", include=include, protection_of=self.protection_of),
                previous=self.known_entries(bases[0]) if bases else (),
                scratch=self.scratch,
                **fields,
            )
            kind = BackupKind.INCREMENTAL if bases else BackupKind.FULL
            draft = a_draft(kind=kind, moment=self.last.moment, window=None, streams=self.last.streams)
            return attempt.commit(draft).backup_id

    @property
    def done(self) -> FilesCapture:
        assert self.last is not None
        return self.last

    def entries(self, backup_id: str) -> Iterator[FileEntry]:
        with self.repository.open_stream(self.repository.manifest(backup_id), STREAM) as reader:
            yield from decode_entries(reader, name=STREAM)

    def known_entries(self, backup_id: str) -> Iterator[FileEntry]:
        """Yield the entries with what verifications found out, as captures and restores take them."""
        with known_hashes(self.repository) as known:
            yield from with_known_hashes(self.entries(backup_id), known)

    def restore(self, backup_id: str, target: ObjectStore, **options: Any) -> FilesRestore:
        return restore_files(
            self.repository,
            lambda: self.known_entries(backup_id),
            target,
            scratch=self.scratch,
            **{"patience": AT_ONCE, **options},
        )

    def verify(self, *backup_ids: str, deep: bool = True, **options: Any) -> FilesVerification:
        """Verify the files of some backups; ``options`` are of ``FilesReading`` or of ``verify_files``."""
        entries = chain.from_iterable(self.entries(each) for each in backup_ids)
        choice = {} if deep else {"choice": lambda now: NoReading()}
        wish = {name: options.pop(name) for name in list(options) if name in FilesReading.__dataclass_fields__}
        reading = FilesReading(**{**choice, **wish})
        return verify_files(
            self.repository, entries, reading, **{"patience": AT_ONCE, "scratch": self.scratch, **options}
        )


def facts_of(store: ObjectStore, *, prefix: str = "") -> dict[str, tuple[bytes, str | None, dict[str, str]]]:
    """Return everything of every object that a restore must bring back."""
    found: dict[str, tuple[bytes, str | None, dict[str, str]]] = {}
    for info in store.list(prefix):
        told = store.stat(info.key)
        found[info.key] = (store.get(info.key), told.content_type, dict(told.metadata))
    return found


def fill(store: ObjectStore, files: dict[str, bytes]) -> None:
    for key, body in files.items():
        store.put_stream(
            key,
            [body],
            size_bytes=len(body),
            create_only=False,
            content_type="text/plain; charset=utf-8" if key.endswith(".txt") else "application/octet-stream",
            metadata={"author": "Jörg".encode().hex(), "n": str(len(body))},
        )


def all_of_a_library() -> dict[str, bytes]:
    """Return files of every kind: empty, bundled, alone, in several parts, and with awkward names."""
    small = {f"20097/{number:05d}/1.0": bytes([number % 251]) * (number * 37 % 3000) for number in range(60)}
    awkward = {
        name: name.encode()
        for name in ["a b+c%2F d.txt", "ümlaut/日本語/😀.bin", "quote\"'<&>.txt", "x" * 250, "dots/...", "back\\slash"]
    }
    big = {
        "big/one-part": bytes(range(256)) * 100,
        "big/several": bytes(range(256)) * 1025,
        "big/exact": b"\x07" * (2 * 64 * 1024),
        "public/photo.jpg": b"jpeg" * 30000,
        "public/empty": b"",
        "empty.txt": b"",
    }
    return {**small, **awkward, **big}
