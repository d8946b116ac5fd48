"""Hold WAL while a base backup runs, and observe which moment the backup reaches.

A temporary physical slot with reserved WAL belongs to its connection: it vanishes with it, whatever ends this
process. A sampler notes pairs of time and WAL position. The moment of a base backup is its *stop* position, which
has no time of its own; the latest sample at or before it is the honest one: everything committed by then is in it.
"""

import secrets
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.servers.replication import identify, replication_command
from lc2_backup_dagster.engines.postgres.servers.server import Server, translated
from lc2_backup_dagster.model.errors import BackupError
from lc2_backup_dagster.repository.wal.header import Sample

if TYPE_CHECKING:
    import psycopg

# The time comes first: a transaction that had committed by then has its record before the position read after it.
# A standby's own clock says nothing of what it has replayed, so there it is the time of the last replayed commit.
POSITION_SQL = """
    SELECT CASE WHEN pg_is_in_recovery()
                THEN coalesce(pg_last_xact_replay_timestamp(), (SELECT checkpoint_time FROM pg_control_checkpoint()))
                ELSE clock_timestamp() END,
           (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END
             - '0/0'::pg_lsn)::bigint
"""
_INTERVAL_SECONDS = 0.5
# About 14 hours; older samples than these cannot be the latest before the stop position of any sane backup.
_KEPT_SAMPLES = 100_000


class WalHold:
    """A slot that keeps WAL, and the samples taken while it is held. Made by ``hold_wal``."""

    def __init__(self, server: Server, *, slot: "psycopg.Connection[Any]", sampler: "psycopg.Connection[Any]") -> None:
        self._server = server
        self._slot = slot
        self._sampler = sampler
        self._failure: BackupError | None = None
        self._stopped = threading.Event()
        self._samples: deque[Sample] = deque(maxlen=_KEPT_SAMPLES)
        self.slot_name = f"lc2_backup_{secrets.token_hex(6)}"
        self.identity = identify(slot)
        replication_command(slot, f'CREATE_REPLICATION_SLOT "{self.slot_name}" TEMPORARY PHYSICAL RESERVE_WAL')
        self._first = self._sample()
        self._thread = threading.Thread(target=self._run, name="lc2-wal-hold", daemon=True)

    def start(self) -> None:
        """Begin to sample, twice a second."""
        self._thread.start()

    def stop(self) -> None:
        """End sampling; the slot lives until its connection is closed."""
        self._stopped.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what broke the hold: without it WAL may already be gone.

        Raises:
            ServerUnavailable: a connection was lost.
        """
        if self._failure is not None:
            raise self._failure

    def latest_at(self, lsn: int) -> Sample:
        """Return the latest sample at or before a WAL position; at worst the one taken before the backup began."""
        for sample in reversed(self._samples):
            if sample.lsn <= lsn:
                return sample
        return self._first

    def _run(self) -> None:
        import psycopg

        while not self._stopped.wait(_INTERVAL_SECONDS):
            try:
                self._samples.append(self._sample())
                # The only use of this connection now: it shows that the slot's session still lives.
                identify(self._slot)
            except psycopg.Error as error:
                self._failure = translated(error, self._server)
                return
            except BackupError as error:
                self._failure = error
                return

    def _sample(self) -> Sample:
        row = self._sampler.execute(POSITION_SQL).fetchone()
        assert row is not None
        return Sample(lsn=row[1], time=row[0])


@contextmanager
def hold_wal(server: Server) -> Generator[WalHold]:
    """Hold WAL from now on, until the end of the block or of this process.

    Raises:
        ServerUnavailable: no connection, or all slots are taken.
        AccessDenied: pg_hba.conf has no entry for replication, or the role lacks REPLICATION.
    """
    with server.connect(replication=True) as slot, server.connect() as sampler:
        hold = WalHold(server, slot=slot, sampler=sampler)
        hold.start()
        try:
            yield hold
        finally:
            hold.stop()
