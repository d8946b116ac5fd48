"""The address of a PostgreSQL server, connections to it, and what its refusals mean."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.model.errors import (
    AccessDenied,
    BackupError,
    ConfigurationError,
    MissingPrivilege,
    ServerUnavailable,
    StorageFull,
    ToolFailed,
)

if TYPE_CHECKING:
    import psycopg

APPLICATION_NAME = "lc2-backup"
_CONNECT_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Server:
    """One database of one server, and as whom to use it.

    Attributes:
        host: name, address, or directory of a Unix socket.
        port: TCP port, also part of the socket's name.
        user: role.
        password: its password, or None to leave it to a password file of the environment. Never printed.
        database: database to connect to.
        sslmode: as libpq defines it (``disable`` to ``verify-full``).
        ca_file: certificate authorities that the server's certificate is checked against.
    """

    host: str
    port: int
    user: str
    password: str | None = field(repr=False)
    database: str
    sslmode: str = "prefer"
    ca_file: Path | None = None

    def conninfo(self, dbname: str | None = None, *, replication: bool = False) -> str:
        """Return the connection string without the password, fit for a command line.

        Args:
            dbname: another database of the same server.
            replication: ask for a physical replication connection.
        """
        from psycopg.conninfo import make_conninfo

        parameters: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "sslmode": self.sslmode,
            "application_name": APPLICATION_NAME,
            "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
            # A peer that vanished without a word is noticed after about a minute, not after two hours.
            "keepalives_idle": 20,
            "keepalives_interval": 10,
            "keepalives_count": 4,
            "tcp_user_timeout": 60_000,
        }
        if self.ca_file is not None:
            parameters["sslrootcert"] = str(self.ca_file)
        if replication:
            parameters["replication"] = "true"
        else:
            parameters["dbname"] = dbname or self.database
        return make_conninfo("", **parameters)

    def on(self, database: str) -> "Server":
        """Return the same server and role with another database."""
        return replace(self, database=database)

    def __str__(self) -> str:
        return f"database '{self.database}' at {self.host}:{self.port} as '{self.user}'"

    @contextmanager
    def connect(self, dbname: str | None = None, *, replication: bool = False) -> "Generator[psycopg.Connection[Any]]":
        """Open a connection in autocommit mode and close it at the end.

        Errors of the connection and of statements in the block come out translated by ``translated``.
        """
        import psycopg

        place = self if dbname is None else self.on(dbname)
        with translating(place):
            connection: psycopg.Connection[Any] = psycopg.connect(
                self.conninfo(dbname, replication=replication), password=self.password, autocommit=True
            )
            try:
                yield connection
            finally:
                connection.close()

    def environment(self) -> Mapping[str, str]:
        """Return the variables through which a child tool learns the password (never its command line).

        A variable leaves nothing on disk when this process is killed, unlike a password file.
        """
        return {} if self.password is None else {"PGPASSWORD": self.password}


@contextmanager
def translating(server: Server) -> Generator[None]:
    """Turn errors of psycopg in the block into errors of ours."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise translated(error, server) from error


def translated(error: "psycopg.Error", server: Server) -> BackupError:
    """Say what an error of psycopg means to us."""
    import psycopg

    text = " ".join(str(error).split())
    state = error.sqlstate or ""
    if state == "42501":
        return MissingPrivilege(f"{text} ({server})", hint=grant_hint(text, server))
    if state.startswith("53") and state != "53300":
        return StorageFull(f"the server is out of space or memory: {text} ({server})")
    if state and not state.startswith(("08", "57", "53")):
        return meaning(text, server) or ToolFailed(f"PostgreSQL refused a statement: {text} ({server})")
    known = meaning(text, server)
    if known is not None:
        return known
    if isinstance(error, psycopg.OperationalError) or state:
        return ServerUnavailable(f"{server} could not be asked: {text}")
    return ToolFailed(f"PostgreSQL client error: {text} ({server})")


