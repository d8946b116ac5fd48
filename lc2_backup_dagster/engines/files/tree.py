"""The part of a restore that only a target with POSIX facts has: links, folders, owners, modes and times.

A folder is made before what lies in it, private, and finished when everything is written: a write into it would change
its time, and a read-only one would take nothing. A restore that broke off leaves folders private, and the next one
finishes them (``clouds.posix``).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from lc2_backup_dagster.clouds.posix import PosixStore
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, PosixFacts
from lc2_backup_dagster.engines.files.entry import FileEntry
from lc2_backup_dagster.engines.files.facts import facts_of_row, facts_row, unset
from lc2_backup_dagster.engines.files.scratch import Row, RowSorter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class TreeWriter:
    """Links and folders of one restore; a context manager that frees its scratch space.

    Args:
        target: where to.
        overwrite: whether links and folders that are there already become those of the backup.
        scratch: folder for lists that do not fit into memory.
    """

    def __init__(self, target: PosixStore, *, overwrite: bool, scratch: Path | None) -> None:
        self._target = target
        self._overwrite = overwrite
        self._folders = RowSorter(scratch)

    def make_folder(self, entry: FileEntry) -> bool:
        """Make a folder, and say whether it will get its facts; one that was there keeps its own if it may not change.

        Raises:
            KeyNotRepresentable: something else lies at its place.
        """
        assert entry.posix is not None
        waits = self._target.make_folder(entry.key, take_over=self._overwrite)
        if waits:
            self._folders.add([entry.key, (entry.modified - _EPOCH) // _MICROSECOND, facts_row(entry.posix)])
        return waits

    def put_link(self, entry: FileEntry) -> ObjectInfo:
        """Make a link.

        Raises:
            AlreadyExists: something is there and must not be overwritten.
            KeyNotRepresentable: its place cannot be reached without leaving the target, or a folder lies there.
        """
        assert entry.posix is not None
        return self._target.put_link(entry.key, entry.posix, modified=entry.modified, create_only=not self._overwrite)

    def dressed(self, facts: PosixFacts, modified: datetime) -> ObjectStore:
        """Return the target as a store whose writes give files these facts."""
        return self._target.dressed(facts, modified)

    def unset(self, wanted: PosixFacts, written: ObjectInfo) -> str:
        """Say what of the facts was not set, because this process may not; nothing when all was."""
        return unset(wanted, written.posix, ids=self._target.ids_of(wanted)) if written.posix else ""

    def finish_folders(self) -> Iterator[tuple[str, str]]:
        """Give every folder its facts, those that lie deepest first, and yield each with what was not set."""
        open_rows: list[Row] = []  # the folders on the way to the last one
        for row in self._folders.rows():
            while open_rows and not row[0].startswith(open_rows[-1][0]):
                yield self._finish(open_rows.pop())
            open_rows.append(row)
        while open_rows:
            yield self._finish(open_rows.pop())

    def _finish(self, row: Row) -> tuple[str, str]:
        key, modified, facts = row
        wanted = facts_of_row(facts)
        there = self._target.finish_folder(key, wanted, modified=_EPOCH + _MICROSECOND * modified)
        return key, self.unset(wanted, there)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folders.close()
