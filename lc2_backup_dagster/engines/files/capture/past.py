"""A past moment of a library, from the versions its source kept and from what backups before and after it captured.

What a source listed of a moment that has passed is believed only as far as backups confirm it: they know what was there
when they were made. Three things are told apart:

* a file that a later backup captured in a version from before the moment was there in between, in that version. If the
  source has lost the version since, the backup still holds the content: nothing is missing;
* a file that an earlier backup captured must be listed in that version or a later one, or as deleted later. If it is
  not, its version was removed, and nothing tells what it was at the moment: **it is missing, and the backup partial**;
* where earlier backups know of versions that were replaced before the moment and the source has not one such version
  any more, old versions are being removed, and nothing tells how far: **the moment cannot be restored**.

What no backup knows (a file that was written after the one and replaced before the other) and the source has removed
leaves no trace. Nobody can tell that it was ever there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from lc2_backup_dagster.clouds.store import ObjectVersion
from lc2_backup_dagster.engines.files.capture.changes import (
    Added,
    Change,
    Changed,
    Removed,
    Unchanged,
    ascending,
    same_version,
)
from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry, Protection
from lc2_backup_dagster.model.clock import to_text


@dataclass(frozen=True, slots=True)
class Known:
    """What a backup knows of a file.

    Attributes:
        entry: what it captured; it must be one of the attempt's bases.
        proven: the file was in this version at the moment that is wanted.
    """

    entry: FileEntry
    proven: bool


@dataclass(frozen=True, slots=True)
class AsOf:
    """A past moment that is wanted.

    Attributes:
        moment: the moment, by the source's clock.
        kept_since: when the source is known to have kept versions already: an earlier backup saw it do so.
        known: what backups before and after the moment know, ascending (``known_at``).
    """

    moment: datetime
    kept_since: datetime
    known: Iterable[Known] = ()


@dataclass(slots=True)
class PastFindings:
    """What comparing a source's versions with backups came to.

    Attributes:
        missing: files whose version is gone and of which nothing tells what they were.
        held: files whose version is gone from the source and held by a backup.
        replaced: files that an earlier backup knows in a version that was replaced, or deleted, before the moment.
    """

    missing: Sampled = field(default_factory=Sampled)
    held: int = 0
    replaced: int = 0


def known_at(moment: datetime, before: Iterable[FileEntry], after: Iterable[FileEntry]) -> Iterator[Known]:
    """Merge what two backups know of a moment between them, ascending.

    Args:
        moment: what is wanted.
        before: entries of a backup whose listing ended at the moment or before it.
        after: entries of one whose listing began at the moment or after it. A file that came only then says nothing.
    """
    old = ascending(before, lambda entry: entry.key, "the manifest of the backup before")
    waiting = next(old, None)
    for entry in ascending(after, lambda each: each.key, "the manifest of the backup after"):
        if entry.modified > moment:
            continue
        while waiting is not None and waiting.key < entry.key:
            yield Known(waiting, proven=False)
            waiting = next(old, None)
        if waiting is not None and waiting.key == entry.key:
            waiting = next(old, None)
        yield Known(entry, proven=True)
    while waiting is not None:
        yield Known(waiting, proven=False)
        waiting = next(old, None)


def changes_as_of(
    known: Iterable[Known],
    listed: Iterable[ObjectVersion],
    findings: PastFindings,
    *,
    protection_of: Callable[[str], Protection],
) -> Iterator[Change]:
    """Yield what the library at a past moment is against what backups hold, in ascending order.

    Args:
        known: what backups know, ascending.
        listed: what the source listed of the moment, a key once, ascending.
        findings: is filled in.
        protection_of: the protection a key must have now.

    Raises:
        ManifestCorrupt: one side is not ascending; a merge of it would silently drop files.
    """
    told = ascending(known, lambda each: each.entry.key, "what backups know")
    waiting = next(told, None)
    for found in ascending(listed, lambda each: each.info.key, "the listing"):
        while waiting is not None and waiting.entry.key < found.info.key:
            yield from _unlisted(waiting, findings)
            waiting = next(told, None)
        if waiting is not None and waiting.entry.key == found.info.key:
            yield from _both(waiting, found, findings, protection_of(found.info.key))
            waiting = next(told, None)
        elif not found.is_delete_marker:
            yield Added(found.info)
    while waiting is not None:
        yield from _unlisted(waiting, findings)
        waiting = next(told, None)


def _both(known: Known, found: ObjectVersion, findings: PastFindings, protection: Protection) -> Iterator[Change]:
    entry, info = known.entry, found.info
    if not found.is_delete_marker and same_version(entry, info):
        yield Unchanged(entry) if entry.protection is protection else Changed(info, entry)
        return
    # To the second: a backup may have asked for the single object, and was told no more.
    if _second(info.modified) < _second(entry.modified):
        yield from _unlisted(known, findings)
        return
    findings.replaced += not known.proven
    yield Removed(entry) if found.is_delete_marker else Changed(info, entry)


def _unlisted(known: Known, findings: PastFindings) -> Iterator[Change]:
    entry = known.entry
    if known.proven:
        findings.held += 1
        yield Unchanged(entry)
        return
    findings.missing.add(
        entry.key,
        f"its version of {to_text(entry.modified)} was captured before and is gone from the source; nothing tells "
        "what the file was",
    )


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
