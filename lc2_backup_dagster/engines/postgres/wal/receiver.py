"""Receive WAL for as long as asked, whatever servers, networks and stores do meanwhile.

What is confirmed to the server was read back from the repository before; so a process that dies loses nothing, and a
store that is away makes the slot lag and nothing else. One connection's work is in ``wal_connection``; here is what
outlives it: uploads, the ledger, stopping, coming back.
"""

import random
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.wal.connection import ConnectionWork, Surroundings
from lc2_backup_dagster.engines.postgres.wal.ledger import WalLedger
from lc2_backup_dagster.engines.postgres.wal.slot import alarms
from lc2_backup_dagster.engines.postgres.wal.status import ReceiverState, ReceiverStatus
from lc2_backup_dagster.engines.postgres.wal.uploads import OrderedUploads
from lc2_backup_dagster.model.errors import ComponentBusy, ConfigurationError, TransientError
from lc2_backup_dagster.repository.wal.archive import WalArchive

_STATUS_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# A connection that lived so long was no failed try: the next pause is short again.
_HEALTHY_SECONDS = 60.0
_OWN_GHOST_SECONDS = 120.0
_UPLOADERS = 2
# Memory of what is on its way to the repository; larger segments go one at a time.
_IN_FLIGHT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReceiverOptions:
    """How to receive.

    Attributes:
        slot: name of the physical replication slot; made when it is absent, never dropped.
        partial_seconds: longest time received WAL waits before it is in the repository.
        lag_alarm_bytes: WAL the slot may hold back before it is an alarm.
        once: end when everything is archived that the server had at the start.
        busy_seconds: how long a slot that somebody else uses is waited for at the start: the server needs a moment to
            notice that a killed receiver is gone.
        finish_seconds: how long a stop waits for what is on its way.
    """

    slot: str
    partial_seconds: float = 10.0
    lag_alarm_bytes: int = 4 * 1024 * 1024 * 1024
    once: bool = False
    busy_seconds: float = 5.0
    finish_seconds: float = 20.0


