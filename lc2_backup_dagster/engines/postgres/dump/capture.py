"""Capture a portable dump: one snapshot, read by ``pg_dump`` and by the query that names files.

Streams: ``dump.custom`` (``pg_dump -Fc``, streamed) or, with several jobs, ``dump.directory`` (a tar of what
``pg_dump -Fd`` makes, see ``dump_directory``), neither compressed by ``pg_dump`` because the repository compresses;
``globals.sql`` (roles without passwords, tablespaces); ``file_references.jsonl`` (rows of the references query). Plain
``pg_restore`` reads the first two. The dump is of one database; the globals are of the whole cluster.
"""

import io
import shutil
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.base.wal_hold import POSITION_SQL
from lc2_backup_dagster.engines.postgres.dump.database_properties import DatabaseProperties, read_properties
from lc2_backup_dagster.engines.postgres.dump.directory import DIRECTORY_STREAM, DirectoryDump, room_wanted
from lc2_backup_dagster.engines.postgres.dump.json_rows import JsonRows, read_freely
from lc2_backup_dagster.engines.postgres.ports import (
    CountedSource,
    Progress,
    Stream,
    SupportsRead,
    WriteStream,
    no_progress,
)
from lc2_backup_dagster.engines.postgres.servers.preflight import check_server
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tool_process import ToolStream, run_tool
from lc2_backup_dagster.engines.postgres.servers.tools import Tools
from lc2_backup_dagster.model.errors import MissingPrivilege, ToolFailed
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.window import Moment

if TYPE_CHECKING:
    import psycopg

DUMP_STREAM = "dump.custom"
GLOBALS_STREAM = "globals.sql"
REFERENCES_STREAM = "file_references.jsonl"
# pg_dump waits for tables that DDL has locked; every wait has an end (L-28).
_LOCK_WAIT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Dump:
    """A captured dump.

    Attributes:
        moment: when the snapshot was true, with the WAL position just before it.
        streams: ``dump.custom`` or ``dump.directory``, then ``globals.sql`` and ``file_references.jsonl`` where they
            were captured.
        restore_point: name of the restore point in the WAL just before the snapshot, or None.
        restore_point_skipped: why there is none.
        globals_skipped: why ``globals.sql`` is absent, or None.
        references: number of rows in ``file_references.jsonl``, or None without a query.
        tables: number of ordinary and partitioned tables.
        estimated_rows: sum of the planner's estimates.
        large_objects: number of large objects.
        database_bytes: size of the database on the server.
        properties: what it is created with, and its settings.
        system_identifier: of the cluster, where the server tells.
        server_version: like ``17.10``.
        tool_version: of ``pg_dump``.
        exclude_table_data: patterns whose tables have structure but no rows.
        jobs: tables that were dumped at once.
        jobs_skipped: why these are fewer than were wanted, or None.
    """

    moment: Moment
    streams: tuple[Stream, ...]
    restore_point: str | None
    restore_point_skipped: str | None
    globals_skipped: str | None
    references: int | None
    tables: int
    estimated_rows: int
    large_objects: int
    database_bytes: int
    properties: DatabaseProperties
    system_identifier: str | None
    server_version: str
    tool_version: str
    exclude_table_data: tuple[str, ...]
    jobs: int
    jobs_skipped: str | None


def capture_dump(
    server: Server,
    tools: Tools,
    *,
    write: WriteStream,
    backup_id: str,
    exclude_table_data: Sequence[str] = (),
    references_sql: str | None = None,
    jobs: int = 1,
    scratch: Path | None = None,
    lock_wait_seconds: int = _LOCK_WAIT_SECONDS,
    on_progress: Progress = no_progress,
) -> Dump:
    """Dump one database to ``write``.

    Args:
        server: the database, as a role that may read all of it.
        tools: client tools, at least as new as the server.
        write: consumes one stream to its end.
        backup_id: names the restore point ``lc2-<backup id>``.
        exclude_table_data: patterns of ``pg_dump --exclude-table-data``.
        references_sql: one SELECT; each row becomes one JSON object, read in the same snapshot as the dump.
        jobs: tables to dump at once. More than one go through ``scratch``; where it has no room, one job streams.
        scratch: an empty directory for what several jobs have written and what is not stored yet.
        lock_wait_seconds: how long to wait for a table that somebody has locked.
        on_progress: called after every chunk of the dump, with the database's size as estimate.

    Nothing is written before all checks have passed. When it raises, the streams written so far are worthless.

    Raises:
        ToolFailed: ``pg_dump`` failed, or the references query was refused.
        ServerUnavailable: a connection was lost (also that of the snapshot, which must live as long as ``pg_dump``), or
            a table stayed locked.
        StorageFull: the server or scratch is full.
        PermanentError: what ``check_server`` found.
    """
    server_facts = check_server(server, tools, physical=False, dump=True)
    restore_point, skipped, position = _mark_restore_point(server, name=f"lc2-{backup_id}")
    timeline = server_facts.timeline
    with _snapshot(server) as (connection, snapshot, started):
        time = position.time if server_facts.in_recovery else started
        counts, properties = _counts(connection), read_properties(connection)
        streams: list[Stream] = []
        references: int | None = None
        if references_sql is not None:
            # First, because a query that is wrong should fail before the long part.
            rows = JsonRows(connection, references_sql, server=server)
            streams.append(write(REFERENCES_STREAM, rows))
            references = rows.count
        jobs, jobs_skipped = _possible_jobs(jobs, scratch, server_facts.database_bytes)
        options = [
            f"--snapshot={snapshot}", "--compress=0", "--no-password", f"--dbname={server.conninfo()}",
            # in milliseconds: pg_dump hands it to statement_timeout
            f"--lock-wait-timeout={lock_wait_seconds * 1000}",
            *(f"--exclude-table-data={pattern}" for pattern in exclude_table_data),
        ]  # fmt: skip
        with _running(server, tools, options, jobs=jobs, scratch=scratch) as (name, tool):
            counted = CountedSource(tool, on_progress, server_facts.database_bytes)
            streams.insert(0, write(name, counted))
        # The snapshot must have lived to the end; if its session broke, the next statement fails.
        connection.execute("SELECT 1")
    globals_sql, globals_skipped = _globals(server, tools)
    if globals_sql is not None:
        streams.insert(1, write(GLOBALS_STREAM, io.BytesIO(globals_sql)))
    return Dump(
        moment=Moment(time, time, lsn=str(Lsn(position.lsn, timeline or 0)), timeline=timeline),
        streams=tuple(streams),
        restore_point=restore_point,
        restore_point_skipped=skipped,
        globals_skipped=globals_skipped,
        references=references,
        tables=counts["tables"],
        estimated_rows=counts["estimated_rows"],
        large_objects=counts["large_objects"],
        database_bytes=server_facts.database_bytes,
        properties=properties,
        system_identifier=server_facts.system_identifier,
        server_version=server_facts.version,
        tool_version=tools.version,
        exclude_table_data=tuple(exclude_table_data),
        jobs=jobs,
        jobs_skipped=jobs_skipped,
    )


