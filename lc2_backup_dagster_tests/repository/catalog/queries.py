"""Looks into the catalog's database past the catalog."""

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
