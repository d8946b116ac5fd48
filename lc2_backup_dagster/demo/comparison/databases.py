"""Compare two databases: definitions, every row of every table, sequences, large objects."""

import hashlib
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from psycopg import sql

from lc2_backup_dagster.demo.comparison.differences import Differences, Findings
from lc2_backup_dagster.demo.comparison.rows import Connection, Sides, Table, compare_rows
from lc2_backup_dagster.demo.comparison.schema import SCHEMA_QUERIES, SEQUENCES_QUERY, TABLES_QUERY
from lc2_backup_dagster.engines.postgres.servers.server import Server

_LARGE_OBJECTS_AT_ONCE = 500
_PIECE_BYTES = 1 << 20
# Equal values must have equal text on both sides, whatever the roles and databases are set to.
_SETTINGS = """
    set local search_path = ''; set local timezone = 'UTC'; set local datestyle = 'ISO, YMD';
    set local intervalstyle = 'postgres'; set local extra_float_digits = 1; set local bytea_output = 'hex';
    set local xmloption = 'content'; set local lc_monetary = 'C'; set local row_security = off;
    set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0
"""


def compare_databases(
    left: Server,
    right: Server,
    *,
    samples: int = 10,
    sequence_slack: int = 0,
    sequence_lag: int = 0,
    ignore: Callable[[str], bool] = lambda _: False,
    progress: Callable[[str], None] = lambda _: None,
) -> Differences:
    """Compare two databases in bounded memory, each as of one moment (one repeatable-read transaction).

    Rows are hashed by the servers; a table takes one scan on each side. Owners, grants, statistics and physical order
    are not compared.

    Args:
        left: what was backed up.
        right: what was restored.
        samples: rows to name of each table that differs.
        sequence_slack: how far a sequence may be ahead on the right. A server that recovers from WAL skips up to 32
            values that ``nextval`` had logged in advance (PostgreSQL: ``SEQ_LOG_VALS``); a dump gives 0.
        sequence_lag: how far a sequence may be behind on the right. Sequences know no snapshots: a dump of a database
            in use holds what they were when it came to them.
        ignore: which tables (``schema.name``) to leave out.
        progress: told what comes next.

    Raises:
        ServerUnavailable, AccessDenied, MissingPrivilege: a side cannot be read.
    """
    findings = Findings()
    with _reading(left) as ours, _reading(right) as theirs, ThreadPoolExecutor(2) as pool:
        sides = Sides(ours, theirs, pool)
        progress("definitions")
        for kind, query in SCHEMA_QUERIES.items():
            _compare_definitions(sides, kind, query, findings)
        for table in _common_tables(sides, ignore):
            progress(table.label)
            findings.count("tables")
            compare_rows(sides, table, findings, samples=samples)
        progress("sequences")
        _compare_sequences(sides, findings, slack=sequence_slack, lag=sequence_lag)
        progress("large objects")
        _compare_large_objects(sides, findings, samples=samples)
    return findings.result()


@contextmanager
def _reading(server: Server) -> Generator[Connection]:
    with server.connect() as connection:
        connection.execute("begin isolation level repeatable read read only")
        connection.execute(_SETTINGS)
        yield connection


def _compare_definitions(sides: Sides, kind: str, query: str, findings: Findings) -> None:
    left, right = sides.both(lambda side: dict(side.execute(query.encode()).fetchall()))
    for name in sorted({*left, *right}):
        findings.count("definitions")
        if name not in right:
            findings.add(f"{kind} {name}", "only on the left")
        elif name not in left:
            findings.add(f"{kind} {name}", "only on the right")
        elif left[name] != right[name]:
            findings.add(f"{kind} {name}", f"{left[name]!r} on the left, {right[name]!r} on the right")


def _common_tables(sides: Sides, ignore: Callable[[str], bool]) -> list[Table]:
    """Return the tables that are the same on both sides; others were reported with the definitions."""

    def read(side: Connection) -> dict[tuple[str, str], Table]:
        rows = side.execute(TABLES_QUERY.encode()).fetchall()
        return {(schema, name): Table(schema, name, tuple(key), tuple(cols)) for schema, name, key, cols in rows}

    left, right = sides.both(read)
    return [table for key, table in left.items() if right.get(key) == table and not ignore(table.label)]


def _compare_sequences(sides: Sides, findings: Findings, *, slack: int, lag: int) -> None:
    def read(side: Connection) -> dict[str, tuple[int, bool]]:
        values: dict[str, tuple[int, bool]] = {}
        for schema, name in side.execute(SEQUENCES_QUERY.encode()).fetchall():
            row = side.execute(sql.SQL("select last_value, is_called from {}").format(sql.Identifier(schema, name)))
            last_value, is_called = row.fetchall()[0]
            values[f"{schema}.{name}"] = (last_value, is_called)
        return values

    left, right = sides.both(read)
    for name in sorted(left.keys() & right.keys()):
        findings.count("sequences")
        (ours, called), (theirs, called_there) = left[name], right[name]
        if not (-lag <= theirs - ours <= slack and called == called_there):
            findings.add(
                f"sequence {name}",
                f"at {ours} (used: {called}) on the left, {theirs} (used: {called_there}) on the right",
            )


def _compare_large_objects(sides: Sides, findings: Findings, *, samples: int) -> None:
    after, named = 0, 0
    while True:
        left, right = sides.both(lambda side, after=after: _large_object_digests(side, after))
        if not left and not right:
            return
        # A page ends where the shorter one ends, so that the same object ids are judged on both sides.
        full = [page for page in (left, right) if len(page) == _LARGE_OBJECTS_AT_ONCE]
        after = min(max(page) for page in full) if full else max([*left, *right])
        for oid in sorted(oid for oid in {*left, *right} if oid <= after):
            findings.count("large objects")
            ours, theirs = left.get(oid), right.get(oid)
            if ours == theirs:
                continue
            named += 1
            if named > samples:
                findings.note(f"more than {samples} large objects differ, the first are named")
                return
            only = "contents differ" if ours and theirs else "only on the left" if ours else "only on the right"
            findings.add(f"large object {oid}", only)


def _large_object_digests(side: Connection, after: int) -> dict[int, str]:
    """Return a digest of each of the next large objects; ``lo_get`` needs SELECT on them, not a superuser."""
    pieces = side.execute(
        "select m.oid, md5(p.piece), length(p.piece) from pg_largeobject_metadata m, "
        "lateral (select lo_get(m.oid, 0, %s::integer) as piece offset 0) p "
        "where m.oid > %s::oid order by m.oid limit %s",
        (_PIECE_BYTES, after, _LARGE_OBJECTS_AT_ONCE),
    ).fetchall()
    return {oid: digest if length < _PIECE_BYTES else _long_digest(side, oid, digest) for oid, digest, length in pieces}


def _long_digest(side: Connection, oid: int, first: str) -> str:
    digest = hashlib.sha256(first.encode())
    offset = _PIECE_BYTES
    while True:
        row = side.execute(
            "select md5(piece), length(piece) "
            "from (select lo_get(%s::oid, %s::bigint, %s::integer) as piece offset 0) p",
            (oid, offset, _PIECE_BYTES),
        ).fetchone()
        assert row is not None
        digest.update(row[0].encode())
        offset += _PIECE_BYTES
        if row[1] < _PIECE_BYTES:
            return f"{digest.hexdigest()} {offset - _PIECE_BYTES + row[1]}"
