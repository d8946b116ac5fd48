"""Commands of PostgreSQL's replication protocol, over a physical replication connection (``Server.connect``)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import ServerUnavailable, ToolFailed

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class SystemIdentity:
    """Answer of ``IDENTIFY_SYSTEM``."""

    system_identifier: str
    timeline: int


def identify_system(server: Server) -> SystemIdentity:
    """Ask a server for its system identifier and timeline, over a replication connection."""
    with server.connect(replication=True) as connection:
        return identify(connection)


def identify(connection: "psycopg.Connection[Any]") -> SystemIdentity:
    """Ask over a replication connection that is open already."""
    row = replication_command(connection, "IDENTIFY_SYSTEM")
    return SystemIdentity(row[0], int(row[1]))


def replication_command(connection: "psycopg.Connection[Any]", command: str) -> list[str]:
    """Run one replication command through libpq; a cursor would use the extended protocol, which is refused here."""
    from psycopg.pq import ExecStatus

    result = connection.pgconn.exec_(command.encode())
    try:
        if result.status != ExecStatus.TUPLES_OK:
            text = result.error_message.decode("utf-8", "replace").strip()
            if "slots are in use" in text:
                raise ServerUnavailable(f"no replication slot is free: {text}", hint="raise max_replication_slots")
            if connection.pgconn.status != 0:
                raise ServerUnavailable(f"the replication connection was lost: {text}")
            raise ToolFailed(f"PostgreSQL refused '{command.split()[0]}': {text}")
        return [(result.get_value(0, column) or b"").decode() for column in range(result.nfields)]
    finally:
        result.clear()
