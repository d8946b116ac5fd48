"""Seed a PostgreSQL database so that it looks like Liferay DXP's, at any size, the same for one scale.

One transaction does it all, so a killed seed leaves nothing. Rows are generated while the server takes them in by
``COPY``, in bounded memory; they are frozen as they arrive, so later reads do not change pages (an increment taken
after the seed holds changes, not hint bits). Needs a superuser or ``pg_largeobject`` rights of an ordinary owner.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql

from lc2_backup_dagster.demo.seed.content_plan import ContentPlan
from lc2_backup_dagster.demo.seed.liferay_content import content_rows, import_payload
from lc2_backup_dagster.demo.seed.liferay_core import core_rows, counter_rows
from lc2_backup_dagster.demo.seed.liferay_documents import library_rows
from lc2_backup_dagster.demo.seed.rows import TableRows
from lc2_backup_dagster.demo.seed.scale import COMPANY_ID, REPOSITORY_ID, LiferayScale
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import TargetNotEmpty

FIRST_LARGE_OBJECT = 900_001
_TASK_STATES = ("COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What a seeded database holds.

    Attributes:
        created: False when it was there already.
        tables: number of ordinary tables.
        rows: mapping of table → rows that were written; empty when nothing was written.
        large_objects: number of large objects.
        size_bytes: size of the database as ``pg_database_size`` says it.
    """

    created: bool
    tables: int
    rows: dict[str, int]
    large_objects: int
    size_bytes: int


def seed_liferay_database(
    database: Server | psycopg.Connection[Any], scale: LiferayScale, *, progress: Callable[[str], None] = lambda _: None
) -> SeedResult:
    """Fill an empty database; do nothing when it holds this very seed already.

    Args:
        database: its address, or a connection outside a transaction.
        scale: what to make.
        progress: told the name of each table before its rows.

    Raises:
        ServerUnavailable: it cannot be reached.
        TargetNotEmpty: the database holds another seed or something else.
    """
    with database.connect() if isinstance(database, Server) else nullcontext(database) as connection:
        if _is_seeded(connection, scale):
            return _describe(connection, created=False, rows={})
        with connection.transaction():
            rows = _fill(connection, scale, progress)
        with connection.transaction():
            connection.execute("analyze")
        return _describe(connection, created=True, rows=rows)


def _is_seeded(connection: psycopg.Connection[Any], scale: LiferayScale) -> bool:
    with connection.transaction():
        (marked, taken) = _one(
            connection,
            "select to_regclass('public.lc2_demo_seed') is not null, "
            "exists (select from pg_class where relnamespace = 'public'::regnamespace)",
        )
        if not marked:
            if taken:
                raise TargetNotEmpty(
                    f"database '{connection.info.dbname}' is not empty", hint="seed a newly created database"
                )
            return False
        (found,) = _one(connection, "select scale from lc2_demo_seed")
    if found != asdict(scale):
        raise TargetNotEmpty(
            f"database '{connection.info.dbname}' holds another seed: {json.dumps(found)}",
            hint="drop it, or ask for the same scale",
        )
    return True


def _fill(connection: psycopg.Connection[Any], scale: LiferayScale, progress: Callable[[str], None]) -> dict[str, int]:
    plan = ContentPlan.of(scale)
    # Whatever the server's defaults are: equal scales shall take equal space, and names need no schema.
    connection.execute("set local search_path to public")
    connection.execute("set local synchronous_commit to off")
    connection.execute("set local maintenance_work_mem to '128MB'")
    if connection.info.server_version >= 140_000:
        connection.execute("set local default_toast_compression to pglz")
    connection.execute(_script("liferay_tables.sql"))
    written: dict[str, int] = {}
    for table in _all_rows(scale, plan):
        progress(table.table)
        written[table.table] = written.get(table.table, 0) + _copy(connection, table)
    progress("large objects")
    written |= _large_objects(connection, plan)
    connection.execute("select setval('acme_visit_visitid_seq', %s)", (plan.count("visits"),))
    progress("indexes")
    connection.execute(_script("liferay_constraints.sql"))
    connection.execute("create table lc2_demo_seed (scale jsonb not null)")
    connection.execute("insert into lc2_demo_seed values (%s)", (json.dumps(asdict(scale)),))
    return written


def _all_rows(scale: LiferayScale, plan: ContentPlan) -> Iterator[TableRows]:
    yield from core_rows(scale)
    yield from library_rows(scale)
    yield from content_rows(plan)
    yield counter_rows(scale, next_id=plan.next_id)


def _copy(connection: psycopg.Connection[Any], table: TableRows) -> int:
    statement = sql.SQL("copy {} ({}) from stdin with (freeze)").format(
        sql.Identifier(table.table), sql.SQL(", ").join(map(sql.Identifier, table.columns.split()))
    )
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for row in table.rows:
                copy.write_row(row)
        return cursor.rowcount


def _large_objects(connection: psycopg.Connection[Any], plan: ContentPlan) -> dict[str, int]:
    """Write one large object per import task, and a few documents of Liferay's database store."""
    random = plan.random("import tasks")
    tasks = plan.ids("large_objects")
    oids = range(FIRST_LARGE_OBJECT, FIRST_LARGE_OBJECT + len(tasks) + 3)
    with connection.cursor() as cursor:
        cursor.executemany("select lo_from_bytea(%s::oid, %s)", ((oid, import_payload(plan, oid)) for oid in oids))
    _copy(
        connection,
        TableRows(
            "batchengineimporttask",
            "batchengineimporttaskid companyid userid batchsize classname content contenttype executestatus",
            (
                (
                    number,
                    COMPANY_ID,
                    20_140,
                    100,
                    "com.liferay.headless.UserAccount",
                    oid,
                    "JSONL",
                    random.choice(_TASK_STATES),
                )
                for number, oid in zip(tasks, oids[3:], strict=True)
            ),
        ),
    )
    _copy(
        connection,
        TableRows(
            "dlcontent",
            "contentid groupid companyid repositoryid path_ version data_ size_",
            (
                (
                    number,
                    0,
                    COMPANY_ID,
                    REPOSITORY_ID,
                    f"templates/{number}",
                    "1.0",
                    oid,
                    len(import_payload(plan, oid)),
                )
                for number, oid in enumerate(oids[:3], start=1)
            ),
        ),
    )
    return {"batchengineimporttask": len(tasks), "dlcontent": 3}


def _describe(connection: psycopg.Connection[Any], *, created: bool, rows: dict[str, int]) -> SeedResult:
    with connection.transaction():
        tables, large_objects, size_bytes = _one(
            connection,
            "select (select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace), "
            "(select count(*) from pg_largeobject_metadata), pg_database_size(current_database())",
        )
    return SeedResult(created, tables, rows, large_objects, size_bytes)


def _one(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def _script(name: str) -> bytes:
    return files("lc2_backup_dagster.demo.seed").joinpath(name).read_bytes()