def dump_stream_name(streams: Iterable[str]) -> str:
    """Return which of a backup's streams is the dump itself."""
    return DIRECTORY_STREAM if DIRECTORY_STREAM in streams else DUMP_STREAM


@dataclass(frozen=True, slots=True)
class _Position:
    time: datetime
    lsn: int


def _mark_restore_point(server: Server, *, name: str) -> tuple[str | None, str | None, _Position]:
    """Create a named restore point where the role may; return its name or why not, and the position after it."""
    with server.connect() as connection:
        refusal = connection.execute(
            """
            SELECT CASE WHEN pg_is_in_recovery() THEN 'the server is a standby'
                        WHEN current_setting('wal_level') = 'minimal' THEN 'wal_level is minimal'
                        WHEN NOT has_function_privilege('pg_create_restore_point(text)', 'EXECUTE')
                        THEN format('GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO %I is missing',
                                    current_user) END
            """
        ).fetchone()
        assert refusal is not None
        if refusal[0] is None:
            connection.execute("SELECT pg_create_restore_point(%s)", [name[:63]])
        row = connection.execute(POSITION_SQL).fetchone()
        assert row is not None
        return (name[:63] if refusal[0] is None else None), refusal[0], _Position(row[0], row[1])


@contextmanager
def _snapshot(server: Server) -> "Generator[tuple[psycopg.Connection[Any], str, datetime]]":
    """Hold a transaction whose snapshot others may use; yields connection, snapshot id and the time of BEGIN."""
    with server.connect() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        read_freely(connection)
        # now() is the time of BEGIN, before the snapshot: whatever had committed by then is in it.
        row = connection.execute("SELECT pg_export_snapshot(), now()").fetchone()
        assert row is not None
        yield connection, row[0], row[1]
        connection.execute("COMMIT")


def _possible_jobs(wanted: int, scratch: Path | None, database_bytes: int) -> tuple[int, str | None]:
    """Return how many jobs there is room for, and why these are fewer than wanted."""
    if wanted <= 1:
        return 1, None
    if scratch is None:
        return 1, "there is no scratch directory"
    free, needed = shutil.disk_usage(scratch).free, room_wanted(database_bytes)
    if free < needed:
        return 1, f"scratch has {free} bytes free, {wanted} jobs want {needed}"
    return wanted, None


@contextmanager
def _running(
    server: Server, tools: Tools, options: Sequence[str], *, jobs: int, scratch: Path | None
) -> Generator[tuple[str, SupportsRead]]:
    """Run ``pg_dump``; yields the stream's name and its source."""
    if jobs > 1:
        assert scratch is not None
        command = [tools.pg_dump, "--format=directory", f"--jobs={jobs}", "--no-sync", *options]
        directory = scratch / "dump"
        try:
            with DirectoryDump(command, server=server, directory=directory) as tool:
                yield DIRECTORY_STREAM, tool
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    else:
        with ToolStream([tools.pg_dump, "--format=custom", *options], server=server) as tool:
            yield DUMP_STREAM, tool


def _counts(connection: "psycopg.Connection[Any]") -> dict[str, Any]:
    row = connection.execute(
        """
        SELECT count(*) FILTER (WHERE c.relkind IN ('r', 'p')),
               coalesce(sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind = 'r'), 0)::bigint,
               (SELECT count(*) FROM pg_largeobject_metadata)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
        """
    ).fetchone()
    assert row is not None
    names = ("tables", "estimated_rows", "large_objects")
    return dict(zip(names, row, strict=True))


def _globals(server: Server, tools: Tools) -> tuple[bytes | None, str | None]:
    """Return the cluster's roles and settings as SQL, or why this role may not read them."""
    command = [
        tools.pg_dumpall, "--globals-only", "--no-role-passwords", "--no-password",
        f"--database={server.database}", f"--dbname={server.conninfo()}",
    ]  # fmt: skip
    try:
        return run_tool(command, server=server), None
    except (MissingPrivilege, ToolFailed) as error:
        # Managed servers hide parts of the roles; the dump itself is complete without them.
        return None, error.message
