"""What changed between two exports, from their indexes alone. Pure; streams both, whatever their length."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from lc2_backup_dagster.engines.exports.index import IndexEntry


class ChangeKind(StrEnum):
    """How a document, or a key in it, differs."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class ExportChange:
    """A document that differs.

    Attributes:
        path: its path.
        kind: how it differs.
        old: where it stands in the older export, None when it was added.
        new: where it stands in the newer export, None when it was removed.
    """

    path: str
    kind: ChangeKind
    old: IndexEntry | None
    new: IndexEntry | None


@dataclass(slots=True)
class ChangeCounts:
    """How many documents differ, for lists and metadata."""

    added: int = 0
    removed: int = 0
    changed: int = 0

    def count(self, kind: ChangeKind) -> None:
        """Count one more."""
        match kind:
            case ChangeKind.ADDED:
                self.added += 1
            case ChangeKind.REMOVED:
                self.removed += 1
            case ChangeKind.CHANGED:
                self.changed += 1

    @property
    def total(self) -> int:
        """All of them together; 0 means that the exports are equal."""
        return self.added + self.removed + self.changed


def diff_exports(old: Iterable[IndexEntry], new: Iterable[IndexEntry]) -> Iterator[ExportChange]:
    """Yield every document that was added, removed or changed, ascending by path.

    Args:
        old: the older export's index, ascending as ``read_index`` gives it.
        new: the newer export's.
    """
    olds, news = iter(old), iter(new)
    one, other = next(olds, None), next(news, None)
    while one is not None or other is not None:
        if one is None or (other is not None and other.path.encode() < one.path.encode()):
            assert other is not None
            yield ExportChange(other.path, ChangeKind.ADDED, None, other)
            other = next(news, None)
        elif other is None or one.path.encode() < other.path.encode():
            yield ExportChange(one.path, ChangeKind.REMOVED, one, None)
            one = next(olds, None)
        else:
            if (one.sha256, one.size_bytes) != (other.sha256, other.size_bytes):
                yield ExportChange(one.path, ChangeKind.CHANGED, one, other)
            one, other = next(olds, None), next(news, None)
