"""The source's listing, filtered, timed and in byte order, whatever order the store lists in.

The whole listing is taken before anything is copied: its interval is the moment of the backup, and a copy of many
hours would stretch it. It waits on local disk (about 100 bytes a file), so memory stays bounded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, PosixKind
from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.engines.files.capture.shards import WHOLE, Shard, list_shard
from lc2_backup_dagster.engines.files.manifest.facts import facts_of_row, facts_row
from lc2_backup_dagster.engines.files.manifest.folders import FoldersAbove
from lc2_backup_dagster.engines.files.scratch import Row, RowSorter
from lc2_backup_dagster.model.clock import Clock, SystemClock
from lc2_backup_dagster.model.errors import AccessDenied

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class Inventory:
    """A finished listing; a context manager that frees its scratch space.

    Attributes:
        started: before the first page was asked for, by the store's clock where it may be asked.
        finished: after the last page, by the same clock.
        count: files, links and folders listed and included.
        size_bytes: their size together.
        excluded: files and links the filter left out.
        ordered: whether the store listed in byte order; if not, the listing was sorted here.
        special: pipes, sockets and devices; they have no content to keep and are only named.
    """

    started: datetime
    finished: datetime
    count: int
    size_bytes: int
    excluded: int
    ordered: bool
    special: Sampled
    _sorter: RowSorter

    def objects(self) -> Iterator[ObjectInfo]:
        """Yield every file once, in ascending byte order; can be called again.

        A key that was listed twice (it was rewritten while pages were fetched) is given once, in its later version.
        """
        waiting: ObjectInfo | None = None
        for row in self._sorter.rows():
            found = _from_row(row)
            if waiting is not None and waiting.key == found.key:
                waiting = max(waiting, found, key=lambda each: each.modified)
                continue
            if waiting is not None:
                yield waiting
            waiting = found
        if waiting is not None:
            yield waiting

    def close(self) -> None:
        """Free memory and disk."""
        self._sorter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def take_inventory(
    store: ObjectStore,
    *,
    prefix: str = "",
    shard: Shard = WHOLE,
    include: Callable[[str], bool] | None = None,
    scratch: Path | None = None,
    clock: Clock | None = None,
    run_rows: int = 50_000,
) -> Inventory:
    """List a store whole.

    Args:
        store: what is listed.
        prefix: only keys that begin with it.
        shard: only keys that belong to it; the prefix is empty then.
        include: says which keys count; all when None. A folder counts too when something in it does.
        scratch: folder for what does not fit into memory.
        clock: tells the time where the store must not be asked (a directory tells it by writing); this machine's
            when None.
        run_rows: files kept in memory.

    Raises:
        StoreUnavailable: the listing broke off; a shorter one is never taken for the whole (L-28).
        AccessDenied: listing is not allowed.
        StorageFull: the scratch folder is full.
    """
    sorter = RowSorter(scratch, run_rows=run_rows)
    try:
        tell = clock_of(store, clock or SystemClock())
        started = tell()
        excluded = size_bytes = 0
        special, above = Sampled(), FoldersAbove[ObjectInfo]()
        for found in _listed(store, prefix, shard):
            if include is not None and not include(found.key):
                if found.kind is PosixKind.DIRECTORY:
                    above.leave_out(found.key, found)
                else:
                    excluded += 1
            elif found.kind is PosixKind.SPECIAL:
                special.add(found.key, "a pipe, socket or device")
            else:
                size_bytes += found.size_bytes
                for each in (*above.of(found.key), found):
                    sorter.add(_to_row(each))
        return Inventory(
            started=started,
            finished=tell(),
            count=sorter.count,
            size_bytes=size_bytes,
            excluded=excluded,
            ordered=sorter.ordered,
            special=special,
            _sorter=sorter,
        )
    except BaseException:
        sorter.close()
        raise


def _listed(store: ObjectStore, prefix: str, shard: Shard) -> Iterator[ObjectInfo]:
    if shard != WHOLE:
        return list_shard(store, shard)
    # Sorted here anyway where the store's order is not that of bytes; then several pages at once cost nothing.
    return store.list(prefix) if store.capabilities.ordered_listing else store.list_unordered(prefix)


def clock_of(store: ObjectStore, fallback: Clock) -> Callable[[], datetime]:
    """Return how to ask a store for its time, or the fallback where it must not be asked."""
    try:
        store.now()
    except AccessDenied:  # a source that is only readable, as it should be
        return fallback.now
    return store.now


def _to_row(found: ObjectInfo) -> Row:
    modified = (found.modified - _EPOCH) // _MICROSECOND
    row = [found.key, found.size_bytes, modified, found.etag, found.version]
    return row if found.posix is None else [*row, facts_row(found.posix)]


def _from_row(row: Row) -> ObjectInfo:
    key, size_bytes, modified, etag, version, *facts = row
    posix = facts_of_row(facts[0]) if facts else None
    return ObjectInfo(key, size_bytes, _EPOCH + _MICROSECOND * modified, etag, version, posix=posix)