class WalReceiver:
    """Receives one server's WAL into the archive of its system.

    Args:
        server: the server, with a role that may replicate.
        archive_of: from a system identifier to its archive.
        options: how.
        on_status: called about once a second, and at every change of state.
        on_notice: called with a sentence when something happened that an operator's log should hold.
    """

    def __init__(
        self,
        server: Server,
        archive_of: Callable[[str], WalArchive],
        options: ReceiverOptions,
        *,
        on_status: Callable[[ReceiverStatus], None] = lambda status: None,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._server = server
        self._archive_of = archive_of
        self._options = options
        self._on_status = on_status
        self._on_notice = on_notice
        self._stop = threading.Event()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._uploads: OrderedUploads | None = None
        self._ledger: WalLedger | None = None
        self._work: ConnectionWork | None = None
        self._system: str | None = None
        self._state = ReceiverState.CONNECTING
        self._has_received = False
        self._trouble: str | None = None
        self._alarms: tuple[str, ...] = ()
        self._told_at = float("-inf")
        self._told_state: ReceiverState | None = None

    def stop(self) -> None:
        """Ask it to end: what was received is stored and confirmed first. Safe in a signal handler and from threads."""
        self._stop.set()
        self._wake()

    def run(self) -> None:
        """Receive until ``stop``, or with ``once`` until everything is archived that there was.

        Raises:
            ServerUnavailable: only with ``once``; else it waits for the server.
            StoreUnavailable: likewise.
            ComponentBusy: another receiver uses the slot.
            SlotLost: the server has removed WAL that is not archived.
            WalDiverged: a segment is archived already with other content.
            BackupError: any other refusal of server or store that waiting does not mend.
        """
        try:
            self._run()
        finally:
            self._close()
        self._to(ReceiverState.STOPPED)

    def _run(self) -> None:
        pause, busy_since = 0.5, None
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                if self._one_connection():
                    return
            except TransientError as error:
                if self._options.once and not isinstance(error, ComponentBusy):
                    raise
                if isinstance(error, ComponentBusy):
                    busy_since = busy_since or began
                    if time.monotonic() - busy_since >= self._busy_patience():
                        raise
                else:
                    busy_since = None
                if time.monotonic() - began > _HEALTHY_SECONDS:
                    pause = 0.5
                self._trouble = str(error)
                self._on_notice(f"trying again: {error}")
            self._to(ReceiverState.RECONNECTING)
            self._wait(pause * (0.5 + random.random()))  # noqa: S311 - jitter, not a secret
            pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
            self._settle()

    def _busy_patience(self) -> float:
        # The server may hold on to our own lost connection until wal_sender_timeout, a minute by default.
        return _OWN_GHOST_SECONDS if self._has_received else self._options.busy_seconds

    def _one_connection(self) -> bool:
        """Work on one connection; True when the work is done."""
        surroundings = Surroundings(
            server=self._server,
            slot=self._options.slot,
            partial_seconds=self._options.partial_seconds,
            once=self._options.once,
            finish_seconds=self._options.finish_seconds,
            wake=self._wake_reader,
            stopping=self._stop.is_set,
            enter=self._enter,
            on_notice=self._on_notice,
            on_turn=self._look,
        )
        work = self._work = ConnectionWork(surroundings)
        try:
            return work.run()
        finally:
            self._has_received = self._has_received or work.received > 0

    def _enter(self, system_identifier: str, segment_bytes: int) -> tuple[WalArchive, OrderedUploads, WalLedger]:
        """Take the system that the server says it is; make what outlives the connection when it is the first one."""
        if self._system is None:
            self._system = system_identifier
        elif self._system != system_identifier:
            raise ConfigurationError(
                f"{self._server} is another database system now: {system_identifier} instead of {self._system}",
                hint="start the receiver again to archive the new one, and take a full backup of it",
            )
        archive = self._archive_of(system_identifier)
        if self._uploads is None:
            limit = max(1, _IN_FLIGHT_BYTES // segment_bytes)
            self._uploads = OrderedUploads(workers=min(_UPLOADERS, limit), limit=limit, wake=self._wake)
        if self._ledger is None:
            self._ledger = WalLedger(archive, interval_seconds=self._options.partial_seconds)
        self._trouble = None
        return archive, self._uploads, self._ledger

    def _settle(self) -> None:
        """Wait until nothing is on its way: the next connection begins where the repository ends."""
        while self._uploads is not None and self._ledger is not None and not self._stop.is_set():
            for what in self._uploads.collect():
                self._ledger.add(what, had_partials=what.whole)
            if not self._uploads.on_their_way:
                return
            self._look(ReceiverState.RECONNECTING)
            self._wait(_STATUS_SECONDS)

    def _look(self, state: ReceiverState) -> None:
        """Tell about the state of things, at most once a second while it stays the same."""
        self._state = state
        if state is self._told_state and time.monotonic() - self._told_at < _STATUS_SECONDS:
            return
        status = self.status()
        for each in status.alarms:
            if not _known(each, self._alarms):
                self._on_notice(f"ALARM: {each}")
        if self._alarms and not status.alarms:
            self._on_notice("the alarm is over: the slot is healthy again")
        self._alarms = status.alarms
        self._told_at, self._told_state = time.monotonic(), state
        self._on_status(status)

    def status(self) -> ReceiverStatus:
        """Return how things stand."""
        work, ledger, uploads = self._work, self._ledger, self._uploads
        health = work.health if work else None
        troubles = (
            self._trouble,
            uploads.trouble if uploads else None,
            ledger.trouble if ledger else None,
            work.trouble if work else None,
        )
        return ReceiverStatus(
            state=self._state,
            system_identifier=self._system,
            timeline=work.timeline if work else None,
            received=work.received if work else 0,
            durable=ledger.durable if ledger else 0,
            server_end=work.server_end if work else 0,
            restorable_until=ledger.restorable_until if ledger else None,
            slot=health,
            alarms=alarms(health, lag_alarm_bytes=self._options.lag_alarm_bytes) if health else (),
            trouble=next((each for each in troubles if each), None),
            segments=ledger.segments if ledger else 0,
            bytes_stored=ledger.bytes_stored if ledger else 0,
            on_their_way=uploads.on_their_way if uploads else 0,
        )

    def _to(self, state: ReceiverState) -> None:
        self._told_state = None
        self._look(state)

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"x")
        except OSError:
            return  # full: it will wake up; closed: nobody waits any more

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if select.select([self._wake_reader], [], [], left)[0]:
                self._wake_reader.recv(4096)

    def _close(self) -> None:
        if self._uploads is not None:
            self._uploads.give_up()
        if self._ledger is not None:
            self._ledger.close()
        self._wake_reader.close()
        self._wake_writer.close()


def _known(alarm: str, before: tuple[str, ...]) -> bool:
    """Say whether an alarm of the same kind was told already; its numbers change all the time."""
    return any(each.split()[:2] == alarm.split()[:2] for each in before)
