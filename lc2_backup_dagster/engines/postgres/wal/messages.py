"""Messages of PostgreSQL's streaming replication, decoded and encoded. Pure.

Source: PostgreSQL manual, "Streaming Replication Protocol", START_REPLICATION. All integers are big endian; times are
microseconds since 2000-01-01 UTC.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lc2_backup_dagster.model.errors import ToolFailed

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_WAL = struct.Struct("!cQQq")
_KEEPALIVE = struct.Struct("!cQqB")
_STATUS = struct.Struct("!cQQQqB")


@dataclass(frozen=True, slots=True)
class WalPiece:
    """Bytes of WAL.

    Attributes:
        start: position of the first byte.
        content: the bytes, in libpq's own buffer: valid until the next message is asked for.
        server_end: how far the server's WAL goes.
    """

    start: int
    content: memoryview
    server_end: int


@dataclass(frozen=True, slots=True)
class Keepalive:
    """A sign of life.

    Attributes:
        server_end: how far the server's WAL goes.
        reply_wanted: the server ends the connection unless it hears from us soon.
    """

    server_end: int
    reply_wanted: bool


def decode(message: memoryview) -> WalPiece | Keepalive:
    """Read one message of the server.

    Raises:
        ToolFailed: the server speaks a protocol that we do not know.
    """
    kind = bytes(message[:1])
    if kind == b"w" and len(message) >= _WAL.size:
        _, start, server_end, _ = _WAL.unpack_from(message)
        return WalPiece(start, message[_WAL.size :], server_end)
    if kind == b"k" and len(message) >= _KEEPALIVE.size:
        _, server_end, _, reply_wanted = _KEEPALIVE.unpack_from(message)
        return Keepalive(server_end, bool(reply_wanted))
    raise ToolFailed(f"the server sent a message of the unknown kind {kind!r} while streaming WAL")


def status_update(*, received: int, durable: int, now: datetime) -> bytes:
    """Return what tells the server how far we are.

    Args:
        received: end of what was received.
        durable: end of what is durable in the repository, which moves the slot; 0 leaves the slot where it is.
        now: our time.
    """
    return _STATUS.pack(b"r", received, durable, 0, (now - _EPOCH) // timedelta(microseconds=1), 0)
