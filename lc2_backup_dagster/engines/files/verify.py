"""Verification of a files manifest: every stored object it names, once, in bounded memory.

Cheap: the object is listed with the size it must have. Deep: its bytes are read and hashed, those of every file in a
bundle too. Unknown is not damage: an outage or a missing right ends the verification (L-28).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from lc2_backup_dagster.clouds.store import ObjectInfo, PosixKind
from lc2_backup_dagster.engines.files.copying import PART_BYTES
from lc2_backup_dagster.engines.files.counts import SAMPLES
from lc2_backup_dagster.engines.files.entry import Bundled, Copied, FileEntry, Parts
from lc2_backup_dagster.engines.files.identity import files_prefix
from lc2_backup_dagster.engines.files.inventory import take_inventory
from lc2_backup_dagster.engines.files.ports import Progress, SiteObjects
from lc2_backup_dagster.engines.files.scratch import Row, RowSorter
from lc2_backup_dagster.engines.files.source import Patience
from lc2_backup_dagster.engines.files.workers import Limits, Workers
from lc2_backup_dagster.model.errors import IntegrityError, ObjectNotFound
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.canonical import sha256
from lc2_backup_dagster.repository.parts import Part

_FILES_NAMED = 20
_READ_BYTES = 1024 * 1024
_COPIES_IN_MEMORY = 3


@dataclass(frozen=True, slots=True)
class DamagedObject:
    """A stored object that is gone or wrong.

    Attributes:
        key: the object.
        reason: what is wrong.
        missing: whether it is gone.
        file_count: files that need it.
        files: the first of them.
    """

    key: str
    reason: str
    missing: bool
    file_count: int
    files: tuple[str, ...]


@dataclass(slots=True)
class FilesVerification:
    """What a verification found.

    Attributes:
        objects: stored objects the manifest names.
        files: its files.
        stored_bytes: what the objects must hold together.
        read_objects: objects whose bytes were read.
        hashed_pending: files copied by the store whose SHA-256 was computed for the first time.
        damaged_count: damaged or missing objects.
        damaged: the first thousand of them.
    """

    objects: int = 0
    files: int = 0
    stored_bytes: int = 0
    read_objects: int = 0
    hashed_pending: int = 0
    damaged_count: int = 0
    damaged: list[DamagedObject] = field(default_factory=list[DamagedObject])


@dataclass(frozen=True, slots=True)
class _Use:
    """What one file needs of a stored object."""

    file: str
    offset: int
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class _Needed:
    """One stored object and every file that needs it; ``part`` is None for a copy made by the store."""

    key: str
    part: Part | None
    key_id: str | None
    etag: str | None
    uses: tuple[_Use, ...]

    @property
    def stored_bytes(self) -> int:
        return self.uses[0].size_bytes if self.part is None else self.part.stored_bytes

    @property
    def plain_bytes(self) -> int:
        return self.uses[0].size_bytes if self.part is None else self.part.plain_bytes


def verify_files(
    repository: SiteObjects,
    entries: Iterable[FileEntry],
    *,
    deep: bool,
    scratch: Path | None = None,
    limits: Limits | None = None,
    patience: Patience | None = None,
    on_hash: Callable[[str, str], None] | None = None,
    progress: Progress | None = None,
) -> FilesVerification:
    """Check every stored object that a manifest names.

    Args:
        repository: the site's part of the repository.
        entries: the manifest's entries.
        deep: whether bytes are read.
        scratch: folder for lists that do not fit into memory.
        limits: threads and memory.
        patience: how often things are tried again.
        on_hash: told file key and SHA-256 of files whose entry has none yet.
        progress: told how far it is, in objects and stored bytes.

    Raises:
        StoreUnavailable: the repository cannot be read now; says nothing about damage.
        AccessDenied: the repository must not be read; says nothing about damage.
    """
    result = FilesVerification()
    check = _DeepCheck(repository, patience or Patience())

    def note(outcome: "_Checked") -> None:
        needed = outcome.needed
        if outcome.reason is not None:
            _add_damage(result, needed, outcome.reason, missing=outcome.missing)
        elif outcome.first_sha256 is not None:
            result.hashed_pending += 1
            if on_hash:
                on_hash(needed.uses[0].file, outcome.first_sha256)

    with (
        RowSorter(scratch, run_rows=20_000) as sorter,
        take_inventory(repository.store, prefix=files_prefix(repository.site), scratch=scratch) as stored,
        Workers[_Checked](limits or Limits(), name="verify") as workers,
    ):
        for entry in entries:
            result.files += entry.kind is PosixKind.FILE
            _add_rows(sorter, entry, repository.site)
        for needed, found in _with_stored(_needed(sorter.rows()), stored.objects()):
            result.objects += 1
            result.stored_bytes += needed.stored_bytes
            if found is None:
                note(_Checked(needed, "it is gone", missing=True))
            elif found.size_bytes != needed.stored_bytes:
                note(_Checked(needed, f"it holds {found.size_bytes} bytes, promised {needed.stored_bytes}"))
            elif deep:
                result.read_objects += 1
                held = min(needed.plain_bytes, PART_BYTES)
                workers.submit(lambda needed=needed: check(needed), note, memory_bytes=held * _COPIES_IN_MEMORY)
            if progress and result.objects % 500 == 0:
                progress(result.objects, result.stored_bytes)
        workers.finish()
    if progress:
        progress(result.objects, result.stored_bytes)
    return result


@dataclass(frozen=True, slots=True)
class _Checked:
    needed: _Needed
    reason: str | None = None
    missing: bool = False
    first_sha256: str | None = None


class _DeepCheck:
    """Reads one stored object and says what is wrong with it."""

    def __init__(self, repository: SiteObjects, patience: Patience) -> None:
        self._repository = repository
        self._patience = patience

    def __call__(self, needed: _Needed) -> _Checked:
        try:
            check = self._copied if needed.part is None else self._sealed
            return self._patience.through_outages(lambda: check(needed))
        except IntegrityError as error:
            return _Checked(needed, error.message)
        except ObjectNotFound:
            return _Checked(needed, "it is gone", missing=True)

    def _sealed(self, needed: _Needed) -> _Checked:
        assert needed.part is not None
        plain = self._repository.read_sealed(needed.key, needed.part, key_id=needed.key_id)
        for use in needed.uses:
            content = plain[use.offset : use.offset + use.size_bytes]
            if use.sha256 is not None and sha256(content) != use.sha256:
                return _Checked(needed, f"it holds other bytes for {use.file!r} than its SHA-256 promises")
        return _Checked(needed)

    def _copied(self, needed: _Needed) -> _Checked:
        use = needed.uses[0]
        digest, count = hashlib.sha256(), 0
        with self._repository.store.open(needed.key) as reader:
            etag = reader.info.etag
            while piece := reader.read(_READ_BYTES):
                digest.update(piece)
                count += len(piece)
        if count != use.size_bytes:
            return _Checked(needed, f"it holds {count} bytes, promised {use.size_bytes}")
        if use.sha256 is not None:
            same = digest.hexdigest() == use.sha256
            return _Checked(needed, None if same else "it holds other bytes than its SHA-256 promises")
        if needed.etag is not None and etag != needed.etag:
            return _Checked(needed, f"its etag is {etag} instead of {needed.etag}, and no SHA-256 proves its bytes")
        return _Checked(needed, first_sha256=digest.hexdigest())


def _add_rows(sorter: RowSorter, entry: FileEntry, site: SiteId) -> None:
    """Add a row for every object of an entry: its key, its part and data key, and the range the file has in it."""
    where = entry.location
    for key, part in entry.stored_objects(site):
        if isinstance(where, Copied):
            sorter.add([key, None, None, where.etag, entry.key, 0, entry.size_bytes, entry.sha256])
            continue
        assert part is not None
        sealed = [part.plain_bytes, part.stored_bytes, part.plain_sha256, part.stored_sha256]
        if isinstance(where, Bundled):
            sorter.add([key, sealed, where.key_id, None, entry.key, where.offset, where.length, entry.sha256])
        elif isinstance(where, Parts):  # every part proves itself by its own hash
            sorter.add([key, sealed, where.key_id, None, entry.key, 0, part.plain_bytes, None])


def _needed(rows: Iterator[Row]) -> Iterator[_Needed]:
    for key, group in groupby(rows, key=itemgetter(0)):
        members = list(group)
        _, sealed, key_id, etag, *_ = members[0]
        uses = tuple(_Use(*row[4:]) for row in members)
        yield _Needed(key, None if sealed is None else Part(*sealed), key_id, etag, uses)


def _add_damage(result: FilesVerification, needed: _Needed, reason: str, *, missing: bool) -> None:
    result.damaged_count += 1
    if len(result.damaged) < SAMPLES:
        files = tuple(use.file for use in needed.uses)
        result.damaged.append(DamagedObject(needed.key, reason, missing, len(files), files[:_FILES_NAMED]))


def _with_stored(
    needed: Iterator[_Needed], stored: Iterator[ObjectInfo]
) -> Iterator[tuple[_Needed, ObjectInfo | None]]:
    found = next(stored, None)
    for each in needed:
        while found is not None and found.key < each.key:
            found = next(stored, None)
        yield each, (found if found is not None and found.key == each.key else None)
