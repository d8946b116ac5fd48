"""START_REPLICATION of a physical slot over one connection: messages in, status updates out, never blocking."""

import select
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.servers.replication_wire import ReplicationWire
from lc2_backup_dagster.engines.postgres.servers.server import Server, meaning, translated
from lc2_backup_dagster.engines.postgres.wal.messages import Keepalive, WalPiece, decode, status_update
from lc2_backup_dagster.model.errors import (
    BackupError,
    ComponentBusy,
    ServerUnavailable,
    SlotLost,
    ToolFailed,
    WalDiverged,
)
from lc2_backup_dagster.repository.wal.names import lsn_text, lsn_value

if TYPE_CHECKING:
    import psycopg

# TLS may hold decrypted bytes that poll cannot see, so no wait is long.
_POLL_MILLISECONDS = 100
_END_SECONDS = 5.0
_ANSWER_SECONDS = 60.0


class WalStream:
    """One replication connection of a receiver.

    Args:
        connection: a physical replication connection.
        server: names the server in messages.
        slot: the slot's name.
        wake: a socket that becomes readable when the receiver has something to do.
    """

    def __init__(
        self, connection: "psycopg.Connection[Any]", *, server: Server, slot: str, wake: socket.socket
    ) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._server = server
        self._slot = slot
        self._wake = wake
        self._deadline = 0.0
        self._wire = ReplicationWire(self._pgconn, while_waiting=self._require_answer)

    def identify(self) -> tuple[str, int, int]:
        """Return system identifier, timeline, and the position up to which WAL is flushed."""
        row = self._ask("IDENTIFY_SYSTEM")[0]
        return str(row[0]), int(str(row[1])), lsn_value(str(row[2]))

    def create_slot(self) -> None:
        """Create the slot with its WAL reserved."""
        self._ask(f'CREATE_REPLICATION_SLOT "{self._slot}" PHYSICAL RESERVE_WAL')

    def history(self, timeline: int) -> bytes | None:
        """Return a timeline's history file, or None when the server no longer has it."""
        try:
            rows = self._ask(f"TIMELINE_HISTORY {timeline}")
        except ToolFailed:
            return None
        return (rows[0][1] or "").encode("utf-8", "surrogateescape")

    def start(self, lsn: int, timeline: int, *, keeping: bool = True) -> None:
        """Begin to stream.

        Args:
            lsn: where.
            timeline: of which timeline.
            keeping: with the slot, so that the server keeps what is not confirmed.

        Raises:
            SlotLost: the server has removed that WAL, or invalidated the slot.
            ComponentBusy: another receiver uses the slot.
            WalDiverged: the server's history does not hold this position.
        """
        import psycopg
        from psycopg.pq import ExecStatus

        self._deadline = time.monotonic() + _ANSWER_SECONDS
        try:
            slot = f'SLOT "{self._slot}" ' if keeping else ""
            self._wire.send(f"START_REPLICATION {slot}PHYSICAL {lsn_text(lsn)} TIMELINE {timeline}")
            self._wire.expect(ExecStatus.COPY_BOTH)
        except psycopg.Error as error:
            raise self._refusal(error) from error

    def next(self) -> WalPiece | Keepalive | None:
        """Return the next message that is here already, or None.

        Raises:
            EOFError: the server has ended the stream in order: its timeline was left.
            BackupError: the connection broke, or the server ended the stream with an error.
        """
        import psycopg
        from psycopg.pq import ExecStatus

        try:
            length, content = self._pgconn.get_copy_data(1)
            if length == 0:
                self._pgconn.consume_input()
                length, content = self._pgconn.get_copy_data(1)
            if length > 0:
                return decode(content)
            if length == 0:
                return None
            self._deadline = time.monotonic() + _ANSWER_SECONDS
            result = self._wire.result()
        except psycopg.Error as error:
            raise self._refusal(error) from error
        if result is not None and result.status == ExecStatus.COPY_IN:
            raise EOFError
        raise ServerUnavailable(f"{self._server} has ended the stream: it shuts down")

    def wait(self, *, reading: bool) -> None:
        """Wait a moment until there is something to do.

        Args:
            reading: whether bytes from the server count; not when there is no room for them.
        """
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if reading:
            poll.register(self._pgconn.socket, select.POLLIN)
        for handle, _ in poll.poll(_POLL_MILLISECONDS):
            if handle == self._wake.fileno():
                self._wake.recv(4096)

    def tell(self, *, received: int, durable: int) -> None:
        """Send a status update."""
        import psycopg

        message = status_update(received=received, durable=durable, now=datetime.now(UTC))
        try:
            # A connection that is full for now takes none of it; the next status says all of it again.
            self._pgconn.put_copy_data(message)
            self._pgconn.flush()
        except psycopg.Error as error:
            raise self._refusal(error) from error

    def next_timeline(self) -> tuple[int, int]:
        """Take the end of a timeline's stream: the next timeline, and where it begins."""
        import psycopg

        self._deadline = time.monotonic() + _ANSWER_SECONDS
        try:
            self._wire.put(())
            rows = self._wire.rows()
            self._wire.end()
        except psycopg.Error as error:
            raise self._refusal(error) from error
        return int(str(rows[0][0])), lsn_value(str(rows[0][1]))

    def leave(self, *, refused: bool = False) -> None:
        """End a stream; the connection takes commands again.

        Args:
            refused: the server has ended it already, with an error.
        """
        import psycopg

        self._deadline = time.monotonic() + _ANSWER_SECONDS
        try:
            if not refused:
                self._end()
            self._skip_results()
        except psycopg.Error as error:
            raise self._refusal(error) from error

    def close(self) -> None:
        """End the stream in order, so that the server has read the last status update when this returns."""
        import psycopg

        self._deadline = time.monotonic() + _END_SECONDS
        try:
            self._end()
            self._skip_results()
        except (psycopg.Error, BackupError):
            return  # what it did not hear it will ask for again: nothing is lost by that

    def _end(self) -> None:
        self._wire.put(())
        while self._wire.message() is not None:
            continue

    def _skip_results(self) -> None:
        while self._wire.result() is not None:
            continue

    def _ask(self, command: str) -> list[list[str | None]]:
        import psycopg

        self._deadline = time.monotonic() + _ANSWER_SECONDS
        try:
            self._wire.send(command)
            rows = self._wire.rows()
            self._skip_results()
        except psycopg.Error as error:
            # The rest of an answer would be taken for that of the next command.
            while self._pgconn.status == 0 and self._wire.result() is not None:
                continue
            raise self._refusal(error) from error
        return rows

    def _require_answer(self) -> None:
        if time.monotonic() > self._deadline:
            raise ServerUnavailable(f"{self._server} did not answer a replication command in time")

    def _refusal(self, error: "psycopg.Error") -> BackupError:
        """Say what an error means to a receiver."""
        text = " ".join(str(error).split())
        low = text.lower()
        if "has already been removed" in low:
            return SlotLost(f"the server has removed WAL that is not archived yet: {text} ({self._server})")
        if "is active for pid" in low:
            return busy_slot(self._slot, self._server, text)
        if "can no longer" in low or "invalidated" in low:
            return lost_slot(self._slot, self._server, text)
        if "is ahead of the wal flush position" in low or "is not in this server's history" in low:
            return WalDiverged(
                f"the archive holds WAL that {self._server} does not have: {text}",
                hint="the server was restored or exchanged without a new timeline; find out which history is right",
            )
        if self._pgconn.status != 0:
            return meaning(text, self._server) or ServerUnavailable(f"the replication connection was lost: {text}")
        return translated(error, self._server)


def busy_slot(slot: str, server: Server, user: str) -> ComponentBusy:
    """Return the error for a slot that somebody else uses."""
    return ComponentBusy(
        f"the replication slot '{slot}' of {server} is in use by {user}",
        hint="one receiver at a time; end the other one, or give this site a slot of its own",
        slot=slot,
    )


def lost_slot(slot: str, server: Server, reason: str) -> SlotLost:
    """Return the error for a slot that the server has invalidated."""
    return SlotLost(
        f"the replication slot '{slot}' of {server} is lost: {reason}",
        hint=f"SELECT pg_drop_replication_slot('{slot}'), start the receiver again, and take a new full backup: "
        "nothing between the last archived WAL and that backup can be restored. Raise max_slot_wal_keep_size",
        slot=slot,
    )
