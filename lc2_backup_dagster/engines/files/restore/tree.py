"""The part of a restore that only a target with POSIX facts has: links, folders, owners, modes and times.

A folder is made before what lies in it, private, and finished when everything is written: a write into it would change
its time, and a read-only one would take nothing. A restore that broke off leaves folders private, and the next one
finishes them (``clouds.posix``).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lc2_backup_dagster.clouds.posix import PosixStore
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, PosixFacts
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.engines.files.manifest.facts import facts_of_row, facts_row, unset
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.engines.files.workers import Limits, Workers

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DEEPEST = 2**32 - 1


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
            height = f"{_DEEPEST - entry.key.count('/'):08x}"  # sorts deepest first
            modified = (entry.modified - _EPOCH) // _MICROSECOND
            self._folders.add([height, entry.key, modified, facts_row(entry.posix)])
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

    def finish_folders(self, limits: Limits, note: Callable[[str, str], None]) -> None:
        """Give every folder its facts, those that lie deepest first: who is not root cannot pass through a closed one.

        Args:
            limits: threads; the disk is waited for at every folder.
            note: told the key of each, and what was not set.
        """
        with Workers[str](limits, name="folders") as workers:
            for _, level in groupby(self._folders.rows(), key=itemgetter(0)):
                for _, key, modified, facts in level:
                    workers.submit(
                        lambda key=key, modified=modified, facts=facts: self._finish(key, modified, facts),
                        lambda unset, key=key: note(key, unset),
                        memory_bytes=0,
                    )
                workers.finish()

    def _finish(self, key: str, modified: int, row: list[Any]) -> str:
        wanted = facts_of_row(row)
        there = self._target.finish_folder(key, wanted, modified=_EPOCH + _MICROSECOND * modified)
        return self.unset(wanted, there)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folders.close()
