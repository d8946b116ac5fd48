"""Half-written files: written out of sight, made durable, then given their key in one step.

A crash leaves at most a file in the staging folder, never a short object.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from lc2_backup_dagster.clouds.local.folders import STAGING, folder
from lc2_backup_dagster.clouds.local.sparse import data_ranges, has_holes, write_all

_COPY_BYTES = 64 << 20
_READ_BYTES = 1 << 20


@contextmanager
def staged(
    root: bytes, write: Callable[[int], None], *, dress: Callable[[int], None] | None = None
) -> Generator[tuple[int, bytes], None, None]:
    """Write a file in the staging folder, make its bytes durable, and hand out its folder and name.

    The name is removed afterwards, whatever happens; what was published meanwhile stays.

    Args:
        root: path of the store's root, which must exist.
        write: fills the open file.
        dress: gives the written file owner, mode and time. Until then only this process's user may read it: a file
            that was private is so at every moment.
    """
    with _staging_folder(root) as staging:
        name = uuid4().hex.encode()
        mode = 0o666 if dress is None else 0o600
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=staging)
        try:
            try:
                write(file)
                if dress:
                    dress(file)
                os.fsync(file)
            finally:
                os.close(file)
            yield staging, name
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=staging)


@contextmanager
def staged_link(
    root: bytes, target: bytes, *, dress: Callable[[int, bytes], None]
) -> Generator[tuple[int, bytes], None, None]:
    """Make a symbolic link in the staging folder, to be published like a file.

    Args:
        root: path of the store's root, which must exist.
        target: where the link leads; nobody goes there.
        dress: gives the link of that folder and name owner and time.
    """
    with _staging_folder(root) as staging:
        name = uuid4().hex.encode()
        os.symlink(target, name, dir_fd=staging)
        try:
            dress(staging, name)
            yield staging, name
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=staging)


def publish(root: bytes, segments: Sequence[bytes], staging: int, name: bytes, *, create_only: bool) -> os.stat_result:
    """Give a staged file its key, durably, and return its status.

    Raises:
        FileExistsError: ``create_only`` and the key is taken; ``link`` decides that atomically.
    """
    # Link and rename change neither inode nor time nor size: what is true of the staged file is true of the object.
    status = os.stat(name, dir_fd=staging, follow_symlinks=False)
    while True:
        try:
            with folder(root, segments[:-1], create=True) as target:
                if create_only:
                    os.link(name, segments[-1], src_dir_fd=staging, dst_dir_fd=target, follow_symlinks=False)
                else:
                    os.replace(name, segments[-1], src_dir_fd=staging, dst_dir_fd=target)
                os.fsync(target)
                return status
        except FileNotFoundError:
            # A delete of the last object beside it removed a folder that we held open: make it again. Should the
            # root or our own staged file be what is gone, one of these raises.
            with folder(root, ()):
                os.stat(name, dir_fd=staging, follow_symlinks=False)


def copy_all(source: int, target: int) -> int:
    """Copy from one open file to another inside the kernel, sharing blocks where the file system can.

    Returns:
        Number of bytes copied; holes, which stay holes, count like the zeros that they read as.
    """
    status = os.fstat(source)
    if not has_holes(status):
        return _copy_up_to_the_end(source, target)
    for begin, end in data_ranges(source, status.st_size):
        os.lseek(source, begin, os.SEEK_SET)
        os.lseek(target, begin, os.SEEK_SET)
        _copy_range(source, target, end - begin)
    os.ftruncate(target, status.st_size)
    return status.st_size


def _copy_range(source: int, target: int, length: int) -> None:
    """Copy that much from both positions on; less when the file ends, which its status will show."""
    try:
        while length and (count := os.copy_file_range(source, target, min(length, _COPY_BYTES))):
            length -= count
    except OSError:
        pass  # as below
    while length and (chunk := os.read(source, min(length, _READ_BYTES))):
        write_all(target, chunk)
        length -= len(chunk)


def _copy_up_to_the_end(source: int, target: int) -> int:
    copied = 0
    while True:
        try:
            count = os.copy_file_range(source, target, _COPY_BYTES)
        except OSError:
            # Different kinds of file systems, or one that cannot: by hand. An error that is real shows again there.
            return copied + _copy_by_hand(source, target)
        if count == 0:
            # Some kernels answer 0 for files whose size they do not know; a read finds what is left.
            return copied + _copy_by_hand(source, target)
        copied += count


def _copy_by_hand(source: int, target: int) -> int:
    copied = 0
    while chunk := os.read(source, _READ_BYTES):
        write_all(target, chunk)
        copied += len(chunk)
    return copied


def clock(root: bytes) -> datetime:
    """Return the file system's own time: that of a file just made on it.

    On a network file system this is the server's time, on which all its users agree.
    """
    with _staging_folder(root) as staging:
        name = uuid4().hex.encode()
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=staging)
        try:
            # On a network file system this asks the server to set its own time; a plain write leaves the client's.
            os.utime(file)
            return datetime.fromtimestamp(os.fstat(file).st_mtime_ns / 1e9, UTC)
        finally:
            os.close(file)
            os.unlink(name, dir_fd=staging)


def remove_stale(root: bytes, *, older_than: timedelta) -> int:
    """Remove staged files whose last write is longer ago than that by the file system's clock; return how many."""
    removed = 0
    limit = clock(root) - older_than
    with _staging_folder(root) as staging:
        with os.scandir(staging) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            try:
                if datetime.fromtimestamp(os.stat(name, dir_fd=staging).st_mtime, UTC) <= limit:
                    os.unlink(name, dir_fd=staging)
                    removed += 1
            except FileNotFoundError:
                continue  # its writer has finished
    return removed


@contextmanager
def _staging_folder(root: bytes) -> Generator[int, None, None]:
    with folder(root, [STAGING], create=True) as staging:
        yield staging
