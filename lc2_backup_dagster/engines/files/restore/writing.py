"""The writing half of a restore: files go to the target in parallel, each proven before it appears."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from lc2_backup_dagster.clouds.posix import posix_store
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, PosixKind
from lc2_backup_dagster.engines.files.capture.copying import PART_BYTES
from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.engines.files.capture.source import Patience
from lc2_backup_dagster.engines.files.contents import StoredContents
from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, FileEntry
from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.ports import Progress, SiteObjects
from lc2_backup_dagster.engines.files.restore.sameness import Sameness, alike
from lc2_backup_dagster.engines.files.restore.tree import TreeWriter
from lc2_backup_dagster.engines.files.workers import Limits, Workers
from lc2_backup_dagster.model.errors import (
    AlreadyExists,
    IntegrityError,
    KeyNotRepresentable,
    ObjectNotFound,
    PartMissing,
    RestoreMismatch,
    SourceChanged,
    TargetNotEmpty,
)

_GROUP_FILES = 64
_COPIES_IN_MEMORY = 5  # stored, decrypted, plain, the piece held back, and what the target's adapter collects


class Conflict(StrEnum):
    """What happens to a file that the target has already. The values are part of the run configuration."""

    REFUSE = "refuse"
    SKIP = "skip"
    OVERWRITE = "overwrite"


@dataclass(slots=True)
class FilesRestore:
    """What a restore did. What is said of files counts links too; folders count apart.

    Attributes:
        selected: files of the backup that were meant.
        written: files written by this run.
        written_bytes: their bytes.
        kept: files the target had already and that were left as they were: all under ``skip``, under ``overwrite``
            those that are the same.
        kept_bytes: their size in the backup.
        kept_differing: those of them whose size, or where a link leads, is another than in the backup.
        overwritten: files the target had in another version.
        deleted: objects of the target that the backup does not have and that were deleted.
        deleted_bytes: their size.
        damaged: files that could not be restored because the repository is damaged, with the reason.
        metadata_kept: whether the target can hold content type and metadata.
        unproven: files copied by the store whose SHA-256 nobody has computed yet and whose copy has another etag than
            when it was made: restored, but nothing proves their bytes.
        links: those of the written files that are symbolic links.
        folders: folders that were made, or given the facts of the backup.
        links_left_out: links that the target cannot hold, with where they lead.
        folders_left_out: folders that the target cannot hold; files in them were written.
        facts_unset: files, links and folders whose owner or mode could not be set, with what they have instead.
        refused: files, links and folders that have no place in the target, with the reason.
        seconds: from start to end.
    """

    selected: int = 0
    written: int = 0
    written_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    kept_differing: int = 0
    overwritten: int = 0
    deleted: Sampled = field(default_factory=Sampled)
    deleted_bytes: int = 0
    damaged: Sampled = field(default_factory=Sampled)
    metadata_kept: bool = True
    unproven: Sampled = field(default_factory=Sampled)
    links: int = 0
    folders: int = 0
    links_left_out: Sampled = field(default_factory=Sampled)
    folders_left_out: Sampled = field(default_factory=Sampled)
    facts_unset: Sampled = field(default_factory=Sampled)
    refused: Sampled = field(default_factory=Sampled)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FileToWrite:
    """An entry, and what the target has at its key."""

    entry: FileEntry
    existing: ObjectInfo | None


@dataclass(frozen=True, slots=True)
class _Done:
    file: FileToWrite
    written: bool
    proven: bool = True
    damage: IntegrityError | None = None
    refusal: KeyNotRepresentable | None = None
    unset: str = ""


@dataclass(frozen=True, slots=True)
class _Written:
    info: ObjectInfo
    proven: bool = True


class RestoreWriter:
    """One restore: the caller's thread decides and counts, workers write.

    Args:
        repository: where the contents are.
        target: where to.
        conflict: what happens to files that are there.
        sameness: says which of them need not be sent again under ``overwrite``.
        rehearse: decide and count everything, and write nothing.
        scratch: folder for lists that do not fit into memory.
        patience: how often things are tried again.
        limits: threads and memory.
        progress: told the files and bytes that are done, those that were left as they were too.
        on_new: told the key of every file that was written where there was none; from several threads, one at a time.
        on_change: told the key of every file that was written; likewise.

    Attributes:
        result: what was done so far; what would be done, with ``rehearse``.
        damage: the first damage of the repository that was met, or None.
        refusal: why the first file that has no place in the target has none, or None.
    """

    def __init__(
        self,
        repository: SiteObjects,
        target: ObjectStore,
        conflict: Conflict,
        *,
        sameness: Sameness,
        rehearse: bool,
        scratch: Path | None = None,
        patience: Patience,
        limits: Limits,
        progress: Progress | None,
        on_new: Callable[[str], None] = lambda key: None,
        on_change: Callable[[str], None] = lambda key: None,
    ) -> None:
        self._on_new = on_new
        self._on_change = on_change
        self.result = FilesRestore(metadata_kept=target.capabilities.user_metadata)
        self.damage: IntegrityError | None = None
        self.refusal: KeyNotRepresentable | None = None
        tree = posix_store(target)
        self._tree = TreeWriter(tree, overwrite=conflict is Conflict.OVERWRITE, scratch=scratch) if tree else None
        self._repository = repository
        self._target = target
        self._conflict = conflict
        self._sameness = sameness
        self._rehearse = rehearse
        self._patience = patience
        self._limits = limits
        self._progress = progress
        self._contents = StoredContents(repository)
        self._lock = threading.Lock()
        self._by_the_store = target.can_copy_from(repository.store)

    def write(self, files: Iterator[FileToWrite], *, before_folders: Callable[[], None] = lambda: None) -> None:
        """Write all files.

        Args:
            files: what to write, ascending.
            before_folders: called when everything is written and folders may still be changed: what is deleted in
                them later would change their times, and a read-only one would not let it go.

        Raises:
            TargetNotEmpty: a file appeared in the target meanwhile.
            BackupError: the target or the repository failed.
        """
        with ExitStack() as stack:
            if self._tree:
                stack.enter_context(self._tree)
            workers = stack.enter_context(Workers[None](self._limits, name="restore", collected=self._tell))
            group: list[FileToWrite] = []
            for file in files:
                if self._is_folder_or_left_out(file.entry):
                    continue
                self.result.selected += 1
                if self._stays(file):
                    continue
                if group and not _neighbours(group, file):
                    self._submit(workers, group)
                    group = []
                group.append(file)
            if group:
                self._submit(workers, group)
            workers.finish()
            before_folders()
            if self._tree:
                self._tree.finish_folders(self._limits, self._count_folder)

    def _is_folder_or_left_out(self, entry: FileEntry) -> bool:
        if entry.kind is PosixKind.DIRECTORY:
            if self._tree is None:
                self.result.folders_left_out.add(entry.key)
                return True
            if self._rehearse:
                self.result.folders += 1
                return True
            try:
                self._tree.make_folder(entry)
            except KeyNotRepresentable as error:
                self._count(_Done(FileToWrite(entry, None), written=False, refusal=error))
            return True
        if entry.kind is PosixKind.SYMLINK and self._tree is None:
            self.result.links_left_out.add(entry.key, f"to {entry.posix.target if entry.posix else None}")
            return True
        return False

    def _stays(self, file: FileToWrite) -> bool:
        entry, existing = file.entry, file.existing
        if existing is None:
            return False
        if self._conflict is not Conflict.SKIP:
            return False
        with self._lock:
            self.result.kept += 1
            self.result.kept_bytes += entry.size_bytes
            self.result.kept_differing += not alike(entry, existing)
        return True

    def _submit(self, workers: Workers[None], group: list[FileToWrite]) -> None:
        first = group[0].entry
        held = first.location.part.plain_bytes if isinstance(first.location, Bundled) else first.size_bytes
        workers.submit(
            lambda: self._write_group(group),
            lambda nothing: None,
            memory_bytes=min(held, PART_BYTES) * _COPIES_IN_MEMORY,
        )

    def _write_group(self, group: list[FileToWrite]) -> None:
        for file in group:
            self._count(self._write_one(file))

    def _count(self, outcome: _Done) -> None:
        # Counted where it happens: a run that breaks off still tells exactly what it wrote.
        entry = outcome.file.entry
        with self._lock:
            if outcome.damage is not None:
                self.damage = self.damage or outcome.damage
                self.result.damaged.add(entry.key, outcome.damage.message)
            elif outcome.refusal is not None:
                self.refusal = self.refusal or outcome.refusal
                self.result.refused.add(entry.key, outcome.refusal.message)
            elif outcome.written:
                self.result.written += 1
                self.result.written_bytes += entry.size_bytes
                self.result.overwritten += outcome.file.existing is not None
                self._on_change(entry.key)
                if outcome.file.existing is None and entry.kind is PosixKind.FILE:
                    self._on_new(entry.key)
                self.result.links += entry.kind is PosixKind.SYMLINK
                if outcome.unset:
                    self.result.facts_unset.add(entry.key, outcome.unset)
                if not outcome.proven:
                    self.result.unproven.add(entry.key)
            else:
                self.result.kept += 1
                self.result.kept_bytes += entry.size_bytes

    def _count_folder(self, key: str, unset: str) -> None:
        self.result.folders += 1
        if unset:
            self.result.facts_unset.add(key, unset)

    def _tell(self) -> None:
        if self._progress:
            done = self.result
            self._progress(done.written + done.kept + done.damaged.count, done.written_bytes + done.kept_bytes)

    def _write_one(self, file: FileToWrite) -> _Done:
        entry, tries = file.entry, 0

        def write() -> _Written:
            nonlocal tries
            tries += 1
            return self._write_content(entry)

        try:
            if file.existing is not None and self._is_same(entry, file.existing):
                return _Done(file, written=False)
            if self._rehearse:
                return _Done(file, written=True)
            written = self._patience.through_outages(write)
            unset = self._tree.unset(entry.posix, written.info) if self._tree and entry.posix else ""
            return _Done(file, written=True, proven=written.proven, unset=unset)
        except IntegrityError as error:
            return _Done(file, written=False, damage=error)
        except KeyNotRepresentable as error:
            return _Done(file, written=False, refusal=error)
        except AlreadyExists as error:
            if tries > 1 and self._holds(entry):
                return _Done(file, written=True)  # written by the try before, whose answer was lost
            if self._conflict is Conflict.SKIP:
                return _Done(file, written=False)
            raise TargetNotEmpty(
                f"{entry.key!r} appeared in {self._target.url} during the restore",
                hint="something else writes there; choose another target",
                key=entry.key,
            ) from error

    def _is_same(self, entry: FileEntry, existing: ObjectInfo) -> bool:
        return self._patience.through_outages(lambda: self._sameness.holds(entry, existing))

    def _write_content(self, entry: FileEntry) -> _Written:
        """Write one file and say whether its bytes are proven to be those of the backup."""
        proven = True
        if entry.kind is PosixKind.SYMLINK:
            assert self._tree is not None
            written = self._tree.put_link(entry)
        elif not isinstance(entry.location, Copied):
            written = self._send(entry)
        else:
            try:
                written = self._copy(entry, entry.location, exact=True)
            except SourceChanged:
                # The etag proves a copy made by the store. A repository that was moved has other ones: then the
                # SHA-256 proves it where it is known, and where it is not, the file is restored and named.
                proven = entry.sha256 is not None
                written = self._send(entry) if proven else self._copy(entry, entry.location, exact=False)
        if written.size_bytes != entry.size_bytes:
            raise RestoreMismatch(
                f"{self._target.url} holds {written.size_bytes} bytes for {entry.key!r}, sent {entry.size_bytes}",
                key=entry.key,
            )
        return _Written(written, proven)

    def _target_of(self, entry: FileEntry) -> ObjectStore:
        if self._tree is None or entry.posix is None:
            return self._target
        return self._tree.dressed(entry.posix, entry.modified)

    def _send(self, entry: FileEntry, *, exact: bool = False) -> ObjectInfo:
        return self._target_of(entry).put_stream(
            entry.key,
            self._contents.pieces(entry, exact=exact),
            size_bytes=entry.size_bytes,
            create_only=self._conflict is not Conflict.OVERWRITE,
            content_type=entry.content_type,
            metadata=entry.metadata,
            tags=entry.tags,
            headers=entry.headers,
        )

    def _copy(self, entry: FileEntry, where: Copied, *, exact: bool) -> ObjectInfo:
        if not self._by_the_store:
            return self._send(entry, exact=exact)
        key = object_key(self._repository.site, where.identity)
        try:
            return self._target_of(entry).copy_from(
                self._repository.store,
                key,
                entry.key,
                size_bytes=entry.size_bytes,
                if_match=where.etag if exact else None,
            )
        except ObjectNotFound as error:
            raise PartMissing(f"{key} with {entry.key!r} is gone from {self._repository.store.url}", key=key) from error

    def _holds(self, entry: FileEntry) -> bool:
        if entry.kind is PosixKind.SYMLINK:
            return alike(entry, self._target.stat(entry.key))
        digest, count = hashlib.sha256(), 0
        with self._target.open(entry.key) as reader:
            while piece := reader.read(1 << 20):
                digest.update(piece)
                count += len(piece)
        return count == entry.size_bytes and entry.sha256 in (None, digest.hexdigest())


def _neighbours(group: list[FileToWrite], file: FileToWrite) -> bool:
    before, here = group[-1].entry.location, file.entry.location
    return (
        isinstance(before, Bundled)
        and isinstance(here, Bundled)
        and before.identity == here.identity
        and len(group) < _GROUP_FILES
    )
