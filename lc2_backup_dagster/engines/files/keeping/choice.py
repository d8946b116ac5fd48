"""Which of the contents that are known of a file is the one that the rows meant. Pure.

What fits the size that the rows promise, as it was at their moment: the newest one that is not younger. The moment is
told by the database's clock and a file's time by that of its store; where they disagree, or a file and its row were
written one after the other with the moment in between, the oldest of the younger ones fits next. Stores tell times in
whole seconds, so within one second only the size tells contents apart.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectVersion, PosixKind
from lc2_backup_dagster.engines.files.capture.changes import same_version
from lc2_backup_dagster.engines.files.keeping.wanted import WantedFile
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def best_version(wanted: WantedFile, versions: Iterable[ObjectVersion], moment: datetime) -> ObjectInfo | None:
    """Return the version of a file that the rows meant, or None when no version can be it.

    Delete markers do not count: rows named the file.

    Args:
        wanted: the file.
        versions: its versions; of equally old ones the newest first, as stores list them.
        moment: when the rows were read.
    """
    fitting = (each.info for each in versions if not each.is_delete_marker and wanted.fits(each.info.size_bytes))
    return min(fitting, key=lambda info: _distance(info.modified, moment), default=None)


def best_content(
    wanted: WantedFile, version: ObjectInfo | None, known: Iterable[FileEntry], moment: datetime
) -> FileEntry | ObjectInfo | None:
    """Return what is to be kept for the rows, or None when what was listed is as good, or nothing can be it.

    Args:
        wanted: the file.
        version: the best version that the source has.
        known: what an earlier backup has of the file; it costs nothing.
        moment: when the rows were read.
    """
    fitting = [each for each in known if _may_be(wanted, each)]
    held = min(fitting, key=lambda entry: _distance(entry.modified, moment), default=None)
    chosen: FileEntry | ObjectInfo | None = held
    if version is not None:
        same = next((each for each in fitting if same_version(each, version)), None)
        if same is not None:
            chosen = same
        elif held is None or _distance(version.modified, moment) <= _distance(held.modified, moment):
            chosen = version
    if chosen is None or _is_listed(wanted, chosen):
        return None
    if wanted.listed_fits and chosen.modified > moment:
        return None
    return chosen


def _may_be(wanted: WantedFile, entry: FileEntry) -> bool:
    if entry.kind is PosixKind.FILE:
        return wanted.fits(entry.size_bytes)
    return entry.kind is PosixKind.SYMLINK


def _is_listed(wanted: WantedFile, chosen: FileEntry | ObjectInfo) -> bool:
    listed_at = _EPOCH + timedelta(microseconds=wanted.listed_at)
    return (wanted.listed_bytes, _second(listed_at)) == (chosen.size_bytes, _second(chosen.modified))


def _distance(modified: datetime, moment: datetime) -> tuple[bool, timedelta]:
    # To the second: a backup may have asked for the single object, and was told no more.
    return modified > moment, abs(moment - _second(modified))


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