def meaning(text: str, server: Server) -> BackupError | None:
    """Say what a message of libpq, of the server or of a tool means, or None when it is not a known refusal.

    libpq tells no SQLSTATE for a refused connection, so the (English) text decides; a message in another language
    falls through to the caller's default.
    """
    low = text.lower()

    def says(*parts: str) -> bool:
        return any(part in low for part in parts)

    if says("password authentication failed", "no password supplied", "fe_sendauth", "authentication failed for user"):
        return AccessDenied(f"{server} was refused: wrong or missing password", hint="check the user and the secret")
    if says("no pg_hba.conf entry"):
        kind = "a replication connection" if "replication" in low else "this connection"
        return AccessDenied(
            f"{server} was refused: pg_hba.conf has no entry for {kind}",
            hint="add a line to pg_hba.conf (base backups need one for the database 'replication') and reload",
        )
    if says("is not permitted to log in"):
        return AccessDenied(f"{server} was refused: the role may not log in", hint=f'ALTER ROLE "{server.user}" LOGIN')
    # FATAL is said of connections only; "role does not exist" may also be the answer to a statement of a dump.
    if "fatal:" in low and 'database "' in low and "does not exist" in low:
        return ConfigurationError(f"{server} does not exist on that server", hint="check the database's name")
    if "fatal:" in low and 'role "' in low and "does not exist" in low:
        return AccessDenied(f"{server} was refused: there is no such role", hint="check the user's name")
    if says("must be superuser or replication role", "permission denied to start wal sender"):
        return MissingPrivilege(
            f"{server} lacks the REPLICATION attribute", hint=f'ALTER ROLE "{server.user}" REPLICATION'
        )
    if says(
        "certificate verify failed", "server does not support ssl", "ssl error", "when ssl support is not compiled"
    ):
        return ConfigurationError(f"no secure connection to {server}: {text}", hint="check sslmode and ca_file")
    if says("no space left on device", "disk full"):
        return StorageFull(f"no space left: {text}")
    if says(
        "permission denied for",
        "permission denied to",
        "must be owner of",
        "must be able to set role",
        "query would be affected by row",
    ):
        return MissingPrivilege(f"{text} ({server})", hint=grant_hint(text, server))
    # pg_dump bounds its waiting for a lock with either timeout, by its version; its workers do not wait at all.
    if says("canceling statement due to lock timeout", "could not obtain lock on") or (
        says("canceling statement due to statement timeout") and says("lock table")
    ):
        return ServerUnavailable(
            f"{server} has a table that stayed locked: {text}",
            hint="a change of a table's structure (or VACUUM FULL, or LOCK TABLE) holds it; see pg_locks, run again",
        )
    if says(
        "connection refused", "timeout expired", "timed out", "could not translate host name", "no route to host",
        "no such file or directory\n\tis the server running", "is the server running", "server closed the connection",
        "terminating connection", "the database system is", "too many clients", "remaining connection slots",
        "connection reset", "network is unreachable", "number of requested standby connections exceeds",
        "could not receive data from", "lost synchronization", "temporary failure in name resolution",
    ):  # fmt: skip
        return ServerUnavailable(f"{server} cannot be reached: {text}", hint="check that the server runs and listens")
    return None


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL, always quoted."""
    return '"' + name.replace('"', '""') + '"'


def grant_hint(text: str, server: Server) -> str:
    """Return the statement that gives a least-privilege role what a refused statement needed."""
    low = text.lower()
    user = quoted(server.user)
    if "row-level security" in low or "row security" in low or "affected by row" in low:
        return f"ALTER ROLE {user} BYPASSRLS"
    if "large object" in low:
        return f"GRANT <owner of the large objects> TO {user}, or GRANT SELECT ON LARGE OBJECT <oid> TO {user} for each"
    if "replication" in low:
        return f"ALTER ROLE {user} REPLICATION"
    if "to create database" in low:
        return f"ALTER ROLE {user} CREATEDB"
    if "permission denied for database" in low:
        return f"GRANT CONNECT ON DATABASE {quoted(server.database)} TO {user}"
    if "must be owner of" in low or "must be able to set role" in low:
        return f"GRANT <owner> TO {user}"
    return f"GRANT pg_read_all_data TO {user} (PostgreSQL 14 and newer), or GRANT SELECT on every table"
