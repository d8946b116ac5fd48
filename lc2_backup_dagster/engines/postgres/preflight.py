"""Ask the server, before anything runs, whether a backup of it can succeed, and say what is missing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.server import Server
from lc2_backup_dagster.engines.postgres.tools import Tools
from lc2_backup_dagster.model.errors import ConfigurationError, MissingPrivilege, ServerUnavailable, ToolTooOld

if TYPE_CHECKING:
    import psycopg

OLDEST_MAJOR = 13
# one for the slot that holds the WAL, one for pg_basebackup
_WAL_SENDERS_NEEDED = 2
_SYSTEM_SCHEMAS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server said of itself.

    Attributes:
        version: like ``17.10``.
        major: like 17.
        system_identifier: unique number of the cluster, as text; None where the server does not tell this role.
        timeline: its current timeline, None likewise.
        in_recovery: it is a standby.
        wal_level: ``minimal``, ``replica`` or ``logical``.
        wal_segment_bytes: size of a WAL segment.
        checksums_on: pages carry checksums.
        database_bytes: size of the connected database.
        cluster_bytes: size of all tablespaces, or None where this role may not ask.
        tablespaces: names of tablespaces beyond the two built-in ones.
    """

    version: str
    major: int
    system_identifier: str | None
    timeline: int | None
    in_recovery: bool
    wal_level: str
    wal_segment_bytes: int
    checksums_on: bool
    database_bytes: int
    cluster_bytes: int | None
    tablespaces: tuple[str, ...]


def server_major(server: Server) -> int:
    """Return the server's major version (for choosing tools).

    Raises:
        ServerUnavailable: it cannot be reached.
        AccessDenied: it refuses the role or password.
        ConfigurationError: it is too old.
    """
    with server.connect() as connection:
        return _supported_major(connection, server)


def check_server(server: Server, tools: Tools, *, physical: bool, dump: bool) -> ServerFacts:
    """Check that a backup can succeed.

    Args:
        server: the database to back up.
        tools: the client tools that will be used.
        physical: check what a base backup needs.
        dump: check what a dump needs.

    Raises:
        ServerUnavailable: the server cannot be reached, or has no free WAL sender or slot right now.
        AccessDenied: role, password or pg_hba.conf.
        MissingPrivilege: the role lacks a right; the hint is the statement that gives it. Never superuser.
        ToolTooOld: the tools are older than the server.
        ConfigurationError: the server cannot be backed up in this way (version, wal_level, tablespaces).
    """
    with server.connect() as connection:
        major = _supported_major(connection, server)
        if tools.major < major:
            raise ToolTooOld(
                f"the server is PostgreSQL {major}, the tools in {tools.bin_directory} are {tools.version}",
                hint=f"install postgresql-client-{major} or newer, or name its directory in the site's 'tools' setting",
            )
        role = _role(connection)
        facts = _facts(connection, major)
        if physical:
            _check_physical(connection, server, facts, role)
        if dump and not role["rolsuper"]:
            _check_readable(connection, server, major)
            _check_row_security(connection, server, role)
            _check_large_objects(connection, server)
    return facts


def _supported_major(connection: "psycopg.Connection[Any]", server: Server) -> int:
    major = connection.info.server_version // 10000
    if major < OLDEST_MAJOR:
        raise ConfigurationError(f"{server} is PostgreSQL {major}, {OLDEST_MAJOR} or newer is needed")
    return major


