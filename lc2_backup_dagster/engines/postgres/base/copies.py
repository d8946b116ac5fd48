"""How servers put the archives and the manifest of a base backup into COPY messages.

Source: PostgreSQL manual, chapter "Streaming Replication Protocol". Servers from 15 on send one COPY whose messages
begin with a letter (``n`` new archive, ``d`` content, ``p`` progress, ``m`` the manifest follows); 13 and 14 send one
COPY per archive and one for the manifest, and leave the end-of-archive blocks to the client.
"""

from collections.abc import Iterator
from typing import Protocol

from lc2_backup_dagster.engines.postgres.servers.replication_wire import ReplicationWire
from lc2_backup_dagster.model.errors import ToolFailed

NEW_SYNTAX_SINCE = 15
_NEW_ARCHIVE, _CONTENT, _PROGRESS, _MANIFEST = b"ndpm"
_END_OF_ARCHIVE = memoryview(bytes(1024))


class Copies(Protocol):
    """The COPY messages of one backup; all methods raise ``psycopg.Error`` and ``ToolFailed``."""

    def open_archive(self, name: str) -> None:
        """Go to the next archive, which must have this name where the server names it."""
        ...

    def content(self) -> memoryview | None:
        """Return the next piece of the archive, or None at its end."""
        ...

    def manifest(self) -> Iterator[memoryview]:
        """Yield the manifest, which follows the last archive, to the end of the last COPY."""
        ...


class OneCopy:
    """Servers from 15 on."""

    def __init__(self, wire: ReplicationWire) -> None:
        self._wire = wire
        self._header: memoryview | None = None  # the message that ended the archive before
        self._opened = False

    def open_archive(self, name: str) -> None:
        """Check the message that names the archive; it has been met already, as the end of the one before."""
        from psycopg.pq import ExecStatus

        if not self._opened:
            self._wire.expect(ExecStatus.COPY_OUT)
            self._opened = True
            self._header = self._wire.message()
        header = bytes(self._header or b"")
        if header[:1] != bytes([_NEW_ARCHIVE]) or header[1:].split(b"\0", 1)[0] != name.encode():
            raise _unexpected(self._wire, f"archive {name}")

    def content(self) -> memoryview | None:
        """Return the next piece without the letter before it."""
        while (message := self._wire.message()) is not None:
            kind = message[0]
            if kind == _CONTENT:
                return message[1:]
            if kind != _PROGRESS:
                self._header = message
                return None
        raise _unexpected(self._wire, "the manifest")

    def manifest(self) -> Iterator[memoryview]:
        """Yield the rest of the COPY."""
        if self._header is None or self._header[0] != _MANIFEST:
            raise _unexpected(self._wire, "the manifest")
        while (message := self._wire.message()) is not None:
            if message[0] == _CONTENT:
                yield message[1:]


class CopyPerArchive:
    """Servers 13 and 14. A COPY that a failure cut short looks like a whole one until its successor is asked for."""

    def __init__(self, wire: ReplicationWire) -> None:
        self._wire = wire
        self._opened = False
        self._ended = False

    def open_archive(self, name: str) -> None:
        """Begin with the next COPY, which names nothing."""
        if not self._opened:
            self._next_copy()
            self._opened = True
        self._ended = False

    def content(self) -> memoryview | None:
        """Return the next message, and two empty blocks after the last."""
        if self._ended:
            return None
        message = self._wire.message()
        if message is None:
            self._next_copy()
            self._ended = True
            return _END_OF_ARCHIVE
        return message

    def manifest(self) -> Iterator[memoryview]:
        """Yield the last COPY."""
        while (message := self._wire.message()) is not None:
            yield message

    def _next_copy(self) -> None:
        from psycopg.pq import ExecStatus

        self._wire.expect(ExecStatus.COPY_OUT)


def _unexpected(wire: ReplicationWire, expected: str) -> ToolFailed:
    wire.result()  # when the server has failed, its own error says more
    return ToolFailed(f"the base backup's stream lacks {expected}")
