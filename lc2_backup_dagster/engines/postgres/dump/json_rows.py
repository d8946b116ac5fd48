"""The rows of a query as lines of JSON, however many: a server streams them, nobody holds them."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.servers.server import Server, translated

if TYPE_CHECKING:
    import psycopg


def read_freely(connection: "psycopg.Connection[Any]") -> None:
    """Let the transaction of a connection read everything, for as long as it takes."""
    # This session may wait idle for hours while pg_dump works. SET takes no snapshot, the first query does.
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    connection.execute("SET LOCAL statement_timeout = 0")
    if connection.info.server_version >= 170000:
        connection.execute("SET LOCAL transaction_timeout = 0")
    connection.execute("SET LOCAL client_encoding = 'UTF8'")
    # As in pg_dump: rows that a policy hides are an error, not absent from what is read.
    connection.execute("SET LOCAL row_security = off")


@contextmanager
def json_rows(server: Server, query: str) -> "Generator[JsonRows]":
    """Open the rows of a query in a transaction of their own.

    Raises:
        BackupError: the server refused the connection; while reading also the query.
    """
    with server.connect() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        read_freely(connection)
        yield JsonRows(connection, query, server=server)


class JsonRows:
    """The rows of a query as lines of JSON, streamed by the server's COPY.

    JSON text never contains raw control characters, so with two of them as quote and delimiter CSV changes nothing.

    Args:
        connection: in a transaction.
        query: one SELECT.
        server: for messages.

    Attributes:
        count: rows that were read so far.
    """

    def __init__(self, connection: "psycopg.Connection[Any]", query: str, *, server: Server) -> None:
        self._server = server
        self.count = 0
        # the query is an application's constant or a site file's, as trusted as the credentials beside it
        inner = f"SELECT row_to_json(q) FROM ({query.strip().rstrip(';')}\n) q"  # noqa: S608
        self._rows = self._stream(
            connection, f"COPY ({inner}) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02', ESCAPE E'\\x01')"
        )

    def _stream(self, connection: "psycopg.Connection[Any]", statement: str) -> Iterator[bytes]:
        with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            while row := copy.read():
                self.count += 1
                yield bytes(row)

    def read(self, size: int, /) -> bytes:
        """Return whole lines of at least so many bytes, or nothing at the end.

        Raises:
            BackupError: the server refused the query or went away.
        """
        import psycopg

        gathered = bytearray()
        try:
            while len(gathered) < size and (row := next(self._rows, None)) is not None:
                gathered += row
        except psycopg.Error as error:
            raise translated(error, self._server) from error
        return bytes(gathered)
