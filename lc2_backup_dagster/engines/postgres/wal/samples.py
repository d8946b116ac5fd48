"""What the server says beside its stream, about once a second: pairs of time and position, and the slot's health.

A sample is taken over an ordinary connection. It says "every commit before this time lies at or before this position",
so as soon as everything up to the position is durable, everything up to the time can be restored.
"""

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.base.wal_hold import POSITION_SQL
from lc2_backup_dagster.engines.postgres.servers.server import Server, translated
from lc2_backup_dagster.engines.postgres.wal.slot import SlotHealth, read_slot
from lc2_backup_dagster.model.errors import BackupError
from lc2_backup_dagster.repository.wal.header import Sample

if TYPE_CHECKING:
    import psycopg

# The timeline tells a sample of another server behind the same address; a standby cannot name its own.
_SAMPLE_SQL = f"""
    SELECT p.moment, p.lsn,
           CASE WHEN NOT pg_is_in_recovery()
                THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
           current_setting('wal_block_size')::int,
           (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')
    FROM ({POSITION_SQL}) p(moment, lsn)
"""  # noqa: S608 - put together from constants
_INTERVAL_SECONDS = 1.0
# More than a day of an outage; beyond it the oldest are forgotten, which costs nothing but detail.
_KEPT = 100_000
_PAGE_HEADER_BYTES = 24
_SEGMENT_HEADER_BYTES = 40


class PositionSampler:
    """Samples in a thread, from ``start`` to ``stop``. A connection that breaks is opened anew.

    Args:
        server: the server whose WAL is received.
        slot: the slot's name.
    """

    def __init__(self, server: Server, *, slot: str) -> None:
        self._server = server
        self._slot = slot
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._for_headers: deque[tuple[Sample, int | None]] = deque(maxlen=_KEPT)
        self._for_position: deque[tuple[Sample, int | None]] = deque(maxlen=_KEPT)
        self._latest: Sample | None = None
        self._newest: Sample | None = None
        self._health: SlotHealth | None = None
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._run, name="wal-samples", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; at most a statement later."""
        self._stopped.set()
        self._thread.join()

    @property
    def health(self) -> SlotHealth | None:
        """What the server said of the slot last."""
        return self._health

    @property
    def trouble(self) -> str | None:
        """Why there are no new samples, or None."""
        return self._trouble

    def within(self, begin: int, end: int, *, timeline: int) -> list[Sample]:
        """Return the samples behind ``begin``, up to and with ``end``; for the header of a segment."""
        with self._lock:
            return [each for each, on in self._for_headers if begin < each.lsn <= end and on in (timeline, None)]

    def forget(self, end: int) -> None:
        """Keep no samples for headers up to a position: the segment that ends there has its header."""
        with self._lock:
            while self._for_headers and self._for_headers[0][0].lsn <= end:
                self._for_headers.popleft()

    def latest_at(self, lsn: int, *, timeline: int) -> Sample | None:
        """Return the latest sample at or before a position that becomes durable; later calls name later positions."""
        with self._lock:
            while self._for_position and self._for_position[0][0].lsn <= lsn:
                taken, on = self._for_position.popleft()
                if on in (timeline, None):
                    self._latest = taken
            return self._latest

    @property
    def newest(self) -> Sample | None:
        """The newest sample, or None before the first."""
        return self._newest

    def _run(self) -> None:
        import psycopg

        while not self._stopped.is_set():
            try:
                with self._server.connect() as connection:
                    while True:
                        self._take(connection)
                        if self._stopped.wait(_INTERVAL_SECONDS):
                            return
            except psycopg.Error as error:
                self._trouble = str(translated(error, self._server))
            except BackupError as error:
                self._trouble = str(error)
            self._stopped.wait(_INTERVAL_SECONDS)

    def _take(self, connection: "psycopg.Connection[Any]") -> None:
        row = connection.execute(_SAMPLE_SQL).fetchone()
        assert row is not None
        time, lsn, timeline, page_bytes, segment_bytes = row
        if time is not None and lsn is not None:
            sample = Sample(without_page_header(lsn, page_bytes=page_bytes, segment_bytes=segment_bytes), time)
            with self._lock:
                self._for_headers.append((sample, timeline))
                self._for_position.append((sample, timeline))
            self._newest = sample
        self._health = read_slot(connection, self._slot, server=self._server)
        self._trouble = None


def without_page_header(lsn: int, *, page_bytes: int, segment_bytes: int) -> int:
    """Return where the record before an insert position ends. Pure.

    Behind a full page the insert position stands after the next page's header, which is not written before the next
    record is: on an idle server such a position would never be reached by what is flushed. No record ends there.
    """
    into_segment = lsn % segment_bytes
    header = _SEGMENT_HEADER_BYTES if into_segment < page_bytes else _PAGE_HEADER_BYTES
    return lsn - header if lsn % page_bytes == header else lsn
