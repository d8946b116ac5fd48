"""What a role must be allowed to do before ``pg_dump`` can read a whole database; part of ``preflight``.

``pg_dump`` would find out by itself, late and one table at a time. Here every missing right is found before anything
runs, and the hint is the statement that gives it, whole: applied as printed (as the owner of the objects, or as an
administrator) the dump passes. Superuser is never asked for, nor membership in a superuser.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.servers.server import Server, quoted
from lc2_backup_dagster.model.errors import MissingPrivilege

if TYPE_CHECKING:
    import psycopg

_READ_ALL = "pg_read_all_data"
_MANY_LARGE_OBJECTS = 10
# What an extension made itself is made again by CREATE EXTENSION; pg_dump reads only the tables that it marks as
# configuration. Views, materialized views and foreign tables have no rows in a dump.
_READ_BY_DUMP = """
    c.relkind IN ('r', 'p', 'S')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (
        SELECT 1 FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass
          AND d.deptype = 'e' AND NOT (c.oid = ANY (coalesce(x.extconfig, '{}'))))
"""


@dataclass(frozen=True, slots=True)
class _Role:
    """The role that dumps.

    Attributes:
        name: its quoted name.
        inherits: it has the rights of roles it is a member of, unless a membership says otherwise.
        bypasses_row_security: row security does not hold for it.
        major: of the server.
    """

    name: str
    inherits: bool
    bypasses_row_security: bool
    major: int

    def member_of(self, group: str) -> str:
        """Return the statement that gives it the rights of another role, whose name is quoted where it must be."""
        statement = f"GRANT {group} TO {self.name}"
        if self.inherits:
            return statement
        if self.major >= 16:
            return f"{statement} WITH INHERIT TRUE"
        return f"{statement}; ALTER ROLE {self.name} INHERIT"


def check_dump_rights(connection: "psycopg.Connection[Any]", server: Server, *, major: int) -> None:
    """Make sure that the connected role may read all of the connected database.

    Raises:
        MissingPrivilege: it may not; the hint is the statement that lets it.
    """
    row = connection.execute(
        "SELECT rolsuper, rolname::text, rolinherit, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    assert row is not None
    is_superuser, name, inherits, bypasses = row
    if is_superuser:
        return
    role = _Role(quoted(name), inherits=inherits, bypasses_row_security=bypasses, major=major)
    _check_readable(connection, server, role)
    _check_row_security(connection, server, role)
    _check_large_objects(connection, server, role)


def _check_readable(connection: "psycopg.Connection[Any]", server: Server, role: _Role) -> None:
    rows = connection.execute(
        f"""
        SELECT format('%I.%I', n.nspname, c.relname), n.nspname::text, pg_get_userbyid(c.relowner)::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_READ_BY_DUMP}
          AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE WHEN c.relkind = 'S'
                   THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END)
        ORDER BY 1
        """.encode()  # noqa: S608 - the constant above
    ).fetchall()
    if not rows:
        return
    names = ", ".join(row[0] for row in rows[:3]) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
    raise MissingPrivilege(
        f"{server} may not read {names}",
        hint=role.member_of(_READ_ALL)
        if role.major >= 14
        else _grants(role, schemas=sorted({row[1] for row in rows}), owners=sorted({row[2] for row in rows})),
    )


def _grants(role: _Role, *, schemas: list[str], owners: list[str]) -> str:
    """Return what stands for ``pg_read_all_data`` before PostgreSQL 14, for what is there and for what will be."""
    places, makers = (", ".join(quoted(each) for each in names) for names in (schemas, owners))
    return "; ".join(
        (
            f"GRANT USAGE ON SCHEMA {places} TO {role.name}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {places} TO {role.name}",
            f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {places} TO {role.name}",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {makers} GRANT SELECT ON TABLES TO {role.name}",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {makers} GRANT SELECT ON SEQUENCES TO {role.name}",
        )
    )


def _check_row_security(connection: "psycopg.Connection[Any]", server: Server, role: _Role) -> None:
    if role.bypasses_row_security:
        return
    rows = connection.execute(
        f"""
        SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_READ_BY_DUMP}
          AND c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
        ORDER BY 1 LIMIT 3
        """.encode()  # noqa: S608 - the constant above
    ).fetchall()
    if rows:
        raise MissingPrivilege(
            f"{server} sees only some rows of {', '.join(row[0] for row in rows)} because of row security",
            hint=f"ALTER ROLE {role.name} BYPASSRLS",
        )


def _check_large_objects(connection: "psycopg.Connection[Any]", server: Server, role: _Role) -> None:
    # pg_read_all_data does not include large objects; has_largeobject_privilege() exists from 18 only.
    rows = connection.execute(
        """
        SELECT r.rolname::text, r.rolsuper, count(*), (array_agg(m.oid::text ORDER BY m.oid))[:%s]
        FROM pg_largeobject_metadata m JOIN pg_roles r ON r.oid = m.lomowner
        WHERE current_setting('lo_compat_privileges') = 'off' AND NOT pg_has_role(m.lomowner, 'USAGE')
          AND NOT EXISTS (SELECT 1 FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
                          AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
        GROUP BY 1, 2 ORDER BY 1
        """,
        [_MANY_LARGE_OBJECTS],
    ).fetchall()
    if rows:
        # Membership in a superuser would be a superuser's rights: its objects are granted one by one.
        remedies = [
            _each_large_object(role, owner, count, some) if is_superuser else role.member_of(quoted(owner))
            for owner, is_superuser, count, some in rows
        ]
        raise MissingPrivilege(
            f"{server} may not read the large objects of {', '.join(row[0] for row in rows)}", hint="; ".join(remedies)
        )


def _each_large_object(role: _Role, owner: str, count: int, some: list[str]) -> str:
    if count <= _MANY_LARGE_OBJECTS:
        return f"GRANT SELECT ON LARGE OBJECT {', '.join(some)} TO {role.name}"
    # a statement for people to read and run, never run here
    grant = "'GRANT SELECT ON LARGE OBJECT ' || id || " + _literal(f" TO {role.name}")
    return (
        "DO $do$ DECLARE id oid; BEGIN FOR id IN SELECT m.oid FROM pg_largeobject_metadata m"  # noqa: S608
        f" WHERE m.lomowner = {_literal(quoted(owner))}::regrole LOOP EXECUTE {grant}; END LOOP; END $do$"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
