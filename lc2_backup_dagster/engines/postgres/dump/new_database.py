"""A new database under a temporary name, renamed into place when it is complete, dropped when it is not."""

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from lc2_backup_dagster.engines.postgres.dump.database_properties import (
    DatabaseProperties,
    creation_clauses,
    setting_statements,
)
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError, TargetNotEmpty

if TYPE_CHECKING:
    import psycopg

_MAX_NAME_BYTES = 63
_COMMENT = "lc2-backup: unfinished restore of "


class NewDatabaseOptions(Protocol):
    """How the new database is created; None leaves it to the server."""

    @property
    def owner_role(self) -> str | None:
        """Its owner."""
        ...

    @property
    def properties(self) -> DatabaseProperties | None:
        """What it is created with, and its settings."""
        ...


def check_target_absent(server: Server, target_database: str) -> None:
    """Refuse a database that exists, or a name that cannot be one.

    Raises:
        TargetNotEmpty: it exists; a restore never overwrites.
        ConfigurationError: the name is empty or too long.
    """
    if not 0 < len(target_database.encode()) <= _MAX_NAME_BYTES or "\0" in target_database:
        raise ConfigurationError(f"'{target_database}' cannot be a database's name", hint="1 to 63 bytes")
    with server.connect() as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [target_database]).fetchone():
            raise TargetNotEmpty(
                f"database '{target_database}' exists at {server.host}:{server.port}",
                hint="choose a new name; a restore never overwrites a database",
            )


def drop_leftovers(server: Server, target_database: str) -> tuple[str, ...]:
    """Drop databases that killed restores of this target left behind, and return their names.

    Only those that carry our comment and that nobody is connected to: a living restore keeps a session open.
    """
    from psycopg import errors, sql

    dropped: list[str] = []
    with server.connect() as connection:
        rows = connection.execute(
            """
            SELECT datname FROM pg_database d WHERE shobj_description(oid, 'pg_database') = %s
              AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datid = d.oid)
            """,
            [_COMMENT + target_database],
        ).fetchall()
        for (name,) in rows:
            if re.search(r"_lc2_[0-9a-f]{6}$", name):
                try:
                    connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
                except (errors.ObjectInUse, errors.InvalidCatalogName):
                    continue
                dropped.append(name)
    return tuple(dropped)


@contextmanager
def new_database(server: Server, target: str, options: NewDatabaseOptions) -> Generator[str]:
    """Create a database under a temporary name; rename it at the end, or drop it when the block raises."""
    from psycopg import errors, sql

    suffix = f"_lc2_{secrets.token_hex(3)}"
    stem = target.encode()[: _MAX_NAME_BYTES - len(suffix)].decode("utf-8", "ignore")
    name = stem + suffix
    try:
        with server.connect() as connection:
            _create(connection, name, options)
            comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
            connection.execute(comment.format(sql.Identifier(name), sql.Literal(_COMMENT + target)))
        # The open session tells other restores that this one lives.
        with server.connect(name):
            yield name
        with server.connect() as connection:
            # Last, so that no setting has a say in the restore.
            for statement in setting_statements(name, options.properties) if options.properties else ():
                connection.execute(statement)
            connection.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(sql.Identifier(name)))
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            try:
                connection.execute(rename.format(sql.Identifier(name), sql.Identifier(target)))
            except errors.DuplicateDatabase as error:
                raise TargetNotEmpty(
                    f"database '{target}' was created at {server.host}:{server.port} during the restore",
                    hint="choose a new name; a restore never overwrites a database",
                ) from error
    except BaseException as error:
        _drop_or_name(server, name, error)
        raise


def _create(connection: "psycopg.Connection[Any]", name: str, options: NewDatabaseOptions) -> None:
    from psycopg import sql

    words: list[sql.Composable] = [sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))]
    if options.properties is not None:
        words += creation_clauses(options.properties)
    if options.owner_role is not None:
        words.append(sql.SQL("OWNER {}").format(sql.Identifier(options.owner_role)))
    connection.execute(sql.SQL(" ").join(words))


def _drop_or_name(server: Server, name: str, error: BaseException) -> None:
    from psycopg import sql

    try:
        with server.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    except BackupError as second:
        if isinstance(error, BackupError):
            raise type(error)(
                f"{error.message}; the half-restored database '{name}' is left behind ({second.message})",
                hint=error.hint,
                **error.attributes,
            ) from error
