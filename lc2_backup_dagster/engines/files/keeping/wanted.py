"""Which files a listing owes to the rows of a dump: a merge of two sorted streams, in fixed memory. Pure.

The listing is younger than the rows. A file that rows name is owed when it is not listed (it was deleted since), or
when what is listed may be something else than what the rows meant: it was written after their moment, or shortly
before it and in another size than they promise (an application writes a file and its row one after the other, and the
moment may lie in between). A file that was written long before the moment in another size is what was there at the
moment: the row is wrong, and no older content would be right.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter

from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine
from lc2_backup_dagster.engines.files.scratch import Row
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.errors import ConfigurationError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
BETWEEN_FILE_AND_ROW = timedelta(minutes=15)
"""Longest time that an application takes between writing a file and committing its row."""


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file that rows name and that was not listed as they promise it, or perhaps not.

    Attributes:
        key: its key.
        sizes: the sizes that rows promise; empty when no row says one.
        listed_bytes: size of what was listed; None when nothing was.
        listed_at: when that was written, in microseconds since 1970 UTC.
    """

    key: str
    sizes: tuple[int, ...] = ()
    listed_bytes: int | None = None
    listed_at: int = 0

    def fits(self, size_bytes: int) -> bool:
        """Say whether a content of this size can be what the rows mean."""
        return not self.sizes or size_bytes in self.sizes

    @property
    def listed_fits(self) -> bool:
        """Whether what was listed can be what the rows mean."""
        return self.listed_bytes is not None and self.fits(self.listed_bytes)

    def row(self) -> Row:
        """Return it as a row that sorts by its key."""
        return [self.key, list(self.sizes), self.listed_bytes, self.listed_at]

    @classmethod
    def of_row(cls, row: Row) -> "WantedFile":
        """Return what ``row`` was made of."""
        key, sizes, listed_bytes, listed_at = row
        return cls(key, tuple(sizes), listed_bytes, listed_at)


def wanted_files(
    references: Iterable[FileReference], listed: Iterable[EntryLine], *, moment: datetime
) -> Iterator[WantedFile]:
    """Yield the files that the listing owes to the rows, ascending.

    Args:
        references: the rows, in ascending byte order of their keys.
        listed: lines of the new manifest, ascending.
        moment: when the rows were read.

    Raises:
        ConfigurationError: the references are not in byte order.
    """
    there = iter(listed)
    line = next(there, None)
    last: str | None = None
    at = (moment - _EPOCH) // _MICROSECOND
    recent = at - BETWEEN_FILE_AND_ROW // _MICROSECOND
    for key, rows in groupby(references, key=attrgetter("key")):
        if last is not None and key < last:
            raise ConfigurationError(
                f"the references are not in byte order: {key!r} after {last!r}",
                hint='order them in the query: ORDER BY … COLLATE "C"',
            )
        last = key
        sizes = tuple(sorted({each.size_bytes for each in rows if each.size_bytes is not None}))
        while line is not None and line.key < key:
            line = next(there, None)
        if line is None or line.key != key or line.is_folder:
            yield WantedFile(key, sizes)
        else:
            if line.microseconds <= recent:  # nearly all of them
                continue
            wanted = WantedFile(key, sizes, line.size_bytes, line.microseconds)
            is_doubtful = line.microseconds > at or not wanted.listed_fits
            if is_doubtful and line.entry().kind is PosixKind.FILE:
                yield wanted