def _role(connection: "psycopg.Connection[Any]") -> dict[str, bool]:
    row = connection.execute(
        "SELECT rolsuper, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    assert row is not None
    return dict(zip(("rolsuper", "rolreplication", "rolbypassrls"), row, strict=True))


def _facts(connection: "psycopg.Connection[Any]", major: int) -> ServerFacts:
    row = connection.execute(
        """
        SELECT split_part(current_setting('server_version'), ' ', 1), pg_is_in_recovery(),
               current_setting('wal_level'), current_setting('data_checksums') = 'on',
               (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
               pg_database_size(current_database()),
               has_function_privilege('pg_control_system()', 'EXECUTE')
                 AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE'),
               array(SELECT spcname::text FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')
                     ORDER BY 1),
               (SELECT bool_and(pg_has_role('pg_read_all_stats', 'USAGE')
                                OR has_tablespace_privilege(oid, 'CREATE')) FROM pg_tablespace)
        """
    ).fetchone()
    assert row is not None
    version, in_recovery, wal_level, checksums_on, segment, database_bytes, may_control, tablespaces, may_size = row
    control: Any = (None, None)
    if may_control:
        control = connection.execute(
            "SELECT system_identifier::text, timeline_id FROM pg_control_system(), pg_control_checkpoint()"
        ).fetchone()
    cluster_bytes: Any = None
    if may_size:
        total = connection.execute("SELECT sum(pg_tablespace_size(oid))::bigint FROM pg_tablespace").fetchone()
        cluster_bytes = total[0] if total else None
    return ServerFacts(
        version=version,
        major=major,
        system_identifier=control[0],
        timeline=control[1],
        in_recovery=in_recovery,
        wal_level=wal_level,
        wal_segment_bytes=segment,
        checksums_on=checksums_on,
        database_bytes=database_bytes,
        cluster_bytes=cluster_bytes,
        tablespaces=tuple(tablespaces),
    )


def _check_physical(
    connection: "psycopg.Connection[Any]", server: Server, facts: ServerFacts, role: dict[str, bool]
) -> None:
    if not (role["rolreplication"] or role["rolsuper"]):
        raise MissingPrivilege(
            f"{server} lacks the REPLICATION attribute, which a base backup needs",
            hint=f'ALTER ROLE "{server.user}" REPLICATION',
        )
    if facts.wal_level == "minimal":
        raise ConfigurationError(
            f"{server} runs with wal_level=minimal, a base backup needs 'replica'",
            hint="set wal_level = replica in postgresql.conf and restart the server",
        )
    if facts.tablespaces:
        raise ConfigurationError(
            f"{server} has tablespaces of its own ({', '.join(facts.tablespaces)}), "
            "which base backups do not support yet",
            hint="use dumps for this site, or move the objects to pg_default and drop the tablespaces",
        )
    row = connection.execute(
        """
        SELECT current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication),
               current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots)
        """
    ).fetchone()
    assert row is not None
    _check_room("max_wal_senders", server=server, limit=row[0], used=row[1], needed=_WAL_SENDERS_NEEDED)
    _check_room("max_replication_slots", server=server, limit=row[2], used=row[3], needed=1)


def _check_room(setting: str, *, server: Server, limit: int, used: int, needed: int) -> None:
    if limit < needed:
        raise ConfigurationError(
            f"{server} has {setting}={limit}, a base backup needs {needed}",
            hint=f"raise {setting} in postgresql.conf and restart the server",
        )
    if limit - used < needed:
        raise ServerUnavailable(
            f"{server} uses {used} of {setting}={limit}, a base backup needs {needed} free",
            hint=f"wait for the others, or raise {setting}",
        )


def _check_readable(connection: "psycopg.Connection[Any]", server: Server, major: int) -> None:
    rows = connection.execute(
        f"""
        SELECT format('%I.%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'S') AND {_SYSTEM_SCHEMAS}
          AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e')
          AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE WHEN c.relkind = 'S'
                   THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END)
        ORDER BY 1 LIMIT 4
        """.encode()  # noqa: S608 - the constant above
    ).fetchall()
    if not rows:
        return
    names = ", ".join(row[0] for row in rows[:3]) + (", …" if len(rows) > 3 else "")
    if major >= 14:
        hint = f'GRANT pg_read_all_data TO "{server.user}"'
    else:
        hint = (
            f'for each schema: GRANT USAGE ON SCHEMA <schema> TO "{server.user}"; '
            f'GRANT SELECT ON ALL TABLES IN SCHEMA <schema> TO "{server.user}"; '
            f'GRANT SELECT ON ALL SEQUENCES IN SCHEMA <schema> TO "{server.user}"'
        )
    raise MissingPrivilege(f"{server} may not read {names}", hint=hint)


def _check_row_security(connection: "psycopg.Connection[Any]", server: Server, role: dict[str, bool]) -> None:
    if role["rolbypassrls"]:
        return
    rows = connection.execute(
        """
        SELECT c.oid::regclass::text FROM pg_class c
        WHERE c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
        ORDER BY 1 LIMIT 3
        """
    ).fetchall()
    if rows:
        raise MissingPrivilege(
            f"{server} sees only some rows of {', '.join(row[0] for row in rows)} because of row security",
            hint=f'ALTER ROLE "{server.user}" BYPASSRLS',
        )


def _check_large_objects(connection: "psycopg.Connection[Any]", server: Server) -> None:
    # pg_read_all_data does not include large objects; has_largeobject_privilege() exists from 18 only.
    rows = connection.execute(
        """
        SELECT r.rolname::text, r.rolsuper, count(*), min(m.oid)
        FROM pg_largeobject_metadata m JOIN pg_roles r ON r.oid = m.lomowner
        WHERE current_setting('lo_compat_privileges') = 'off' AND NOT pg_has_role(m.lomowner, 'USAGE')
          AND NOT EXISTS (SELECT 1 FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
                          AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
        GROUP BY 1, 2 ORDER BY 1
        """
    ).fetchall()
    if rows:
        # Membership in a superuser would be a superuser's rights: those objects go to the application's role instead.
        remedies = [
            f'ALTER LARGE OBJECT {first} OWNER TO <the application\'s role> (and {count - 1} more of "{owner}")'
            if is_superuser
            else f'GRANT "{owner}" TO "{server.user}"'
            for owner, is_superuser, count, first in rows
        ]
        raise MissingPrivilege(
            f"{server} may not read the large objects of {', '.join(row[0] for row in rows)}", hint="; ".join(remedies)
        )
