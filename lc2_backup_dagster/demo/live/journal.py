"""The journal of a living site, kept in the site's own database: each change is written down in its own transaction.

So a dump of the database tells exactly which changes it holds, and by the transaction's id the same moment can be
reached along another road (base backup and WAL). ``pending_file`` names files that no row names any more or yet; a
writer that died left them, the next one puts them right. It is written outside the changes' transactions.
"""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

PENDING_TABLE = "lc2_live.pending_file"
_LOCK = 0x6C7632  # of the application itself nobody takes it: it is no lock of PostgreSQL's own objects
_TABLES = """
create schema if not exists lc2_live;
create table if not exists lc2_live.change (
    number bigint primary key, transaction_id bigint not null,
    made_at timestamptz not null default clock_timestamp(), what text not null
);
create table if not exists lc2_live.change_file (
    number bigint not null references lc2_live.change, key text not null, before text, after text,
    primary key (number, key)
);
create table if not exists lc2_live.pending_file (key text primary key, before text);
"""


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a change did to one file.

    Attributes:
        before: SHA-256 of its content before, None where there was no such file.
        after: SHA-256 of its content afterwards, None where the file is gone.
    """

    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """The newest change that a database knows.

    Attributes:
        number: counts from 1 without gaps.
        transaction_id: the transaction that made it.
        made_at: when, RFC 3339.
    """

    number: int
    transaction_id: int
    made_at: str


def prepare(connection: Connection) -> None:
    """Make the journal where there is none."""
    connection.execute(_TABLES)


def journal_end(connection: Connection) -> JournalEnd | None:
    """Return the newest change, or None where nobody ever lived here."""
    present = connection.execute("select to_regclass(%s) is not null", ("lc2_live.change",)).fetchone()
    if present is None or not present[0]:
        return None
    row = connection.execute(
        "select number, transaction_id, made_at::text from lc2_live.change order by number desc limit 1"
    ).fetchone()
    return JournalEnd(*row) if row else None


def record(connection: Connection, what: str, files: Mapping[str, FileChange]) -> None:
    """Write down a change, inside its transaction; files that it deletes are pending from its commit on."""
    row = connection.execute(
        "insert into lc2_live.change (number, transaction_id, what) "
        "select coalesce(max(number), 0) + 1, pg_current_xact_id()::text::bigint, %s from lc2_live.change "
        "returning number",
        (what,),
    ).fetchone()
    assert row is not None
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into lc2_live.change_file values (%s, %s, %s, %s)",
            [(row[0], key, each.before, each.after) for key, each in files.items()],
        )
        cursor.executemany(
            "delete from lc2_live.pending_file where key = %s",
            [(key,) for key, each in files.items() if each.after is not None],
        )
        cursor.executemany(
            "insert into lc2_live.pending_file (key) values (%s) on conflict (key) do update set before = null",
            [(key,) for key, each in files.items() if each.after is None],
        )


def announce(connection: Connection, key: str, before: str | None) -> None:
    """Say that a file will be written, before it is: outside the change's transaction, which may never commit."""
    connection.execute(
        "insert into lc2_live.pending_file values (%s, %s) on conflict (key) do nothing",
        (key, before),
    )


def settle(connection: Connection, keys: Iterable[str]) -> None:
    """Say that files are as they should be: gone, or named by a row."""
    connection.execute("delete from lc2_live.pending_file where key = any(%s)", (list(keys),))


def pending(connection: Connection) -> dict[str, str | None]:
    """Return the pending files: key → SHA-256 of the content before, None for files that nothing shall name."""
    rows = connection.execute("select key, before from lc2_live.pending_file").fetchall()
    return dict(rows)


def contents_since(connection: Connection, number: int) -> dict[str, set[str | None]]:
    """Return each file that changed behind a change: key → the contents it had since then, None for being absent."""
    contents: dict[str, set[str | None]] = {}
    query = "select key, before, after from lc2_live.change_file where number > %s"
    for key, before, after in connection.execute(query, (number,)):
        contents.setdefault(key, set()).update((before, after))
    return contents


@contextmanager
def still(connection: Connection) -> Generator[None]:
    """Hold the site still: no change begins, none is half done, until this ends or the connection does."""
    connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
    try:
        yield
    finally:
        connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))
