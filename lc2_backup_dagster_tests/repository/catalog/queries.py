"""Looks into the catalog's database past the catalog."""

import time
from typing import Any

import psycopg
from psycopg.rows import dict_row


def execute(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def all_records(url: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM lc2_backup.log_records ORDER BY site, sequence").fetchall()


def forget_all(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(b"TRUNCATE lc2_backup.log_heads, lc2_backup.log_records, lc2_backup.backups")


def wait_until_blocked(url: str) -> None:
    """Return when a session of the catalog waits for a lock of another one."""
    blocked = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'lc2-backup catalog' AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    for _ in range(1200):
        if execute(url, blocked):
            return
        time.sleep(0.05)
    raise AssertionError("nobody waits")
