"""Seed a PostgreSQL database and an object store so that they look like one Drupal 10 site, the same for one seed.

Files come first and all rows in one transaction after them, so a killed seed leaves files without rows and never rows
without files; the next call writes the same files again and goes on.
"""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from importlib.resources import files
from itertools import islice
from random import Random
from typing import Any

import psycopg
from psycopg import sql

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.drupal_config import DEFAULT_COLLECTION, Config, active_configuration
from lc2_backup_dagster.demo.seed.drupal_content import (
    FILE_COLUMNS,
    NODE_TABLES,
    file_row,
    moment,
    node_rows,
    people_rows,
    taxonomy_rows,
)
from lc2_backup_dagster.demo.seed.drupal_files import (
    ManagedFile,
    derivatives,
    excluded_objects,
    plan_files,
    unmanaged_objects,
)
from lc2_backup_dagster.demo.seed.drupal_scale import DrupalScale
from lc2_backup_dagster.demo.seed.drupal_state import state_rows
from lc2_backup_dagster.demo.seed.file_content import file_content
from lc2_backup_dagster.demo.seed.library_plan import PlannedObject, random_uuid
from lc2_backup_dagster.demo.seed.php_values import serialize
from lc2_backup_dagster.demo.seed.prose import Prose
from lc2_backup_dagster.demo.seed.rows import TableRows
from lc2_backup_dagster.model.errors import TargetNotEmpty

Connection = psycopg.Connection[Any]

_WORKERS = 8
_SERIALS = {"node": "nid", "node_revision": "vid", "taxonomy_term_data": "tid", "file_managed": "fid"}


def seed_drupal(connection: Connection, store: ObjectStore, *, scale: DrupalScale, random: Random) -> None:
    """Fill an empty database and a bucket; do nothing when the database holds a Drupal of this scale already.

    Args:
        connection: to the database, outside a transaction; its role may create tables in schema ``public``.
        store: the bucket of Drupal's root; keys begin with ``sites/default/``.
        scale: what to make.
        random: decides everything else; the same state makes the same site.

    Raises:
        TargetNotEmpty: the database holds another seed or something else.
    """
    if _is_seeded(connection, scale):
        return
    managed = plan_files(scale, random)
    configuration = active_configuration(random, site_uuid=random_uuid(random))
    _write_objects(store, _objects(managed, random))
    with connection.transaction():
        connection.execute("set local search_path to public")
        connection.execute("set local synchronous_commit to off")
        connection.execute(files("lc2_backup_dagster.demo.seed").joinpath("drupal_tables.sql").read_bytes())
        for table in _rows(scale, random, managed, configuration):
            copy_rows(connection, table)
        for name, column in _SERIALS.items():
            connection.execute(
                sql.SQL("select setval(pg_get_serial_sequence({}, {}), (select max({}) from {}))").format(
                    name, column, sql.Identifier(column), sql.Identifier(name)
                )
            )
        connection.execute("create table lc2_demo_seed (scale jsonb not null)")
        connection.execute("insert into lc2_demo_seed values (%s)", (json.dumps(asdict(scale)),))
    with connection.transaction():
        connection.execute("analyze")


def copy_rows(connection: Connection, table: TableRows) -> None:
    """Put rows into a table."""
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(table.table), sql.SQL(", ").join(map(sql.Identifier, table.columns.split()))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in table.rows:
            copy.write_row(row)


def put_file(store: ObjectStore, planned: PlannedObject) -> None:
    """Write one planned object, over an older one if there is one."""
    store.put_stream(
        planned.key,
        file_content(planned),
        size_bytes=planned.size_bytes,
        create_only=False,
        content_type=planned.content_type,
    )


def _is_seeded(connection: Connection, scale: DrupalScale) -> bool:
    database = connection.info.dbname
    with connection.transaction():
        row = connection.execute(
            "select to_regclass('public.lc2_demo_seed') is not null, "
            "exists (select from pg_class where relnamespace = 'public'::regnamespace)"
        ).fetchone()
        assert row is not None
        if not row[0]:
            if row[1]:
                raise TargetNotEmpty(f"database '{database}' is not empty", hint="seed a newly created database")
            return False
        found = connection.execute("select scale from lc2_demo_seed").fetchone()
    if found is None or found[0] != asdict(scale):
        raise TargetNotEmpty(
            f"database '{database}' holds another seed: {found}", hint="drop it, or ask for the same scale"
        )
    return True


def _objects(managed: list[ManagedFile], random: Random) -> Iterator[PlannedObject]:
    for file in managed:
        yield file.planned
        yield from derivatives(file, random)
    yield from unmanaged_objects(random)
    yield from excluded_objects(random)


def _write_objects(store: ObjectStore, objects: Iterable[PlannedObject]) -> None:
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="seed") as pool:
        left = iter(objects)
        while batch := list(islice(left, 64)):  # a killed seed has no thousand uploads to wait for
            list(pool.map(partial(put_file, store), batch))


def _rows(
    scale: DrupalScale, random: Random, managed: list[ManagedFile], configuration: dict[tuple[str, str], Config]
) -> Iterator[TableRows]:
    yield from people_rows(scale, random)
    yield from taxonomy_rows(scale, random)
    yield TableRows(
        "file_managed", FILE_COLUMNS, [file_row(file, random, uid=random.randrange(1, scale.users)) for file in managed]
    )
    yield TableRows("file_managed", FILE_COLUMNS, _foreign_files(random, scale.files + 1))
    yield from _node_tables(scale, random, managed)
    yield TableRows(
        "config",
        "collection name data",
        [(collection, name, serialize(value)) for (collection, name), value in configuration.items()],
    )
    modules = configuration[DEFAULT_COLLECTION, "core.extension"]["module"]
    assert isinstance(modules, dict)
    yield from state_rows(scale, random, modules=[str(name) for name in modules])


def _foreign_files(random: Random, first: int) -> list[tuple[object, ...]]:
    """Return rows whose files lie elsewhere: in another bucket, at a video service, in a folder for scratch."""
    uris = ("s3://videos/harbour.mp4", "youtube://v/dQw4w9WgXcQ", "temporary://upload-7.csv")
    return [
        file_row(ManagedFile(first + index, uri, "application/octet-stream", 1_000), random, uid=1)
        for index, uri in enumerate(uris)
    ]


def _node_tables(scale: DrupalScale, random: Random, managed: list[ManagedFile]) -> Iterator[TableRows]:
    prose, free = Prose(random), [file for file in managed if file.permanent]
    random.shuffle(free)
    rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in NODE_TABLES}
    for nid in range(1, scale.nodes + 1):
        used = [free.pop() for _ in range(min(len(free), random.randrange(0, 4)))]
        made = node_rows(nid, nid, random, prose, scale=scale, files=used, created=moment(random))
        for table, found in made.rows.items():
            rows[table] += found
    for table, columns in NODE_TABLES.items():
        yield TableRows(table, columns, rows[table])
