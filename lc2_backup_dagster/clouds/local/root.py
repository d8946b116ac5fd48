"""The root of a directory store: its errors in the project's words, and the last step of every write."""

import errno
import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lc2_backup_dagster.clouds.local.errors import translated
from lc2_backup_dagster.clouds.local.facts import Names
from lc2_backup_dagster.clouds.local.folders import folder
from lc2_backup_dagster.clouds.local.listing import describe
from lc2_backup_dagster.clouds.local.staging import publish
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.errors import AlreadyExists, BucketNotFound, KeyNotRepresentable, ObjectNotFound

# ELOOP: a link, which is no object; ENXIO: a socket.
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})


class DirectoryRoot:
    """What the parts of a directory store have in common.

    Args:
        root: the directory.
        create: make the directory now if it is missing.
        posix: show and keep what only a file system has.
    """

    def __init__(self, root: Path | str, *, create: bool, posix: bool) -> None:
        path = Path(root).absolute()
        self._root = os.fsencode(path)
        self._url = path.as_uri()
        self._names = Names() if posix else None
        if create:
            with translated("create", self._url):
                path.mkdir(parents=True, exist_ok=True)

    def _publish(
        self,
        key: str,
        segments: Sequence[bytes],
        staging: int,
        name: bytes,
        *,
        create_only: bool,
        target: bytes | None = None,
    ) -> ObjectInfo:
        try:
            status = publish(self._root, segments, staging, name, create_only=create_only)
            return describe(key, status, self._names, target=target)
        except (FileExistsError, IsADirectoryError) as error:
            with folder(self._root, segments[:-1]) as here:
                is_folder = stat.S_ISDIR(os.stat(segments[-1], dir_fd=here, follow_symlinks=False).st_mode)
            if is_folder:
                raise KeyNotRepresentable(
                    f"write '{key}' in {self._url}: other keys lie below it, so it is a folder", key=key
                ) from error
            raise AlreadyExists(f"write '{key}' in {self._url}: it exists already", key=key) from error
        except NotADirectoryError as error:
            raise self._blocked(key) from error

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

    def _blocked(self, key: str) -> KeyNotRepresentable:
        return KeyNotRepresentable(f"write '{key}' in {self._url}: a part of its path is a file or a link", key=key)

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
