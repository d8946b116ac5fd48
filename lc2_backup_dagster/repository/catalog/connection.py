"""Connections to the catalog's database: how they are opened, what their errors mean, how the schema is brought up."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lc2_backup_dagster.model.errors import CatalogUnavailable, ConfigurationError
from lc2_backup_dagster.repository.catalog.tables import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_MIGRATIONS = Path(__file__).with_name("migrations")
_DRIVER = "postgresql+psycopg"
# Any number that nothing else in the database uses.
_MIGRATION_LOCK = 5_223_801_117_404_961_026
# Alembic keeps the running migration in module globals: one at a time per process.
_one_at_a_time = threading.Lock()


def open_engine(url: str) -> "Engine":
    """Return an engine that opens one connection per transaction; nothing is contacted yet.

    Args:
        url: ``postgresql://…`` or ``postgresql+psycopg://…``.

    Raises:
        ConfigurationError: not such an address; the message does not repeat it, it may hold a password.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.pool import NullPool

    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        address = None
    if address is None or address.drivername not in ("postgresql", _DRIVER):
        raise ConfigurationError(
            "the catalog's address is not one of PostgreSQL", hint="write postgresql://user@host:5432/database"
        )
    return create_engine(
        address.set(drivername=_DRIVER),
        # No pool: projections are rare, and a connection that outlives a fork or a failover is worse than a new one.
        poolclass=NullPool,
        connect_args={
            "connect_timeout": 10,
            "application_name": "lc2-backup catalog",
            # Every wait has an end (L-28).
            "options": "-c lock_timeout=120s -c idle_in_transaction_session_timeout=1h -c timezone=UTC",
        },
    )


@contextmanager
def transaction(engine: "Engine") -> "Generator[Connection]":
    """Open a connection and a transaction; committed when left normally.

    Raises:
        CatalogUnavailable: the database cannot be reached, refuses, or has not been migrated.
    """
    from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, ProgrammingError

    try:
        with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError, InternalError) as error:  # InternalError: a read-only standby
        raise CatalogUnavailable(
            f"the catalog at {_place(engine)} cannot be used: {_first_line(error.orig)}",
            hint="backups and restores go on without it; lc2-backup rebuild brings it up to date later",
        ) from error
    except ProgrammingError as error:
        # 42P01 undefined table, 3F000 undefined schema, 42703 undefined column, 42501 insufficient privilege
        if getattr(error.orig, "sqlstate", None) not in ("42P01", "3F000", "42703", "42501"):
            raise
        raise CatalogUnavailable(
            f"the catalog at {_place(engine)} is not ready: {_first_line(error.orig)}",
            hint="run lc2-backup rebuild, it makes the tables",
        ) from error


def upgrade(engine: "Engine") -> None:
    """Bring the schema to the newest version. Any number of processes may do so at once; all or nothing.

    Raises:
        CatalogUnavailable: the database cannot be reached or the role may not create a schema.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy import func, select
    from sqlalchemy.schema import CreateSchema

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with _one_at_a_time, transaction(engine) as connection:
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        if not _has_schema(connection):  # asked first: IF NOT EXISTS needs the right to create even when it exists
            connection.execute(CreateSchema(SCHEMA))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise CatalogUnavailable(
                f"the catalog at {_place(engine)} has a schema this version does not know: {error}",
                hint="a newer version made it; update this process too",
            ) from error


def _has_schema(connection: "Connection") -> bool:
    from sqlalchemy import inspect

    return inspect(connection).has_schema(SCHEMA)


def _place(engine: "Engine") -> str:
    url = engine.url
    return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0]
