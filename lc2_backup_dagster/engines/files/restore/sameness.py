"""Whether a restore's target holds a file as the backup has it already, so that it need not be sent again."""

import hashlib
from dataclasses import replace

from lc2_backup_dagster.clouds.posix import posix_store
from lc2_backup_dagster.clouds.prefixed import unwrapped
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, PosixKind
from lc2_backup_dagster.engines.files.capture.changes import same_version
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.model.errors import ObjectNotFound, SourceChanged

_PIECE_BYTES = 1 << 20


class Sameness:
    """Compares entries of a backup with what a target has at their keys. Safe to use from several threads.

    A file is the same when its content is, and content type and metadata where the target keeps them. Size and etag,
    or size and time, stand for the content where they can; a doubt means that it differs, for then it is only sent
    once too often:

    * A time is compared only where it can be given: a file in a directory may have that of its original, an object in a
      bucket has that of its writing. A directory's etags say no more than its times.
    * An etag is compared only with one of the same store, for no two stores mean the same by it.
    * ``checksum`` reads the target's bytes and compares their SHA-256 with the backup's.

    Args:
        target: where the files go.
        origin: the store that the backup was taken from, whose etags its entries have; None when that is not known.
        checksum: read the bytes instead of believing etags and times.
    """

    def __init__(self, target: ObjectStore, *, origin: ObjectStore | None, checksum: bool) -> None:
        self._target = target
        self._checksum = checksum
        self._tree = posix_store(target)
        # What keeps no metadata is a directory.
        self._keeps_times = not target.capabilities.user_metadata
        self._etags_mean_the_same = origin is not None and target.can_copy_from(origin)
        self._in_place = origin is not None and _place(target) == _place(origin)

    def holds(self, entry: FileEntry, existing: ObjectInfo) -> bool:
        """Say whether the target's object is the file; may ask the store, and reads it with ``checksum``.

        Raises:
            BackupError: the target failed.
        """
        if not alike(entry, existing):
            return False
        if not self._has_its_facts(entry, existing):
            return False
        if entry.kind is PosixKind.SYMLINK:
            return existing.modified == entry.modified
        if self._checksum:
            return self._same_bytes(entry) and self._same_facts(entry)
        if self._keeps_times:
            return existing.modified == entry.modified
        if self._etags_mean_the_same and entry.etag is not None and existing.etag is not None:
            if existing.etag != entry.etag:
                return False
            # Where it was backed up, and not written since: then nothing else of it has changed either.
            return (self._in_place and same_version(entry, existing)) or self._same_facts(entry)
        return False

    def _has_its_facts(self, entry: FileEntry, existing: ObjectInfo) -> bool:
        # A target that knows no owners and modes has none to differ in. An owner that this process cannot give is no
        # reason either: the file would be sent at every restore, and never get it.
        if self._tree is None or entry.posix is None or existing.posix is None:
            return True
        wanted = self._tree.attainable(entry.posix)
        return existing.posix == replace(
            wanted, mode=wanted.mode if entry.kind is PosixKind.FILE else existing.posix.mode
        )

    def _same_bytes(self, entry: FileEntry) -> bool:
        if entry.sha256 is None:
            return False
        digest = hashlib.sha256()
        try:
            with self._target.open(entry.key) as reader:
                while piece := reader.read(_PIECE_BYTES):
                    digest.update(piece)
        except (ObjectNotFound, SourceChanged):
            return False  # somebody writes there; the write that follows finds out
        return digest.hexdigest() == entry.sha256

    def _same_facts(self, entry: FileEntry) -> bool:
        if not self._target.capabilities.user_metadata:
            return True
        try:
            told = self._target.stat(entry.key)
        except ObjectNotFound:
            return False
        # A source without content types says nothing of them; a bucket then gives its own.
        if entry.content_type not in (None, told.content_type):
            return False
        return (dict(told.metadata), dict(told.tags), dict(told.headers)) == (
            entry.metadata,
            entry.tags,
            entry.headers,
        )


def alike(entry: FileEntry, existing: ObjectInfo) -> bool:
    """Say whether what is there could be the file, as far as a listing shows: kind and size, and where a link leads."""
    if existing.kind is not entry.kind or existing.size_bytes != entry.size_bytes:
        return False
    return entry.posix is None or existing.posix is None or existing.posix.target == entry.posix.target


def _place(store: ObjectStore) -> tuple[str, str]:
    inner, prefix = unwrapped(store)
    return inner.url, prefix
