"""A directory as an export: what a command wrote, or a folder of configuration files.

Only regular files below the directory are taken. Symbolic links are refused: followed, they could carry anything of the
machine into a backup.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from lc2_backup_dagster.engines.exports.document import DOCUMENT_LIMIT_BYTES, Document
from lc2_backup_dagster.engines.exports.ports import ExportFacts
from lc2_backup_dagster.model.errors import AccessDenied, ExportInvalid, SourceChanged


class DirectorySource:
    """The files of a directory, paths relative to it; an ``ExportSource``.

    Args:
        directory: where they lie.
        include: says which paths count; all when None.
        facts: what is told besides.
        document_limit_bytes: longest file that is read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        include: Callable[[str], bool] | None = None,
        facts: ExportFacts | None = None,
        document_limit_bytes: int = DOCUMENT_LIMIT_BYTES,
    ) -> None:
        self._directory = directory
        self._include = include
        self._facts = facts or ExportFacts()
        self._limit_bytes = document_limit_bytes

    def documents(self) -> Iterator[Document]:
        """Yield every file.

        Raises:
            ExportInvalid: there is no such directory, or it holds something that is neither file nor directory.
            AccessDenied: something may not be read.
            SourceChanged: a file grew, or vanished, while it was read.
        """
        if not self._directory.is_dir() or self._directory.is_symlink():
            raise ExportInvalid(f"there is no directory {self._directory}", hint="the export did not write it")
        yield from self._below(self._directory, "")

    def facts(self) -> ExportFacts:
        """Return what is told besides."""
        return self._facts

    def _below(self, folder: Path, prefix: str) -> Iterator[Document]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except PermissionError as error:
            raise AccessDenied(f"{folder} may not be read", hint="give the backup's account the right") from error
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceChanged(f"{folder} vanished during the export") from error
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from self._below(Path(entry.path), f"{path}/")
            elif self._include is None or self._include(path):
                yield Document(path, self._read(Path(entry.path), path))

    def _read(self, file: Path, path: str) -> bytes:
        try:
            # Not blocking: a named pipe would hold the run for ever.
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError as error:
            raise AccessDenied(f"{file} may not be read", hint="give the backup's account the right") from error
        except FileNotFoundError as error:
            raise SourceChanged(f"{file} vanished during the export") from error
        except OSError as error:
            raise ExportInvalid(f"{path} in {self._directory} is no regular file: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as opened:
            told = os.fstat(descriptor)
            if not stat.S_ISREG(told.st_mode):
                raise ExportInvalid(f"{path} in {self._directory} is no regular file")
            if told.st_size > self._limit_bytes:
                raise ExportInvalid(
                    f"document {path} has {told.st_size} bytes, more than {self._limit_bytes}",
                    hint="leave it out of the export, or split it",
                    path=path,
                )
            content = opened.read(told.st_size + 1)
        if len(content) != told.st_size:
            raise SourceChanged(f"{file} changed while it was read")
        return content
