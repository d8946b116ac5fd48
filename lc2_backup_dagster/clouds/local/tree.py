"""A directory as a tree of files: links, folders, owners, modes and times (``clouds.posix.PosixStore``)."""

import copy
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

from lc2_backup_dagster.clouds.local.facts import Names, attainable, dress, dress_link
from lc2_backup_dagster.clouds.local.folders import (
    encoded,
    folder,
    make_folder,
    remove_folder,
    segments_of,
    segments_of_folder,
)
from lc2_backup_dagster.clouds.local.listing import describe
from lc2_backup_dagster.clouds.local.root import DirectoryRoot
from lc2_backup_dagster.clouds.local.staging import staged_link
from lc2_backup_dagster.clouds.store import ObjectInfo, PosixFacts


class DirectoryTree(DirectoryRoot):
    """The part of a directory store that only trees have; ``DirectoryStore`` says when it is one."""

    def __init__(self, root: Path | str, *, create: bool, posix: bool) -> None:
        super().__init__(root, create=create, posix=posix)
        self._dress: tuple[PosixFacts, datetime] | None = None

    def ids_of(self, facts: PosixFacts, /) -> tuple[int, int]:
        """Return the numbers that owner and group have on this machine."""
        return (self._names or Names()).ids_of(facts)

    def attainable(self, facts: PosixFacts, /) -> PosixFacts:
        """Return what a file or link would have of the facts if this process wrote it now."""
        names = self._names or Names()
        return attainable(facts, ids=names.ids_of(facts), names=names)

    def dressed(self, facts: PosixFacts, modified: datetime) -> Self:
        """Return the same store, whose writes give files these facts and this time before they appear."""
        view = copy.copy(self)
        view._dress = facts, modified
        return view

    def put_link(self, key: str, facts: PosixFacts, *, modified: datetime, create_only: bool) -> ObjectInfo:
        """Make a symbolic link as it is; where it leads is nobody's business here."""
        segments, ids = segments_of(key), self.ids_of(facts)

        def dress_it(staging: int, name: bytes) -> None:
            dress_link(name, facts, inside=staging, ids=ids, modified=modified)

        target = encoded(facts.target or "")
        with self._translated("write", key), staged_link(self._root, target, dress=dress_it) as (staging, name):
            return self._publish(key, segments, staging, name, create_only=create_only, target=target)

    def make_folder(self, key: str, *, take_over: bool) -> bool:
        """Make a folder, private until ``finish_folder``; mode 1700 tells a later restore that it was not finished."""
        segments = segments_of_folder(key)
        with self._translated("write", key), self._no_folder(key):
            return make_folder(self._root, segments, take_over=take_over)

    def finish_folder(self, key: str, facts: PosixFacts, *, modified: datetime) -> ObjectInfo:
        """Give a folder its owner, mode and time, durably."""
        segments = segments_of_folder(key)
        with self._translated("write", key), self._no_folder(key), folder(self._root, segments) as here:
            dress(here, facts, ids=self.ids_of(facts), modified=modified)
            os.fsync(here)
            return describe(key, os.fstat(here), self._names)

    @contextmanager
    def _no_folder(self, key: str) -> Generator[None, None, None]:
        try:
            yield
        except NotADirectoryError as error:
            raise self._blocked(key) from error

    def _dresser(self) -> Callable[[int], None] | None:
        if self._dress is None:
            return None
        facts, modified = self._dress
        ids = self.ids_of(facts)
        return lambda file: dress(file, facts, ids=ids, modified=modified)

    def _delete_from_tree(self, keys: Iterable[str]) -> None:
        folders: list[str] = []
        for key in keys:
            if key.endswith("/"):
                folders.append(key)
                continue
            with self._translated("delete", key):
                self._check_root()
                self._unlink(segments_of(key))
        for key in sorted(folders, reverse=True):  # what lies deeper comes first
            with self._translated("delete", key):
                remove_folder(self._root, segments_of_folder(key))
