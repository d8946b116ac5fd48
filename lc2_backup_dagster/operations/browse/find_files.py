"""Look for files in every backup that is kept: which versions there are, and which backups hold each."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import groupby
from pathlib import Path

from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine
from lc2_backup_dagster.engines.files.manifest.selection import Selection
from lc2_backup_dagster.engines.files.scratch import Row, RowSorter
from lc2_backup_dagster.operations.browse.stored_files import kept_lines, points_with_kept, stored_lines
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which versions of which files are looked for.

    Attributes:
        globs: the whole key must match one of these.
        since: modified at this time or later; any when None.
        until: modified at this time or earlier; any when None.
        smallest_bytes: of at least this size.
        largest_bytes: of at most this size; any when None.
    """

    globs: tuple[str, ...]
    since: datetime | None = None
    until: datetime | None = None
    smallest_bytes: int = 0
    largest_bytes: int | None = None

    def fits(self, line: EntryLine) -> bool:
        """Say whether time and size are wanted."""
        return (
            line.size_bytes >= self.smallest_bytes
            and (self.largest_bytes is None or line.size_bytes <= self.largest_bytes)
            and (self.since is None or line.modified >= self.since)
            and (self.until is None or line.modified <= self.until)
        )


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of a file.

    Attributes:
        key: of the file.
        size_bytes: length of the content.
        modified: time of the last write, UTC.
        etag: the source's etag, or None.
        version: the source's version id, or None.
        sha256: of the content; None while no backup that holds it knows.
        backups: ids of the backups that hold this version, newest first; of a version that a files backup kept for the
            rows of a dump, beside its listing, those of the recovery points that bind both: only they bring it back.
    """

    key: str
    size_bytes: int
    modified: datetime
    etag: str | None
    version: str | None
    sha256: str | None
    backups: tuple[str, ...]


def find_versions(
    repository: SiteRepository,
    backups: Sequence[CommittedBackup],
    wanted: Wanted,
    *,
    scratch: Path,
    reading: Callable[[CommittedBackup], None] = lambda backup: None,
) -> Iterator[FileVersion]:
    """Yield every wanted version, ascending by key, of each key the one that was seen last first.

    Versions are told apart by size, time, etag and version id, as captures do. What was found waits on local disk
    until the last backup was read, for its backups are not known before; memory does not grow with it. Of a single
    backup nothing waits.

    Args:
        repository: the site's repository.
        backups: the backups of files to look into, newest first.
        wanted: what is looked for.
        scratch: the site's scratch directory.
        reading: told each backup before it is read.

    Raises:
        ConfigurationError: a glob is malformed.
        StorageFull: scratch is full.
        BackupError: a backup cannot be read.
    """
    selection = Selection.matching(wanted.globs)
    names: list[str] = []

    def matching(lines: Iterator[EntryLine], holders: Sequence[str]) -> Iterator[Row]:
        numbers = range(len(names), len(names) + len(holders))
        names.extend(holders)
        for line in lines:
            if line.key in selection and wanted.fits(line):
                for number in numbers:
                    yield _row(line, number)

    def rows(backup: CommittedBackup) -> Iterator[Row]:
        reading(backup)
        with ExitStack() as stack:
            prefix = selection.fixed_prefix
            listed = stack.enter_context(stored_lines(repository, backup, prefix=prefix))
            kept = stack.enter_context(kept_lines(repository, backup, prefix=prefix))
            points = [each.backup_id for each in points_with_kept(repository, backup)]
            yield from merge(matching(listed, [backup.backup_id]), matching(kept, points), key=lambda row: row[0])

    if len(backups) == 1:
        yield from _versions(rows(backups[0]), names)
        return
    with (
        scratch_folder(scratch, repository.site, "find") as folder,
        RowSorter(folder) as found,
    ):
        for backup in backups:
            for row in rows(backup):
                found.add(row)
        yield from _versions(found.rows(), names)


def _row(line: EntryLine, backup: int) -> Row:
    entry = line.entry()
    return [line.key, backup, line.size_bytes, line.microseconds, entry.etag, entry.version, entry.sha256]


def _versions(rows: Iterator[Row], names: Sequence[str]) -> Iterator[FileVersion]:
    """Put rows, ascending by key and then from the newest backup on, together to versions."""
    for _, same_key in groupby(rows, key=lambda row: row[0]):
        versions: dict[tuple[object, ...], FileVersion] = {}
        for key, backup, size_bytes, microseconds, etag, version, sha256 in same_key:
            identity = (size_bytes, microseconds, etag, version)
            known = versions.get(identity)
            if known is None:
                modified = _EPOCH + _MICROSECOND * microseconds
                known = FileVersion(key, size_bytes, modified, etag, version, sha256, ())
            versions[identity] = replace(known, sha256=known.sha256 or sha256, backups=(*known.backups, names[backup]))
        yield from versions.values()
