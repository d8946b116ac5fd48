"""Use a replication connection without ever blocking unseen, and without copying what the server sends.

libpq's blocking calls hold Python's lock and notice neither an interrupt nor a lost slot. Here every wait is a short
``poll``; between two of them the caller is asked whether to go on. Copy data come as libpq's own buffers.
"""

import select
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lc2_backup_dagster.model.errors import ToolFailed

if TYPE_CHECKING:
    from psycopg.pq import ExecStatus
    from psycopg.pq.abc import PGconn, PGresult

# TLS may hold decrypted bytes that poll cannot see, so no wait is long.
_POLL_MILLISECONDS = 100


class ReplicationWire:
    """Commands, results and copy data of one connection. All methods raise ``psycopg.Error``.

    Args:
        pgconn: libpq's side of a replication connection; psycopg has made it non-blocking.
        while_waiting: called again and again while nothing comes; whatever it raises ends the wait.
    """

    def __init__(self, pgconn: "PGconn", *, while_waiting: Callable[[], None]) -> None:
        self._pgconn = pgconn
        self._while_waiting = while_waiting
        self._poll = select.poll()

    def send(self, command: str) -> None:
        """Send a command; its results follow."""
        self._pgconn.send_query(command.encode())
        self._flush()

    def result(self) -> "PGresult | None":
        """Return the next result of the command, or None after the last.

        Raises:
            psycopg.Error: the result is an error.
        """
        from psycopg.errors import error_from_result
        from psycopg.pq import ExecStatus

        while self._pgconn.is_busy():
            self._wait(select.POLLIN)
            self._pgconn.consume_input()
        result = self._pgconn.get_result()
        if result is not None and result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result, encoding="utf-8")
        return result

    def expect(self, status: "ExecStatus") -> "PGresult":
        """Return the next result, which must be of this kind.

        Raises:
            ToolFailed: it is another; the server speaks a protocol that we do not know.
        """
        result = self.result()
        if result is None or result.status != status:
            found = "nothing" if result is None else f"result {result.status}"
            raise ToolFailed(f"the server answered a replication command with {found} instead of {status.name}")
        return result

    def rows(self) -> list[list[str | None]]:
        """Return the next result, which must be a table."""
        from psycopg.pq import ExecStatus

        result = self.expect(ExecStatus.TUPLES_OK)
        return [
            [_text(result.get_value(row, column)) for column in range(result.nfields)] for row in range(result.ntuples)
        ]

    def end(self) -> None:
        """Take the end of a command that has succeeded."""
        from psycopg.pq import ExecStatus

        self.expect(ExecStatus.COMMAND_OK)
        if self.result() is not None:
            raise ToolFailed("the server went on after the end of a replication command")

    def message(self) -> "memoryview | None":
        """Return the next message of a COPY that the server sends, or None after its last."""
        get = self._pgconn.get_copy_data
        length, content = get(1)
        while length == 0:
            # Only what the kernel has already costs no system call beyond the read itself.
            self._pgconn.consume_input()
            length, content = get(1)
            if length == 0:
                self._wait(select.POLLIN)
        return content if length > 0 else None

    def put(self, chunks: Iterable[bytes]) -> None:
        """Send a whole COPY to the server."""
        for chunk in chunks:
            while self._pgconn.put_copy_data(chunk) == 0:
                self._flush()
            self._flush()
        while self._pgconn.put_copy_end() == 0:
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while self._pgconn.flush() == 1:
            self._wait(select.POLLIN | select.POLLOUT)
            # A server that wants to say something first would otherwise never read on.
            self._pgconn.consume_input()

    def _wait(self, events: int) -> None:
        self._poll.register(self._pgconn.socket, events)
        self._poll.poll(_POLL_MILLISECONDS)
        self._while_waiting()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")
