"""The ordered walk over a directory store."""

import errno
import logging
import os
import stat
from collections.abc import Iterator
from itertools import groupby, islice

from lc2_backup_dagster.clouds.local.facts import Names, facts_of, modified_of
from lc2_backup_dagster.clouds.local.folders import STAGING, folder
from lc2_backup_dagster.clouds.store import ObjectInfo

logger = logging.getLogger(__name__)

_STATS_AT_ONCE = 1000
_Segments = tuple[bytes, ...]


def describe(
    key: str, status: os.stat_result, names: Names | None = None, *, target: bytes | None = None
) -> ObjectInfo:
    """Return what the file system says of a path as what a store says of an object.

    Args:
        key: with a slash at the end for a folder.
        status: of the path itself, links not followed.
        names: of users and groups, where POSIX facts are wanted.
        target: where a link leads.
    """
    is_file = stat.S_ISREG(status.st_mode)
    return ObjectInfo(
        key=key,
        size_bytes=status.st_size if is_file else 0,
        modified=modified_of(status),
        etag=f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}" if is_file else None,
        posix=facts_of(status, names, target=target) if names else None,
    )


def describe_in(folder: int, name: bytes, key: str, names: Names | None) -> ObjectInfo | None:
    """Describe a name in an open folder; None when it is, without POSIX facts, no object.

    Raises:
        FileNotFoundError: it is not there.
    """
    while True:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode) or names is None:
            wanted = names is not None or stat.S_ISREG(status.st_mode)
            return describe(key, status, names) if wanted and not stat.S_ISDIR(status.st_mode) else None
        try:
            return describe(key, status, names, target=os.readlink(name, dir_fd=folder))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise  # else it was replaced by something that is no link: look again


def walk(root: bytes, *, prefix: bytes, after: bytes, names: Names | None = None) -> Iterator[ObjectInfo]:
    """Yield the files whose key begins with ``prefix`` and is greater than ``after``, in byte order of whole keys.

    Holds the names of one folder per level, no descriptor between two results. Files that vanish on the way are left
    out silently.

    With ``names``, links, folders and special files are yielded too, all with their facts. Without, they are no
    objects: the number of links and special files is logged, so that nobody takes them for backed up.

    Raises:
        OSError: the root is missing, or a folder cannot be read (one unreadable folder is never left out silently).
    """
    start = tuple(prefix.split(b"/")[:-1])
    if b"" in start or b"." in start or b".." in start or start[:1] == (STAGING,):
        return  # no key can begin like that
    one = _Walk(root, prefix, after, names)
    # A stack of our own: folders may be nested deeper than Python calls.
    levels = [one.folder(start)]
    while levels:
        found = next(levels[-1], None)
        if found is None:
            levels.pop()
        elif isinstance(found, ObjectInfo):
            yield found
        else:
            levels.append(one.folder(found))
    if one.skipped:
        first = os.fsdecode(one.skipped[0])
        logger.warning(
            "%d links or special files are no objects and were left out, the first is '%s'", len(one.skipped), first
        )


class _Walk:
    def __init__(self, root: bytes, prefix: bytes, after: bytes, names: Names | None) -> None:
        self._root = root
        self._prefix = prefix
        self._after = after
        self._names = names
        self.skipped: list[bytes] = []

    def folder(self, segments: _Segments) -> Iterator[ObjectInfo | _Segments]:
        """Yield a folder itself where it is an object, what is in it, and where to go down on the way, in order."""
        base = b"".join(name + b"/" for name in segments)
        status, names = self._scan(segments, base)
        if status and base and self._names and base.startswith(self._prefix) and base > self._after:
            yield describe(base.decode("utf-8", "surrogateescape"), status, self._names)
        for is_folder, group in groupby(names, key=lambda name: name.endswith(b"/")):
            if is_folder:
                for name in group:
                    yield (*segments, name[:-1])
            else:
                while batch := list(islice(group, _STATS_AT_ONCE)):
                    yield from self._describe_all(segments, base, batch)

    def _scan(self, segments: _Segments, base: bytes) -> tuple[os.stat_result | None, list[bytes]]:
        """Return a folder's status and the wanted names in it in order.

        Folders end with a slash, which makes the order that of keys.
        """
        status, names = None, list[bytes]()
        try:
            with folder(self._root, segments) as here, os.scandir(here) as entries:
                status = os.fstat(here)
                for entry in entries:
                    name = os.fsencode(entry.name)
                    if not segments and name == STAGING:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        name += b"/"
                        key = base + name
                        wanted = key.startswith(self._prefix) or self._prefix.startswith(key)
                        if wanted and (key > self._after or self._after.startswith(key)):
                            names.append(name)
                    elif (key := base + name).startswith(self._prefix) and key > self._after:
                        if self._names or entry.is_file(follow_symlinks=False):
                            names.append(name)
                        else:
                            self.skipped.append(key)
        except (FileNotFoundError, NotADirectoryError):
            _require(self._root)
        names.sort()
        return status, names

    def _describe_all(self, segments: _Segments, base: bytes, names: list[bytes]) -> list[ObjectInfo]:
        found: list[ObjectInfo] = []
        try:
            with folder(self._root, segments) as here:
                for name in names:
                    try:
                        info = describe_in(here, name, (base + name).decode("utf-8", "surrogateescape"), self._names)
                    except FileNotFoundError:
                        continue
                    if info is not None:
                        found.append(info)
        except (FileNotFoundError, NotADirectoryError):
            _require(self._root)
        return found


def _require(root: bytes) -> None:
    """Raise when it is the root that vanished and not only a folder below it."""
    with folder(root, ()):
        pass
