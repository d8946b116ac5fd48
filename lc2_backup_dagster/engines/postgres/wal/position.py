"""Which cluster a server is, and where its WAL ends at which time of its own clock."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.base.wal_hold import POSITION_SQL
from lc2_backup_dagster.engines.postgres.servers.replication import identify_system
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.lsn import Lsn

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class WalPosition:
    """What a server said of its WAL.

    Attributes:
        system_identifier: of the cluster.
        lsn: the end of its WAL, on its current timeline.
        time: everything committed before it lies at or before ``lsn``.
    """

    system_identifier: str
    lsn: Lsn
    time: datetime


def wal_position(server: Server, connection: "psycopg.Connection[Any]") -> WalPosition:
    """Ask a server, as a role with REPLICATION.

    Args:
        server: asked for its timeline over a replication connection.
        connection: to the same server.

    Raises:
        ServerUnavailable: it cannot be reached.
        AccessDenied: pg_hba.conf has no entry for replication, or the role lacks REPLICATION.
    """
    identity = identify_system(server)
    row = connection.execute(POSITION_SQL).fetchone()
    assert row is not None
    return WalPosition(identity.system_identifier, Lsn(row[1], identity.timeline), row[0])


def server_time(server: Server) -> datetime:
    """Ask a server for the time of its own clock, by which everything in its WAL is dated.

    Raises:
        ServerUnavailable: it cannot be reached.
    """
    with server.connect() as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]
