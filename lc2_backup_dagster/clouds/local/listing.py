"""The ordered walk over a directory store."""

import logging
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby, islice

from lc2_backup_dagster.clouds.local.folders import STAGING, folder
from lc2_backup_dagster.clouds.store import ObjectInfo

logger = logging.getLogger(__name__)

_STATS_AT_ONCE = 1000


def describe(key: str, status: os.stat_result) -> ObjectInfo:
    """Return what the file system says of a file as what a store says of an object."""
    return ObjectInfo(
        key=key,
        size_bytes=status.st_size,
        modified=datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC),
        etag=f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}",
    )


def walk(root: bytes, *, prefix: bytes, after: bytes) -> Iterator[ObjectInfo]:
    """Yield the files whose key begins with ``prefix`` and is greater than ``after``, in byte order of whole keys.

    Holds the names of one folder per level, no descriptor between two results. Links, sockets and devices are no
    objects: they are left out and their number is logged, so that nobody takes them for backed up. Files that vanish
    on the way are left out silently.

    Raises:
        OSError: the root is missing, or a folder cannot be read (one unreadable folder is never left out silently).
    """
    start = tuple(prefix.split(b"/")[:-1])
    if b"" in start or b"." in start or b".." in start or start[:1] == (STAGING,):
        return  # no key can begin like that
    skipped: list[bytes] = []
    yield from _walk(root, start, prefix, after, skipped)
    if skipped:
        first = os.fsdecode(skipped[0])
        logger.warning(
            "%d links or special files are no objects and were left out, the first is '%s'", len(skipped), first
        )


def _walk(
    root: bytes, segments: tuple[bytes, ...], prefix: bytes, after: bytes, skipped: list[bytes]
) -> Iterator[ObjectInfo]:
    base = b"".join(name + b"/" for name in segments)
    names = iter(_names(root, segments, base, prefix, after, skipped))
    for is_folder, group in groupby(names, key=lambda name: name.endswith(b"/")):
        if is_folder:
            for name in group:
                yield from _walk(root, (*segments, name[:-1]), prefix, after, skipped)
        else:
            while batch := list(islice(group, _STATS_AT_ONCE)):
                yield from _stat_all(root, segments, base, batch)


def _names(
    root: bytes, segments: tuple[bytes, ...], base: bytes, prefix: bytes, after: bytes, skipped: list[bytes]
) -> list[bytes]:
    """Return the wanted names of a folder in order; folders end with a slash, which makes the order that of keys."""
    names: list[bytes] = []
    try:
        with folder(root, segments) as here, os.scandir(here) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if not segments and name == STAGING:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    name += b"/"
                    key = base + name
                    wanted = key.startswith(prefix) or prefix.startswith(key)
                    if wanted and (key > after or after.startswith(key)):
                        names.append(name)
                elif (key := base + name).startswith(prefix) and key > after:
                    if entry.is_file(follow_symlinks=False):
                        names.append(name)
                    else:
                        skipped.append(key)
    except (FileNotFoundError, NotADirectoryError):
        _require(root)
    names.sort()
    return names


def _stat_all(root: bytes, segments: tuple[bytes, ...], base: bytes, names: list[bytes]) -> list[ObjectInfo]:
    found: list[ObjectInfo] = []
    try:
        with folder(root, segments) as here:
            for name in names:
                try:
                    status = os.stat(name, dir_fd=here, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    found.append(describe((base + name).decode("utf-8", "surrogateescape"), status))
    except (FileNotFoundError, NotADirectoryError):
        _require(root)
    return found


def _require(root: bytes) -> None:
    """Raise when it is the root that vanished and not only a folder below it."""
    with folder(root, ()):
        pass
