"""A directory as an object store."""

import errno
import os
import stat
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import uuid4

from lc2_backup_dagster.clouds.local.errors import translated
from lc2_backup_dagster.clouds.local.folders import encoded, folder, remove_emptied, segments_of
from lc2_backup_dagster.clouds.local.listing import describe, walk
from lc2_backup_dagster.clouds.local.reader import FileReader, identity
from lc2_backup_dagster.clouds.local.staging import clock, copy_all, publish, remove_stale, staged, write_all
from lc2_backup_dagster.clouds.prefixed import unwrapped
from lc2_backup_dagster.clouds.store import (
    ObjectInfo,
    ObjectStore,
    ObjectVersion,
    StoreCapabilities,
    Throttling,
    no_versions,
    refuse_version,
)
from lc2_backup_dagster.model.errors import (
    AlreadyExists,
    BucketNotFound,
    KeyNotRepresentable,
    ObjectNotFound,
    SourceChanged,
)

_DELETES_AT_ONCE = 1000
# ELOOP: a link, which is no object; ENXIO: a socket.
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})


class DirectoryStore:
    """Objects are files, keys are their paths below the root.

    * Writes are staged in ``.lc2-staging/`` and published by ``link`` (create-only) or ``rename``, with the file and
      its folder synced: a reader never sees half an object, and after a crash an object is whole or absent.
    * The etag is time of change, size and inode; it tells a replaced file from its predecessor.
    * **Symbolic links are never followed and are no objects**: ``list`` leaves them out and logs how many, reading
      one is ``ObjectNotFound``, writing through one is ``KeyNotRepresentable``. The root itself may be a link.
    * Content types and user metadata are not kept; empty folders do not exist.
    * ``a`` and ``a/b`` cannot both be objects: the second one is ``KeyNotRepresentable``.
    * Owner and mode of new files follow the process's user and umask.

    Args:
        root: the directory.
        create: make the directory now if it is missing; otherwise a missing root is ``BucketNotFound``.
    """

    def __init__(self, root: Path | str, *, create: bool = False) -> None:
        path = Path(root).absolute()
        self._root = os.fsencode(path)
        self._url = path.as_uri()
        if create:
            with translated("create", self._url):
                path.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """The root as a ``file://`` address."""
        return self._url

    @property
    def capabilities(self) -> StoreCapabilities:
        """Byte order, copies by the kernel, file names up to 255 bytes."""
        return StoreCapabilities(
            ordered_listing=True,
            server_side_copy=True,
            user_metadata=False,
            max_key_bytes=4096,
            max_segment_bytes=255,
        )

    @property
    def throttling(self) -> Throttling:
        """Nothing: a file system does not ask to slow down, it just is slow."""
        return Throttling()

    def check(self, *, write: bool) -> None:
        """Prove that the directory exists and can be listed, and written when ``write``."""
        with self._translated("list"), folder(self._root, []) as root, os.scandir(root) as entries:
            next(entries, None)
        if write:
            probe = f".lc2-probe/{uuid4().hex}"
            self.put(probe, b"probe")
            self.delete([probe])

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> ObjectInfo:
        """Write one object whole."""
        return self.put_stream(key, [body], size_bytes=len(body), create_only=create_only)

    def put_stream(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        size_bytes: int,
        create_only: bool = True,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write one object of any size; content type, metadata, tags and headers are not kept (``capabilities``)."""
        segments = segments_of(key)

        def write(file: int) -> None:
            written = 0
            for chunk in chunks:
                written += len(chunk)
                if written > size_bytes:
                    break
                write_all(file, chunk)
            if written != size_bytes:
                amount = "more" if written > size_bytes else f"{written}"
                raise SourceChanged(f"write '{key}': {size_bytes} bytes were announced, {amount} came", key=key)

        with self._translated("write", key), staged(self._root, write) as (staging, name):
            return self._publish(key, segments, staging, name, create_only=create_only)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the content or a range of it."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"range from {start} of length {length} makes no sense")
        with self.open(key) as reader:
            wanted = max(reader.info.size_bytes - start, 0) if length is None else length
            return reader.read_range(start, wanted)

    @contextmanager
    def open(
        self, key: str, *, if_match: str | None = None, version: str | None = None
    ) -> Generator[FileReader, None, None]:
        """Open an object for reading forward.

        The reader raises ``SourceChanged`` at the end if somebody wrote into the file meanwhile: other programs write
        in place, and a mixture of two versions must not pass for either.
        """
        refuse_version(self._url, version)
        segments = segments_of(key)
        # O_NONBLOCK: opening a pipe must not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with self._translated("read", key, absent=True), folder(self._root, segments[:-1]) as here:
            file = os.open(segments[-1], flags, dir_fd=here)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise self._absent(key)
            reader = FileReader(file, describe(key, status), identity(status), self._url)
            if if_match is not None and reader.info.etag != if_match:
                raise SourceChanged(f"read '{key}' in {self._url}: it changed since it was listed", key=key)
            yield reader
        finally:
            os.close(file)

    def stat(self, key: str, *, version: str | None = None) -> ObjectInfo:
        """Return what the file system says of an object."""
        refuse_version(self._url, version)
        segments = segments_of(key)
        with self._translated("stat", key, absent=True), folder(self._root, segments[:-1]) as here:
            status = os.stat(segments[-1], dir_fd=here, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise self._absent(key)
        return describe(key, status)

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects in ascending byte order, holding the names of one folder per level in memory."""
        with self._translated("list"):
            yield from walk(self._root, prefix=encoded(prefix), after=encoded(start_after or ""))

    def list_unordered(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects; one walk is as quick as several."""
        return self.list(prefix)

    def list_versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        """Refuse: files have no versions."""
        raise no_versions(self._url)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects and the folders that they leave empty."""
        remaining = iter(keys)
        while batch := list(islice(remaining, _DELETES_AT_ONCE)):
            emptied: set[tuple[bytes, ...]] = set()
            for key in batch:
                segments = segments_of(key)
                with self._translated("delete", key):
                    self._check_root()
                    self._unlink(segments)
                emptied.add(tuple(segments[:-1]))
            with self._translated("delete"):
                remove_emptied(self._root, emptied)

    def can_copy_from(self, source: ObjectStore) -> bool:
        """Say yes to any directory."""
        return isinstance(unwrapped(source)[0], DirectoryStore)

    def copy_from(
        self,
        source: ObjectStore,
        source_key: str,
        key: str,
        *,
        size_bytes: int,
        if_match: str | None = None,
        version: str | None = None,
    ) -> ObjectInfo:
        """Copy a file inside the kernel; file systems that can share blocks do so."""
        store, inner_key = unwrapped(source, source_key)
        if not isinstance(store, DirectoryStore):
            raise TypeError(f"{self._url} cannot copy from {source.url}; ask can_copy_from first")
        segments = segments_of(key)
        with store.open(inner_key, if_match=if_match, version=version) as reader:

            def write(file: int) -> None:
                copied = copy_all(reader.file, file)
                reader.check_unchanged()
                if copied != size_bytes:
                    raise SourceChanged(
                        f"copy '{source_key}' from {source.url}: {size_bytes} bytes were announced, {copied} came",
                        key=source_key,
                    )

            with self._translated("write", key), staged(self._root, write) as (staging, name):
                return self._publish(key, segments, staging, name, create_only=False)

    def now(self) -> datetime:
        """Return the file system's own time; needs the right to write."""
        with self._translated("tell the time"):
            return clock(self._root)

    def remove_stale_staging(self, *, older_than: timedelta = timedelta(hours=24)) -> int:
        """Remove what crashed writers left half-written, and return how many files it was.

        Args:
            older_than: how long a staged file must not have been written to; longer than the slowest pause of a
                live writer.
        """
        with self._translated("remove stale files"):
            return remove_stale(self._root, older_than=older_than)

    def close(self) -> None:
        """Nothing is held open between calls; here because every store has it."""

    def _publish(
        self, key: str, segments: Sequence[bytes], staging: int, name: bytes, *, create_only: bool
    ) -> ObjectInfo:
        try:
            return describe(key, publish(self._root, segments, staging, name, create_only=create_only))
        except (FileExistsError, IsADirectoryError) as error:
            with folder(self._root, segments[:-1]) as here:
                is_folder = stat.S_ISDIR(os.stat(segments[-1], dir_fd=here, follow_symlinks=False).st_mode)
            if is_folder:
                raise KeyNotRepresentable(
                    f"write '{key}' in {self._url}: other keys lie below it, so it is a folder", key=key
                ) from error
            raise AlreadyExists(f"write '{key}' in {self._url}: it exists already", key=key) from error
        except NotADirectoryError as error:
            raise KeyNotRepresentable(
                f"write '{key}' in {self._url}: a part of its path is a file or a link", key=key
            ) from error

    def _unlink(self, segments: Sequence[bytes]) -> None:
        try:
            with folder(self._root, segments[:-1]) as here:
                os.unlink(segments[-1], dir_fd=here)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            pass  # absent already, or a folder, which is no object

    def _check_root(self) -> None:
        with folder(self._root, []):
            pass

    def _absent(self, key: str) -> ObjectNotFound:
        return ObjectNotFound(f"no object '{key}' in {self._url}", key=key)

    @contextmanager
    def _translated(self, operation: str, key: str = "", *, absent: bool = False) -> Generator[None, None, None]:
        with translated(operation, self._url, key):
            try:
                yield
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
                self._require_root(error)
                if not absent:
                    raise
                raise self._absent(key) from error

    def _require_root(self, error: OSError) -> None:
        try:
            self._check_root()
        except (FileNotFoundError, NotADirectoryError):
            raise BucketNotFound(
                f"{self._url} is not a directory",
                hint="create it, mount what belongs there, or set 'create: true' for a new one",
            ) from error
