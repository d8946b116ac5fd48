"""Ask the server, before anything runs, whether a backup of it can succeed, and say what is missing."""

from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.base.preflight import check_physical
from lc2_backup_dagster.engines.postgres.dump.rights import check_dump_rights
from lc2_backup_dagster.engines.postgres.servers.facts import ServerFacts, read_facts
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tools import Tools
from lc2_backup_dagster.model.errors import ConfigurationError, ToolTooOld

if TYPE_CHECKING:
    import psycopg

__all__ = ["OLDEST_MAJOR", "ServerFacts", "check_connected", "check_server", "server_major"]

OLDEST_MAJOR = 13


def server_major(server: Server) -> int:
    """Return the server's major version (for choosing tools).

    Raises:
        ServerUnavailable: it cannot be reached.
        AccessDenied: it refuses the role or password.
        ConfigurationError: it is too old.
    """
    with server.connect() as connection:
        return _supported_major(connection, server)


def check_server(server: Server, tools: Tools | None, *, physical: bool, dump: bool) -> ServerFacts:
    """Check that a backup can succeed.

    Args:
        server: the database to back up.
        tools: the client tools that will be used; None where none is, as for a base backup.
        physical: check what a base backup needs.
        dump: check what a dump needs.

    Raises:
        ServerUnavailable: the server cannot be reached, or has no free WAL sender or slot right now.
        AccessDenied: role, password or pg_hba.conf.
        MissingPrivilege: the role lacks a right; the hint is the statement that gives it. Never superuser.
        ToolTooOld: the tools are older than the server.
        ConfigurationError: the server cannot be backed up in this way (version, wal_level, limits).
    """
    with server.connect() as connection:
        return check_connected(connection, server, tools, physical=physical, dump=dump)


def check_connected(
    connection: "psycopg.Connection[Any]", server: Server, tools: Tools | None, *, physical: bool, dump: bool
) -> ServerFacts:
    """Check the same over a connection that is open already; each costs a small backup a noticeable time."""
    major = _supported_major(connection, server)
    if tools is not None and tools.major < major:
        raise ToolTooOld(
            f"the server is PostgreSQL {major}, the tools in {tools.bin_directory} are {tools.version}",
            hint=f"install postgresql-client-{major} or newer, or name its directory in the site's 'tools' setting",
        )
    role = _role(connection)
    facts = read_facts(connection, major=major, user=server.user)
    if physical:
        check_physical(connection, server, facts, may_replicate=role["rolreplication"] or role["rolsuper"])
    if dump:
        check_dump_rights(connection, server, major=major)
    return facts


def _supported_major(connection: "psycopg.Connection[Any]", server: Server) -> int:
    major = connection.info.server_version // 10000
    if major < OLDEST_MAJOR:
        raise ConfigurationError(f"{server} is PostgreSQL {major}, {OLDEST_MAJOR} or newer is needed")
    return major


def _role(connection: "psycopg.Connection[Any]") -> dict[str, bool]:
    row = connection.execute("SELECT rolsuper, rolreplication FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row is not None
    return dict(zip(("rolsuper", "rolreplication"), row, strict=True))
