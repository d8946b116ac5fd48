"""Bring single databases, tables or files back out of a physical backup.

A database or table needs a server: the cluster is restored into scratch and recovered to the moment, the wanted part
is dumped there and goes into a new database. A file needs none: it is read through the tar's index, and through the
increments of the chain.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lc2_backup_dagster.engines.postgres.dump.database_properties import DatabaseProperties, read_properties
from lc2_backup_dagster.engines.postgres.dump.new_database import check_target_absent
from lc2_backup_dagster.engines.postgres.dump.restore import DumpOptions, RestoredDump, restore_dump
from lc2_backup_dagster.engines.postgres.servers.preflight import server_major
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tool_process import ToolStream
from lc2_backup_dagster.engines.postgres.servers.tools import Tools, find_tools
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.recovery_target import IMMEDIATE, RecoveryTarget
from lc2_backup_dagster.operations.restore.record import recorded_restore
from lc2_backup_dagster.operations.restore.scratch import scratch_restore
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import Initiator

Progress = Callable[[str, int, int | None], None]
"""Told the step, and the bytes done of those in all."""


@dataclass(frozen=True, slots=True)
class RestoredObjects:
    """What was brought back.

    Attributes:
        source_database: the database it was taken from.
        tables: the tables, empty for all.
        left_out: foreign keys to tables that were not restored, and triggers, which need functions that were not.
        database: facts of the new database.
        seconds: duration, the restore into scratch included.
    """

    source_database: str
    tables: tuple[str, ...]
    left_out: tuple[str, ...]
    database: RestoredDump
    seconds: float


def restore_objects(
    context: SiteContext,
    backup_id: str | None,
    *,
    source_database: str,
    target_database: str,
    initiator: Initiator,
    tables: Sequence[str] = (),
    target: RecoveryTarget = IMMEDIATE,
    jobs: int = 1,
    progress: Progress = lambda step, done, total: None,
) -> RestoredObjects:
    """Restore one database, or some of its tables, into a new database of the restore server.

    Args:
        context: the site.
        backup_id: a physical backup, or None for the newest one at or before the target.
        source_database: name of a database of the backed-up cluster.
        target_database: name of the new database.
        initiator: who asks.
        tables: names like ``orders`` (of schema public) or ``shop.orders``; empty for the whole database.
        target: which moment.
        jobs: parallel ``pg_restore`` workers.
        progress: told the step, bytes done, of those in all.

    The new database appears under its name only when it is complete. Either outcome is recorded in the log. Single
    tables come without what ties them to others that are not restored; ``left_out`` names it.

    Raises:
        TargetNotEmpty: a database of the target's name exists.
        ConfigurationError: the backup has no such database, or no table matches.
        TargetUnreachable: the moment cannot be reached.
        BackupError: everything engine and repository raise.
    """
    began = time.monotonic()
    repository = context.open_repository(False)
    server = context.restore.server
    body: dict[str, Any] = {
        "point": backup_id, "database": f"database {target_database} on {server.host}:{server.port}", "files": None,
        "plain_bytes": 0, "target": str(target), "source_database": source_database, "tables": list(tables),
    }  # fmt: skip
    with recorded_restore(repository, initiator, body):
        check_target_absent(server, target_database)
        with (
            scratch_restore(
                context, backup_id, target=target, progress=lambda done, total: progress("server", done, total)
            ) as scratch_server,
            scratch_folder(context.database.scratch_directory, context.site, "restore-objects") as scratch,
        ):
            restored, left_out = _move(
                context,
                _existing(scratch_server, source_database),
                tables,
                target_database=target_database,
                jobs=jobs,
                scratch=scratch,
                progress=lambda done, total: progress("database", done, total),
            )
        body["plain_bytes"] = restored.dump_bytes
    return RestoredObjects(source_database, tuple(tables), left_out, restored, time.monotonic() - began)


def _existing(server: Server, database: str) -> Server:
    with server.connect() as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1").fetchall()
    names = [str(name) for (name,) in rows]
    if database not in names:
        raise ConfigurationError(f"the backup has no database '{database}'", hint=f"it has {', '.join(names)}")
    return server.on(database)


def _move(
    context: SiteContext,
    source: Server,
    tables: Sequence[str],
    *,
    target_database: str,
    jobs: int,
    scratch: Path,
    progress: Callable[[int, int | None], None],
) -> tuple[RestoredDump, tuple[str, ...]]:
    """Dump from the scratch server straight into the new database."""
    server = context.restore.server
    wanted = _tables(source, tables)
    left_out = _detach(source, wanted) if wanted else ()
    newest = max(server_major(source), server_major(server))
    tools = find_tools(context.database.tools_directory, at_least_major=newest)
    with (
        tempfile.TemporaryDirectory(prefix="dump-", dir=scratch) as place,
        ToolStream(_dump_command(source, tools, wanted), server=source) as dump,
    ):
        restored = restore_dump(
            dump,
            server,
            tools,
            target_database=target_database,
            options=DumpOptions(jobs=jobs, schemas=_schemas(wanted), properties=_properties(source)),
            scratch=Path(place),
            on_progress=progress,
        )
    return restored, left_out


def _detach(source: Server, tables: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Drop what ties the tables to others that are not restored; the scratch server is thrown away anyway."""
    from psycopg import sql

    with source.connect() as connection:
        found = connection.execute(
            """
            WITH wanted AS (
                SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
            )
            SELECT 'CONSTRAINT', conname, n.nspname, c.relname FROM pg_constraint k
              JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid IN (TABLE wanted)
                AND k.confrelid NOT IN (TABLE wanted)
            UNION ALL
            SELECT 'TRIGGER', t.tgname, n.nspname, c.relname FROM pg_trigger t
              JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE NOT t.tgisinternal AND t.tgrelid IN (TABLE wanted)
            """,
            [[schema for schema, _ in tables], [table for _, table in tables]],
        ).fetchall()
        for kind, name, schema, table in found:
            place = sql.Identifier(schema, table)
            if kind == "CONSTRAINT":
                connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(place, sql.Identifier(name)))
            else:
                connection.execute(sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(name), place))
    return tuple(sorted(f"{kind.lower()} {name} of {schema}.{table}" for kind, name, schema, table in found))


def _tables(source: Server, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return schema and name of each wanted table."""
    found: list[tuple[str, str]] = []
    with source.connect() as connection:
        for name in names:
            schema, dot, table = name.rpartition(".")
            wanted = (schema if dot else "public", table)
            exists = connection.execute(
                "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')",
                wanted,
            ).fetchone()
            if exists is None:
                raise ConfigurationError(
                    f"database '{source.database}' of the backup has no table '{wanted[0]}.{wanted[1]}'",
                    hint="name it as schema.table, in the letters it was created with",
                )
            found.append(wanted)
    return found


def _schemas(tables: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    # pg_dump --table leaves out the schema that the table lies in.
    return tuple(sorted({schema for schema, _ in tables if schema != "public"}))


def _dump_command(source: Server, tools: Tools, tables: Sequence[tuple[str, str]]) -> list[str]:
    command = [
        tools.pg_dump, "--format=custom", "--compress=0", "--no-password", "--no-sync",
        f"--dbname={source.conninfo()}",
    ]  # fmt: skip
    return [*command, *(f"--table={_quoted(schema)}.{_quoted(table)}" for schema, table in tables)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _properties(source: Server) -> DatabaseProperties:
    with source.connect() as connection:
        return read_properties(connection)
