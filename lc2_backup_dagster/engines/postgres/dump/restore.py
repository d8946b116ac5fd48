"""Restore a dump into a new database: under a temporary name first, renamed into place when it is complete.

Ownership: by default nothing is owned by, or granted to, the roles of the source, nor put into its tablespaces
(``--no-owner --no-privileges --no-tablespaces``), because a restore goes elsewhere and those need not exist there;
everything belongs to the connected role, or to ``owner_role``. Publications and subscriptions are left out: a restored
copy must not begin to replicate.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.dump.database_properties import DatabaseProperties
from lc2_backup_dagster.engines.postgres.dump.directory import require_room, unpack_dump
from lc2_backup_dagster.engines.postgres.dump.new_database import check_target_absent, drop_leftovers, new_database
from lc2_backup_dagster.engines.postgres.ports import (
    CountedSource,
    Progress,
    SupportsRead,
    naming_full_disk,
    no_progress,
)
from lc2_backup_dagster.engines.postgres.servers.preflight import server_major
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tool_process import IgnorableErrors, ToolSink, run_tool
from lc2_backup_dagster.engines.postgres.servers.tools import Tools
from lc2_backup_dagster.model.errors import ConfigurationError

if TYPE_CHECKING:
    import psycopg

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DumpOptions:
    """How a dump is restored.

    Attributes:
        jobs: parallel ``pg_restore`` workers; more than one needs scratch for the whole dump.
        owner_role: role that shall own everything, or None for the connected one.
        keep_ownership: restore owners, privileges and tablespaces of the source; its roles and tablespaces must exist.
        analyze: gather planner statistics at the end.
        properties: what the new database is created with, and its settings; None for the server's defaults.
        schemas: made before anything is restored; dumps of single tables do not hold the schemas they lie in.
    """

    jobs: int = 1
    owner_role: str | None = None
    keep_ownership: bool = False
    analyze: bool = True
    properties: DatabaseProperties | None = None
    schemas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoredDump:
    """What a restore did.

    Attributes:
        database: name of the new database.
        tables: ordinary and partitioned tables in it.
        database_bytes: its size.
        dump_bytes: length of the dump that was read.
        jobs: workers that were really used.
        seconds: duration.
        removed_leftovers: databases of killed restores that were dropped.
    """

    database: str
    tables: int
    database_bytes: int
    dump_bytes: int
    jobs: int
    seconds: float
    removed_leftovers: tuple[str, ...]


def restore_dump(
    source: SupportsRead,
    server: Server,
    tools: Tools,
    *,
    target_database: str,
    directory: bool = False,
    options: DumpOptions | None = None,
    scratch: Path | None = None,
    dump_bytes: int | None = None,
    on_progress: Progress = no_progress,
) -> RestoredDump:
    """Restore the stream of a dump into a new database.

    Args:
        source: the dump.
        server: any database of the target server, as a role that may create databases.
        tools: client tools, at least as new as those that made the dump.
        target_database: name of the new database; until it is complete it is called ``<name>_lc2_<6 hex digits>``.
        directory: the stream is ``dump.directory``, which always goes through ``scratch``; else ``dump.custom``.
        options: jobs, owners, encoding.
        scratch: directory for a local copy of the dump, which parallel jobs need.
        dump_bytes: length of the dump if known; without room for it in ``scratch``, ``dump.custom`` is streamed by one
            job.
        on_progress: called after every chunk read.

    When it raises, no database of the target's name exists and the temporary one is dropped (or named in the
    message). What a killed restore of the same target left behind is dropped first.

    Raises:
        ConfigurationError: a directory's dump, and no scratch.
        TargetNotEmpty: the target exists.
        StorageFull: no space in scratch or on the server.
        ToolFailed: ``pg_restore`` failed.
    """
    options = options or DumpOptions()
    began = time.monotonic()
    if directory:
        if scratch is None:
            raise ConfigurationError("a dump of several jobs cannot be restored without a scratch directory")
        require_room(scratch, dump_bytes or 0)
    check_target_absent(server, target_database)
    leftovers = drop_leftovers(server, target_database)
    counted = CountedSource(source, on_progress, dump_bytes)
    with new_database(server, target_database, options) as temporary:
        _make_schemas(server.on(temporary), options.schemas)
        with _seekable(counted, options, directory=directory, scratch=scratch, dump_bytes=dump_bytes) as local:
            jobs = options.jobs if local is not None else 1
            ignorable = _ignorable_errors(server, tools)
            command = _command(server.on(temporary), tools, options, exit_on_error=ignorable is None)
            command.append(f"--format={'directory' if directory else 'custom'}")
            if local is not None:
                run_tool([*command, f"--jobs={jobs}", str(local)], server=server, ignorable=ignorable)
            else:
                _stream_into(command, counted, server, ignorable)
        with server.connect(temporary) as connection:
            if options.analyze:
                connection.execute("ANALYZE")
            tables, size = _measure(connection)
    return RestoredDump(
        database=target_database,
        tables=tables,
        database_bytes=size,
        dump_bytes=counted.done,
        jobs=jobs,
        seconds=time.monotonic() - began,
        removed_leftovers=leftovers,
    )


@contextmanager
def _seekable(
    source: SupportsRead, options: DumpOptions, *, directory: bool, scratch: Path | None, dump_bytes: int | None
) -> Generator[Path | None]:
    """Copy the dump to scratch when it must lie there, or when several jobs shall read it; otherwise yield None."""
    if scratch is None or not (directory or options.jobs > 1):
        yield None
        return
    if not directory and dump_bytes is not None and shutil.disk_usage(scratch).free < dump_bytes * 1.05:
        yield None
        return
    with naming_full_disk(scratch), tempfile.TemporaryDirectory(prefix="lc2-restore-", dir=scratch) as folder:
        local = Path(folder) / "dump"
        if directory:
            unpack_dump(source, local)
        else:
            with local.open("wb") as file:
                while chunk := source.read(_CHUNK_BYTES):
                    file.write(chunk)
        yield local


def _make_schemas(server: Server, names: tuple[str, ...]) -> None:
    from psycopg import sql

    if names:
        with server.connect() as connection:
            for name in names:
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name)))


def _ignorable_errors(server: Server, tools: Tools) -> IgnorableErrors | None:
    """Return the one error to ignore where it will come: None for servers that know every setting.

    ``pg_restore`` 17 and newer begins every session with ``transaction_timeout``, which servers before 17 do not know.
    """
    if tools.major >= 17 and server_major(server) < 17:
        return IgnorableErrors(
            each=re.compile(rb'ERROR: +unrecognized configuration parameter "transaction_timeout"'),
            any=re.compile(rb"^pg_restore: (error|fatal):"),
            total=re.compile(rb"errors ignored on restore: (\d+)"),
        )
    return None


def _command(server: Server, tools: Tools, options: DumpOptions, *, exit_on_error: bool) -> list[str]:
    command = [
        tools.pg_restore, "--no-password",
        "--no-publications", "--no-subscriptions", f"--dbname={server.conninfo()}",
    ]  # fmt: skip
    if exit_on_error:
        command.append("--exit-on-error")
    if not options.keep_ownership:
        command += ["--no-owner", "--no-privileges", "--no-tablespaces"]
    if options.owner_role is not None:
        command.append(f"--role={options.owner_role}")
    return command


def _stream_into(command: list[str], source: SupportsRead, server: Server, ignorable: IgnorableErrors | None) -> None:
    with ToolSink(command, server=server, ignorable=ignorable) as tool:
        while chunk := source.read(_CHUNK_BYTES):
            tool.write(chunk)
        tool.end_input()


def _measure(connection: "psycopg.Connection[Any]") -> tuple[int, int]:
    row = connection.execute(
        """
        SELECT count(*), pg_database_size(current_database()) FROM pg_class c JOIN pg_namespace n
          ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND n.nspname !~ '^pg_(toast|temp)'
        """
    ).fetchone()
    assert row is not None
    return row[0], row[1]
