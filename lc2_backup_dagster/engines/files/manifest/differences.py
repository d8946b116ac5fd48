"""What lies between two backups of a library: a merge of their sorted lines, in fixed memory. Pure.

``changes`` compares a backup with a listing, to decide what to copy; this compares two backups, for people.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine


class What(StrEnum):
    """What is different. Of several things the first one counts."""

    ADDED = "added"
    REMOVED = "removed"
    CONTENT = "content"
    METADATA = "metadata"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that differs.

    Attributes:
        what: how.
        old: the file in the first backup, None when it was added.
        new: the file in the second one, None when it was removed.
    """

    what: What
    old: FileEntry | None
    new: FileEntry | None

    @property
    def key(self) -> str:
        """The file's key."""
        entry = self.new or self.old
        assert entry is not None
        return entry.key


@dataclass(slots=True)
class DifferenceTotals:
    """Numbers of a comparison.

    Attributes:
        added: files only the second backup has.
        added_bytes: their size.
        removed: files only the first backup has.
        removed_bytes: their size.
        content: files of both whose bytes differ.
        content_bytes: their size in the second backup.
        metadata: files with equal bytes whose content type or metadata differ.
        time: files that differ in the time of the last write only.
        unchanged: files that are equal.
        unchanged_bytes: their size.
        grown_bytes: by how much the second backup is larger.
    """

    added: int = 0
    added_bytes: int = 0
    removed: int = 0
    removed_bytes: int = 0
    content: int = 0
    content_bytes: int = 0
    metadata: int = 0
    time: int = 0
    unchanged: int = 0
    unchanged_bytes: int = 0
    grown_bytes: int = 0


def differences(
    old: Iterable[EntryLine], new: Iterable[EntryLine], totals: DifferenceTotals, *, etags_comparable: bool
) -> Iterator[Difference]:
    """Yield what differs, in ascending order of the keys.

    Args:
        old: lines of the first backup, ascending.
        new: lines of the second one, ascending.
        totals: counted up on the way.
        etags_comparable: whether both were taken from the same source.
    """
    before, after = iter(old), iter(new)
    left, right = next(before, None), next(after, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.key < right.key):
            assert left is not None
            totals.removed += 1
            totals.removed_bytes += left.size_bytes
            totals.grown_bytes -= left.size_bytes
            yield Difference(What.REMOVED, left.entry(), None)
            left = next(before, None)
        elif left is None or right.key < left.key:
            totals.added += 1
            totals.added_bytes += right.size_bytes
            totals.grown_bytes += right.size_bytes
            yield Difference(What.ADDED, None, right.entry())
            right = next(after, None)
        else:
            found = _changed(left, right, etags_comparable=etags_comparable)
            _count(totals, found, left, right)
            if found is not None:
                yield found
            left, right = next(before, None), next(after, None)


def _changed(left: EntryLine, right: EntryLine, *, etags_comparable: bool) -> Difference | None:
    if left.line == right.line:
        return None  # nearly all of them, without decoding any
    old, new = left.entry(), right.entry()
    what = difference_of(old, new, etags_comparable=etags_comparable)
    return None if what is None else Difference(what, old, new)


def difference_of(old: FileEntry, new: FileEntry, *, etags_comparable: bool) -> What | None:
    """Say how two versions of a file differ, or None when they do not.

    Contents are compared by SHA-256 where both are known. A hash that is pending leaves the etag, where both came
    from the same source, and after it the time.
    """
    if not _same_content(old, new, etags_comparable=etags_comparable):
        return What.CONTENT
    others = replace(
        old,
        modified=new.modified,
        etag=new.etag,
        version=new.version,
        sha256=new.sha256,
        location=new.location,
    )
    if others != new:
        return What.METADATA
    return What.TIME if old.modified != new.modified else None


def _same_content(old: FileEntry, new: FileEntry, *, etags_comparable: bool) -> bool:
    if old.size_bytes != new.size_bytes:
        return False
    if old.sha256 is not None and new.sha256 is not None:
        return old.sha256 == new.sha256
    if old.location == new.location:
        return True
    if etags_comparable and old.etag is not None and new.etag is not None:
        return old.etag == new.etag
    return old.modified == new.modified


def _count(totals: DifferenceTotals, found: Difference | None, left: EntryLine, right: EntryLine) -> None:
    if found is None:
        totals.unchanged += 1
        totals.unchanged_bytes += right.size_bytes
    elif found.what is What.METADATA:
        totals.metadata += 1
    elif found.what is What.TIME:
        totals.time += 1
    else:
        totals.content += 1
        totals.content_bytes += right.size_bytes
        totals.grown_bytes += right.size_bytes - left.size_bytes
