"""What happened between two listings: a merge of two sorted streams, in fixed memory. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from lc2_backup_dagster.clouds.store import ObjectInfo, PosixKind
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry, Protection
from lc2_backup_dagster.model.errors import ManifestCorrupt

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The backup before holds this version already."""

    entry: FileEntry


@dataclass(frozen=True, slots=True)
class Added:
    """A file the backup before does not have."""

    info: ObjectInfo


@dataclass(frozen=True, slots=True)
class Changed:
    """Another version than the backup before has, or the same one under another protection."""

    info: ObjectInfo
    previous: FileEntry


@dataclass(frozen=True, slots=True)
class FactsChanged:
    """The backup before holds this content already, but owner, mode or where a link leads have changed since."""

    info: ObjectInfo
    previous: FileEntry


@dataclass(frozen=True, slots=True)
class Removed:
    """The file is gone (or no longer included)."""

    previous: FileEntry


@dataclass(frozen=True, slots=True)
class Resumed:
    """Added or changed, and a dead attempt that this one takes over has copied this version already."""

    change: Added | Changed
    entry: FileEntry


Change = Unchanged | Added | Changed | FactsChanged | Removed


def same_version(entry: FileEntry, info: ObjectInfo) -> bool:
    """Say whether a listing shows the version that was captured; POSIX facts are no part of a version.

    An etag does not cover content type and metadata, so the time counts as well: to the second, because a store may
    tell whole seconds when asked for one object and fractions when listing. A listing without version ids is compared
    without them. Without an etag the time must be equal to the microsecond.
    """
    if entry.size_bytes != info.size_bytes or entry.etag != info.etag:
        return False
    if entry.version is not None and info.version is not None:
        return entry.version == info.version
    if entry.etag is None:
        return entry.modified == info.modified
    return entry.modified.replace(microsecond=0) == info.modified.replace(microsecond=0)


def changes(
    previous: Iterable[FileEntry], current: Iterable[ObjectInfo], *, protection_of: Callable[[str], Protection]
) -> Iterator[Change]:
    """Yield what happened to every key of either side, in ascending order.

    Args:
        previous: entries of the backup before, ascending.
        current: the listing, ascending.
        protection_of: the protection a key must have now.

    Raises:
        ManifestCorrupt: one side is not ascending; a merge of it would silently drop files.
    """
    old = ascending(previous, lambda entry: entry.key, "the manifest of the backup before")
    entry = next(old, None)
    for info in ascending(current, lambda each: each.key, "the listing"):
        while entry is not None and entry.key < info.key:
            yield Removed(entry)
            entry = next(old, None)
        if entry is None or entry.key != info.key:
            yield Added(info)
            continue
        if not same_version(entry, info) or not _is_protected(entry, protection_of):
            yield Changed(info, entry)
        elif entry.posix != info.posix:
            yield FactsChanged(info, entry)
        else:
            yield Unchanged(entry)
        entry = next(old, None)
    while entry is not None:
        yield Removed(entry)
        entry = next(old, None)


def with_finished(
    found: Iterable[Change], finished: Iterable[FileEntry], *, protection_of: Callable[[str], Protection]
) -> Iterator[Change | Resumed]:
    """Mark what a dead attempt has copied already.

    Args:
        found: changes, ascending.
        finished: what the journals of dead attempts name, ascending; of equal keys any may fit.
        protection_of: the protection a key must have now.
    """
    done = ascending(finished, lambda entry: entry.key, "the journal", repeats=True)
    entry = next(done, None)
    for change in found:
        if not isinstance(change, Added | Changed):
            yield change
            continue
        info, fitting = change.info, None
        while entry is not None and entry.key <= info.key:
            if entry.key == info.key and same_version(entry, info) and _is_protected(entry, protection_of):
                fitting = replace(entry, posix=info.posix)  # they may have changed since
            entry = next(done, None)
        yield change if fitting is None else Resumed(change, fitting)


def _is_protected(entry: FileEntry, protection_of: Callable[[str], Protection]) -> bool:
    return entry.kind is not PosixKind.FILE or entry.protection is protection_of(entry.key)


def ascending(items: Iterable[_T], key: Callable[[_T], str], what: str, *, repeats: bool = False) -> Iterator[_T]:
    """Yield the items, having checked that their keys ascend.

    Raises:
        ManifestCorrupt: they do not.
    """
    last: str | None = None
    for item in items:
        here = key(item)
        if last is not None and (here < last or (here == last and not repeats)):
            raise ManifestCorrupt(f"{what} is not in byte order: {here!r} after {last!r}")
        last = here
        yield item
