"""Small questions that several tests ask of servers and processes."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.tools import Tools, find_programs

CONTENT_SQL = "SELECT count(*), coalesce(sum(hashtext(t::text)::bigint), 0) FROM {table} t"


def tools_of(major: int) -> Tools:
    """Return the tools of exactly this major version."""
    place = find_programs("pg_dump", "pg_basebackup", major=major)
    return Tools(place, f"{major}.0", major)


def content_of(server: PostgresServer, database: str, *tables: str) -> list[tuple]:
    """Return row count and content hash of each table."""
    with server.server(database).connect() as connection:
        return [connection.execute(CONTENT_SQL.format(table=table)).fetchone() for table in tables]


def until(condition: Callable[[], bool], *, what: str, seconds: float = 20.0) -> None:
    """Wait for something that happens soon; the time bounds a failure, it is not what is tested."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so: {what}"
        time.sleep(0.02)


def running_tools(name: str) -> list[psutil.Process]:
    """Return our own child processes of that name."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.name() == name and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def nothing_left(server: PostgresServer) -> None:
    """Assert that no slot and no connection of a backup stays on the server."""

    def clean() -> bool:
        with server.server().connect() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'lc2-backup' AND pid <> pg_backend_pid())"
            ).fetchone()
        return row == (0, 0)

    until(clean, what="no slot and no connection is left")


def emptied(directory: Path) -> bool:
    """Say whether a scratch directory is empty."""
    return not any(directory.iterdir())
