"""A source's versions, reduced to what each key was at a past moment, in byte order, in bounded memory.

Stores date versions in steps of a millisecond or a second, and cut off what lies below. So a moment is best taken just
below a whole second: then no version from before it is left out, and none from behind it taken.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, ObjectVersion
from lc2_backup_dagster.engines.files.capture.shards import WHOLE, Shard
from lc2_backup_dagster.engines.files.scratch import Row, RowSorter
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import WindowNotRestorable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNKEPT = "null"
"""S3's id of a version that was written while versioning was off or suspended: the next such write replaces it."""


class PastListing:
    """What the source was at a moment; a context manager that frees its scratch space.

    Attributes:
        excluded: keys the filter left out.
        ordered: whether the store listed in byte order; if not, the listing was sorted here.
        superseded: versions that are kept although they were replaced, or their key deleted, before the moment. None
            of them shows nothing; one shows that whatever removes old versions has not come to the moment yet. Complete
            once ``newest`` was read to its end.
    """

    def __init__(self, scratch: Path | None, *, run_rows: int = 50_000) -> None:
        self.excluded = 0
        self.superseded = 0
        self._sorter = RowSorter(scratch, run_rows=run_rows)

    @property
    def ordered(self) -> bool:
        """Whether keys came in byte order."""
        return self._sorter.ordered

    def take(self, versions: Iterable[ObjectVersion]) -> None:
        """Take versions in any order. Of neighbours with one key only the newest is kept: stores list them so."""
        waiting: ObjectVersion | None = None
        for found in versions:
            if waiting is not None and waiting.info.key == found.info.key:
                waiting = self._newer(waiting, found)
                continue
            if waiting is not None:
                self._sorter.add(version_row(waiting))
            waiting = found
        if waiting is not None:
            self._sorter.add(version_row(waiting))

    def newest(self) -> Iterator[ObjectVersion]:
        """Yield what every key was, in ascending order: a version, or a delete marker. To be read once."""
        waiting: ObjectVersion | None = None
        for row in self._sorter.rows():
            found = version_of_row(row)
            if waiting is not None and waiting.info.key == found.info.key:
                waiting = self._newer(waiting, found)
                continue
            if waiting is not None:
                yield waiting
            waiting = found
        if waiting is not None:
            yield waiting

    def _newer(self, one: ObjectVersion, other: ObjectVersion) -> ObjectVersion:
        if one.info.version == other.info.version:
            return one  # listed twice, at the border of two pages
        # Equal times leave the order open. What is known to be the latest wins, then content (a file too many harms
        # nobody, one too few does), then what the store listed first, which is the newer one where it promises order.
        newer, older = (other, one) if _age(other) > _age(one) else (one, other)
        self.superseded += not older.is_delete_marker
        return newer

    def close(self) -> None:
        """Free memory and disk."""
        self._sorter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def list_as_of(
    store: ObjectStore,
    moment: datetime,
    *,
    kept_since: datetime,
    now: Callable[[], datetime],
    shard: Shard = WHOLE,
    include: Callable[[str], bool] | None = None,
    scratch: Path | None = None,
    run_rows: int = 50_000,
) -> PastListing:
    """List all versions of a store and keep those from before a moment.

    Args:
        store: the source; it keeps versions.
        moment: what is wanted, by the store's clock.
        kept_since: when the source is known to have kept versions already.
        now: tells the store's time.
        shard: only keys that belong to it.
        include: says which keys count; all when None.
        scratch: folder for what does not fit into memory.
        run_rows: keys kept in memory.

    Raises:
        WindowNotRestorable: the moment is not past by the store's clock, or versions were not kept all the time since
            ``kept_since``.
        ConfigurationError: the store keeps no versions.
        StoreUnavailable: the listing broke off; a shorter one is never taken for the whole (L-28).
    """
    if (told := now()) <= moment:
        raise WindowNotRestorable(
            f"by the clock of {store.url} it is {to_text(told)}: {to_text(moment)} has not passed there",
            hint="wait, or set the clocks",
        )
    listing = PastListing(scratch, run_rows=run_rows)
    try:
        listing.take(_wanted(store, moment, listing, kept_since=kept_since, shard=shard, include=include))
    except BaseException:
        listing.close()
        raise
    return listing


def _wanted(
    store: ObjectStore,
    moment: datetime,
    listing: PastListing,
    *,
    kept_since: datetime,
    shard: Shard,
    include: Callable[[str], bool] | None,
) -> Iterator[ObjectVersion]:
    left_out: str | None = None
    for found in store.list_versions(shard.prefix):
        info = found.info
        if info.key not in shard:
            continue
        if info.version == _UNKEPT and info.modified > kept_since:
            raise WindowNotRestorable(
                f"versioning of {store.url} was off at {to_text(info.modified)}: {info.key!r} was written without a "
                "version then, and nothing tells what else was replaced",
                key=info.key,
            )
        if include is not None and not include(info.key):
            listing.excluded += info.key != left_out
            left_out = info.key
        elif info.modified <= moment:
            yield found


def _age(found: ObjectVersion) -> tuple[datetime, bool, bool]:
    return found.info.modified, found.is_latest, not found.is_delete_marker


def version_row(found: ObjectVersion) -> Row:
    """Return a version as a row that sorts by its key."""
    info = found.info
    modified = (info.modified - _EPOCH) // _MICROSECOND
    return [info.key, info.size_bytes, modified, info.etag, info.version, found.is_delete_marker, found.is_latest]


def version_of_row(row: Row) -> ObjectVersion:
    """Return the version that a row was made of."""
    key, size_bytes, modified, etag, version, is_delete_marker, is_latest = row
    info = ObjectInfo(key, size_bytes, _EPOCH + _MICROSECOND * modified, etag, version)
    return ObjectVersion(info, is_delete_marker=is_delete_marker, is_latest=is_latest)
