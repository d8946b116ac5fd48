"""Compare the rows of one table on two servers without moving them.

Each side adds up two 64-bit hashes of every row's text; sums do not depend on the order, and a row that is missing,
changed or there twice changes them. Only when they differ the rows are narrowed down: by 256 buckets of the hash
first, then by merging the primary keys and hashes of the differing buckets, sorted by the servers.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from lc2_backup_dagster.demo.comparison.differences import Findings

Connection = psycopg.Connection[Any]
T = TypeVar("T")

_BUCKETS = 256
# Cannot be the name of a column by accident: a column of the row's alias would be taken for the row.
_ROW = sql.SQL("lc2_compared_row")


@dataclass(frozen=True, slots=True)
class Table:
    """A table on both sides."""

    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name for messages."""
        return f"{self.schema}.{self.name}"


class Sides:
    """A connection to each side, used at the same time."""

    def __init__(self, left: Connection, right: Connection, pool: ThreadPoolExecutor) -> None:
        self.left, self.right = left, right
        self._pool = pool

    def both(self, ask: Callable[[Connection], T]) -> tuple[T, T]:
        """Ask both sides the same at once."""
        left, right = self._pool.map(ask, (self.left, self.right))
        return left, right


def compare_rows(sides: Sides, table: Table, findings: Findings, *, samples: int) -> None:
    """Compare all rows of a table; name at most ``samples`` rows that differ."""
    (left_count, *left_sums), (right_count, *right_sums) = sides.both(lambda side: _digest(side, table))
    findings.count("rows", int(left_count))
    if left_count == right_count and left_sums == right_sums:
        return
    findings.add(f"table {table.label}", f"{left_count:,} rows against {right_count:,}, contents differ")
    left_buckets, right_buckets = sides.both(lambda side: _bucket_digests(side, table))
    differing = [number for number in range(_BUCKETS) if left_buckets.get(number) != right_buckets.get(number)]
    ours, theirs = _hashes(sides.left, table, differing), _hashes(sides.right, table, differing)
    with closing(ours), closing(theirs):
        unequal = ((key, left, right) for key, left, right in _merge(ours, theirs) if left != right)
        for key, left, right in islice(unequal, samples):
            findings.add(*_describe(sides, table, key, left, right))
        if next(unequal, None) is not None:
            findings.note(f"table {table.label}: more than {samples} rows differ, the first are named")


def _source(table: Table) -> sql.Composed:
    return sql.SQL("from only {} as {}").format(sql.Identifier(table.schema, table.name), _ROW)


def _hash(seed: int) -> sql.Composed:
    return sql.SQL("hashtextextended({}::text, {})").format(_ROW, sql.Literal(seed))


def _digest(side: Connection, table: Table) -> tuple[Any, ...]:
    query = sql.SQL("select count(*), coalesce(sum({}::numeric), 0), coalesce(sum({}::numeric), 0) {}")
    row = side.execute(query.format(_hash(0), _hash(1), _source(table))).fetchone()
    assert row is not None
    return row


def _bucket(seed: int = 0) -> sql.Composed:
    return sql.SQL("({} & {})::integer").format(_hash(seed), sql.Literal(_BUCKETS - 1))


def _bucket_digests(side: Connection, table: Table) -> dict[int, tuple[Any, ...]]:
    query = sql.SQL("select {}, count(*), sum({}::numeric), sum({}::numeric) {} group by 1")
    return {row[0]: row[1:] for row in side.execute(query.format(_bucket(), _hash(0), _hash(1), _source(table)))}


def _key(table: Table) -> sql.Composed:
    """Return the expression of a row's key as text; without a primary key its hash stands in."""
    if not table.key:
        return sql.SQL("{}::text").format(_hash(0))
    columns = sql.SQL(", ").join(sql.SQL("{}.{}").format(_ROW, sql.Identifier(column)) for column in table.key)
    return sql.SQL("row({})::text").format(columns)


def _hashes(side: Connection, table: Table, buckets: list[int]) -> Generator[tuple[bytes, Counter[int]]]:
    """Yield (key, hashes of the rows with that key), in the byte order of the keys."""
    query = sql.SQL('select ({key}) collate "C", {first} {source} where {bucket} = any(%s) order by 1').format(
        key=_key(table), first=_hash(1), source=_source(table), bucket=_bucket()
    )
    with side.cursor(name="lc2_compare") as cursor:
        cursor.itersize = 10_000
        cursor.execute(query, (buckets,))
        current, hashes = b"", Counter[int]()
        for text, number in cursor:
            key = text.encode()
            if hashes and key != current:
                yield current, hashes
                hashes = Counter[int]()
            current = key
            hashes[number] += 1
        if hashes:
            yield current, hashes


def _merge(
    left: Iterator[tuple[bytes, Counter[int]]], right: Iterator[tuple[bytes, Counter[int]]]
) -> Iterator[tuple[str, Counter[int], Counter[int]]]:
    """Yield every key with the hashes of both sides; an absent side is empty."""
    nothing = Counter[int]()
    ours, theirs = next(left, None), next(right, None)
    while ours or theirs:
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            assert ours is not None
            yield ours[0].decode(), ours[1], nothing
            ours = next(left, None)
        elif ours is None or theirs[0] < ours[0]:
            yield theirs[0].decode(), nothing, theirs[1]
            theirs = next(right, None)
        else:
            yield ours[0].decode(), ours[1], theirs[1]
            ours, theirs = next(left, None), next(right, None)


def _describe(sides: Sides, table: Table, key: str, left: Counter[int], right: Counter[int]) -> tuple[str, str]:
    name = f"({', '.join(table.key)}) = {key}" if table.key else f"hash {key}"
    place = f"row of {table.label} with {name}"
    if left and right and table.key:
        ours, theirs = sides.both(lambda side: _column_digests(side, table, key))
        columns = [column for column, a, b in zip(table.columns, ours, theirs, strict=True) if a != b]
        return place, f"differs in {', '.join(columns)}"
    if left.total() and right.total():
        return place, f"{left.total()} times on the left, {right.total()} times on the right"
    return place, "only on the left" if left else "only on the right"


def _column_digests(side: Connection, table: Table, key: str) -> tuple[Any, ...]:
    digests = sql.SQL(", ").join(
        sql.SQL("md5({}.{}::text)").format(_ROW, sql.Identifier(column)) for column in table.columns
    )
    query = sql.SQL("select {} {} where ({}) = %s limit 1").format(digests, _source(table), _key(table))
    row = side.execute(query, (key,)).fetchone()
    return row if row is not None else (None,) * len(table.columns)
