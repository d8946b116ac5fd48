"""What is durable, and what follows from it: the position the server may be told, the statement until when, tidying.

Nothing here is needed to keep WAL safe: a statement or a deletion that fails is tried again with the next one, and the
reason is shown.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from lc2_backup_dagster.engines.postgres.wal.samples import PositionSampler
from lc2_backup_dagster.engines.postgres.wal.stored import drop_beginnings
from lc2_backup_dagster.engines.postgres.wal.uploads import Durable
from lc2_backup_dagster.model.errors import BackupError, WalDiverged
from lc2_backup_dagster.repository.wal.archive import WalArchive
from lc2_backup_dagster.repository.wal.header import Sample


class WalLedger:
    """The durable end of one system's WAL.

    Args:
        archive: where WAL lies.
        interval_seconds: shortest time between two statements.
    """

    def __init__(self, archive: WalArchive, *, interval_seconds: float) -> None:
        self._archive = archive
        self._interval = interval_seconds
        self._timeline = 0
        self._counted = 0
        self._stated: Sample | None = None
        self._stated_at = float("-inf")
        self._statement: Future[None] | None = None
        self._diverged: WalDiverged | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="wal-ledger")
        self.trouble: str | None = None
        self.durable = 0
        self.segments = 0
        self.bytes_stored = 0

    @property
    def restorable_until(self) -> datetime | None:
        """The time that was stated last."""
        return self._stated.time if self._stated else None

    def begin(self, *, start: int, timeline: int, durable: int) -> None:
        """Take where a connection begins to receive, and what is durable on its server's way of timelines.

        What was durable before counts no more: the server may be another one that has left the way further back, and
        would take a position behind that for WAL of its own that is safe here. Nothing may be on its way any more.
        """
        self._counted = start if durable < self.durable else max(self._counted, start)
        self.durable, self._timeline = durable, timeline

    def leave(self, at: int) -> None:
        """Take where the timeline was left: what was received of it behind that is no part of the way."""
        self.durable, self._counted = min(self.durable, at), min(self._counted, at)

    def add(self, what: Durable, *, had_partials: bool) -> None:
        """Take what has become durable, and remove what it makes superfluous."""
        self.bytes_stored += max(0, what.end - self._counted)
        self._counted = max(self._counted, what.end)
        if what.end >= self.durable:
            self.durable, self._timeline = what.end, what.timeline
        if what.whole:
            self.segments += 1
        if had_partials:
            self._later(lambda: self._archive.drop_partials(what.name, below=None if what.whole else what.end))

    def sweep(self, timeline: int, *, start_after: str | None, segment_bytes: int) -> None:
        """Remove beginnings of whole segments that an earlier process left behind, once they are known to be such."""

        def remove() -> None:
            stored = self._archive.stored(timeline, start_after=start_after)
            whole = {each.name for each in stored.segments}
            for name in sorted({each.name for each in stored.partials if each.name in whole}):
                ends = [each.end_lsn for each in stored.partials if each.name == name]
                drop_beginnings(self._archive, name, segment_bytes=segment_bytes, ends=ends)

        self._later(remove)

    def state(self, sampler: PositionSampler, *, at_once: bool = False) -> None:
        """State until when everything is durable, if that is news and long enough ago.

        Raises:
            WalDiverged: tidying has found two histories of one segment.
        """
        if self._diverged is not None:
            raise self._diverged
        if self._statement is not None and not self._statement.done():
            return
        now = time.monotonic()
        if not at_once and now - self._stated_at < self._interval:
            return
        sample = sampler.latest_at(self.durable, timeline=self._timeline)
        if sample is None or (self._stated is not None and sample.time <= self._stated.time):
            return
        timeline = self._timeline

        def put() -> None:
            self._archive.put_position(sample, timeline)
            self._stated = sample

        self._stated_at = now
        self._statement = self._later(put)

    def finish(self, sampler: PositionSampler) -> None:
        """State what there is to state, whenever it was stated last, and wait for it."""
        if self._statement is not None:
            self._statement.result()
        self.state(sampler, at_once=True)
        if self._statement is not None:
            self._statement.result()

    def close(self) -> None:
        """Wait for what is being written."""
        self._pool.shutdown(wait=True)

    def _later(self, task: Callable[[], None]) -> Future[None]:
        def attempt() -> None:
            try:
                task()
            except WalDiverged as error:
                self._diverged, self.trouble = error, str(error)
            except BackupError as error:
                self.trouble = str(error)
            else:
                self.trouble = None

        return self._pool.submit(attempt)
