"""Read one file of a backup, proven."""

from collections.abc import Iterator
from dataclasses import dataclass

from lc2_backup_dagster.engines.files.contents import StoredContents
from lc2_backup_dagster.engines.files.manifest.entry import Copied, FileEntry
from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.model.errors import SourceChanged
from lc2_backup_dagster.operations.browse.stored_files import files_backup, members_named, stored_file
from lc2_backup_dagster.repository.site import SiteRepository


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file of a backup, open for reading.

    Attributes:
        entry: what the backup says of it.
        pieces: its bytes, at most 8 MiB at once; the last ones only after all of them were proven.
    """

    entry: FileEntry
    pieces: Iterator[bytes]


def read_file(repository: SiteRepository, backup: str, key: str) -> ReadFile:
    """Open one file of a backup.

    Args:
        repository: the site's repository.
        backup: id of a recovery point or a files backup, or ``latest``.
        key: the file's key, whole.

    Raises:
        RecoveryPointNotFound: no such backup.
        ObjectNotFound: the backup has no such file.
        PartMissing: while reading: what is stored is gone.
        PartCorrupt: while reading: what is stored is not what was promised.
        SourceChanged: while reading: its SHA-256 is pending, and the copy is not known to be the one that was made.
    """
    entry = stored_file(repository, files_backup(repository, backup), key, members=members_named(repository, backup))
    return ReadFile(entry, _proven(repository, entry))


def _proven(repository: SiteRepository, entry: FileEntry) -> Iterator[bytes]:
    where = entry.location
    contents = StoredContents(repository)
    if not isinstance(where, Copied) or entry.sha256 is not None:
        yield from contents.pieces(entry)
        return
    # Nobody has computed its SHA-256 yet: only the etag that the store gave its own copy can tell that it is that copy.
    stored = object_key(repository.site, where.identity)
    unproven = SourceChanged(
        f"nothing proves the bytes of {entry.key!r}: its SHA-256 is pending, and {stored} in {repository.store.url} "
        "is not known to be the copy that was made",
        hint="lc2-backup restore brings it back all the same and names it as unproven",
        key=stored,
    )
    if where.etag is None:
        raise unproven
    try:
        yield from contents.pieces(entry, exact=True)
    except SourceChanged as error:
        raise unproven from error
