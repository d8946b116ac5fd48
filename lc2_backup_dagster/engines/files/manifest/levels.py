"""One level of a library: its files, and each folder summed. Pure, in fixed memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine


@dataclass(frozen=True, slots=True)
class Folder:
    """Everything whose key begins with the same text up to a slash.

    Attributes:
        key: that text, with the slash.
        files: files in it, at any depth.
        size_bytes: their size together.
        modified: time of the newest one.
    """

    key: str
    files: int
    size_bytes: int
    modified: datetime


def one_level(lines: Iterable[EntryLine], *, prefix: str) -> Iterator[EntryLine | Folder]:
    """Fold what lies behind a further slash into folders.

    Args:
        lines: ascending, so that the files of a folder are neighbours; every key begins with the prefix.
        prefix: text in front of the level; it need not end at a slash.
    """
    start = len(prefix)

    def folder_of(line: EntryLine) -> str | None:
        slash = line.key.find("/", start)
        return None if slash < 0 else line.key[: slash + 1]

    for key, group in groupby(lines, key=folder_of):
        if key is None:
            yield from group
        else:
            yield _summed(key, group)


def _summed(key: str, lines: Iterable[EntryLine]) -> Folder:
    files = size_bytes = 0
    newest: EntryLine | None = None
    for line in lines:
        files += 1
        size_bytes += line.size_bytes
        if newest is None or line.microseconds > newest.microseconds:
            newest = line
    assert newest is not None
    return Folder(key, files, size_bytes, newest.modified)
