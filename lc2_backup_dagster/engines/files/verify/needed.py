"""The stored objects that manifests name, each once with everything that is promised of it, in order of their keys.

A bundle holds many files, a file may have many parts, and the backups of a site share most of their objects; so
entries become rows that are sorted by object key on local disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, FileEntry, Parts
from lc2_backup_dagster.engines.files.scratch import Row, RowSorter
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.parts import Part


@dataclass(frozen=True, slots=True)
class Use:
    """What one file needs of a stored object.

    Attributes:
        file: key of the file.
        offset: where its bytes begin in the plain text.
        size_bytes: how many they are.
        sha256: of the whole file, or None where it is unknown or the object holds only a part of it.
    """

    file: str
    offset: int
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class NeededObject:
    """One stored object and every file that needs it.

    Attributes:
        key: its key in the repository.
        part: what a sealed object must be; None for a copy made by the store.
        key_id: data key of a sealed object.
        etag: what the store called the copy when it made it.
        checksum: what the store said of its content then, ``algorithm:value``.
        uses: the files.
        pending: a copy that some manifest names without a SHA-256.
    """

    key: str
    part: Part | None
    key_id: str | None
    etag: str | None
    checksum: str | None
    uses: tuple[Use, ...]
    pending: bool

    @property
    def stored_bytes(self) -> int:
        """Length that the object must have."""
        return self.uses[0].size_bytes if self.part is None else self.part.stored_bytes

    @property
    def plain_bytes(self) -> int:
        """Length of what it holds."""
        return self.uses[0].size_bytes if self.part is None else self.part.plain_bytes


def add_needed(sorter: RowSorter, entry: FileEntry, site: SiteId) -> None:
    """Add a row for every object of an entry: its key, what it must be, and the range that the file has in it."""
    where = entry.location
    for key, part in entry.stored_objects(site):
        if isinstance(where, Copied):
            facts = [where.etag, where.checksum]
            sorter.add([key, None, None, facts, entry.key, 0, entry.size_bytes, entry.sha256])
            continue
        assert part is not None
        sealed = [part.plain_bytes, part.stored_bytes, part.plain_sha256, part.stored_sha256]
        if isinstance(where, Bundled):
            sorter.add([key, sealed, where.key_id, None, entry.key, where.offset, where.length, entry.sha256])
        elif isinstance(where, Parts):  # every part proves itself by its own hash
            sorter.add([key, sealed, where.key_id, None, entry.key, 0, part.plain_bytes, None])


def needed_objects(rows: Iterator[Row]) -> Iterator[NeededObject]:
    """Yield every object of sorted rows once."""
    for key, group in groupby(rows, key=itemgetter(0)):
        members = list(group)
        _, sealed, key_id, facts, *_ = members[0]
        etag, checksum = facts or (None, None)
        yield NeededObject(
            key=key,
            part=None if sealed is None else Part(*sealed),
            key_id=key_id,
            etag=etag,
            checksum=checksum,
            uses=_uses(members),
            pending=sealed is None and any(row[7] is None for row in members),
        )


def _uses(members: list[Row]) -> tuple[Use, ...]:
    """Return each file's use once, with its SHA-256 where any backup knows it."""
    if len(members) == 1:
        return (Use(*members[0][4:]),)
    found: dict[tuple[str, int], Use] = {}
    for row in members:
        use = Use(*row[4:])
        if use.sha256 is not None or (use.file, use.offset) not in found:
            found[use.file, use.offset] = use
    return tuple(found.values())
