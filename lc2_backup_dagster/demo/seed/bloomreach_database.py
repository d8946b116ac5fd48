"""Seed a PostgreSQL database so that it looks like Bloomreach Experience Manager's, the same for one scale.

One transaction does it all, so a killed seed leaves nothing; rows are frozen as they arrive.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from random import Random
from typing import Any

import psycopg
from psycopg import sql

from lc2_backup_dagster.demo.seed.bloomreach_media import PlannedMedium, plan_media
from lc2_backup_dagster.demo.seed.file_content import content_checksum
from lc2_backup_dagster.demo.seed.prose import Prose
from lc2_backup_dagster.demo.seed.rows import TableRows, random_time
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import TargetNotEmpty

MEDIA_COLUMNS = (
    "id object_key file_name folder mime_type size_bytes checksum node_id version created_by created_at modified_at"
)
_NAMES = (
    "hippo:paths", "hippo:availability", "hippostd:content", "hippostd:state", "hippostdpubwf:lastModifiedBy",
    "hippotranslation:locale", "hippogallery:filename", "jcr:primaryType", "jcr:mixinTypes", "jcr:uuid",
    "retail:title", "retail:introduction", "retail:price",
)  # fmt: skip
_NODE_TYPES = (b"retail:product", b"retail:news", b"retail:store", b"hippogallery:image", b"hippo:handle")


@dataclass(frozen=True, slots=True)
class BloomreachScale:
    """What to make. Equal scales make equal databases and buckets.

    Attributes:
        seed: changes everything that is random.
        media: objects in the bucket, each with a row.
        nodes: content nodes, each with a version.
    """

    seed: int
    media: int
    nodes: int


@dataclass(frozen=True, slots=True)
class BloomreachSeed:
    """What a seeded database holds.

    Attributes:
        created: False when it was there already.
        tables: number of tables.
        size_bytes: size of the database as ``pg_database_size`` says it.
    """

    created: bool
    tables: int
    size_bytes: int


def seed_bloomreach_database(database: Server, scale: BloomreachScale) -> BloomreachSeed:
    """Fill an empty database; do nothing when it holds this very seed already.

    Raises:
        ServerUnavailable: it cannot be reached.
        TargetNotEmpty: the database holds another seed.
    """
    with database.connect() as connection:
        found = _seeded_as(connection)
        if found not in (None, asdict(scale)):
            raise TargetNotEmpty(
                f"database '{database.database}' holds another seed: {json.dumps(found)}",
                hint="drop it, or ask for the same scale",
            )
        if found is None:
            with connection.transaction():
                _fill(connection, scale)
            connection.execute("analyze")
        row = connection.execute(
            "select (select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace), "
            "pg_database_size(current_database())"
        ).fetchone()
        assert row is not None
        return BloomreachSeed(found is None, *row)


def bundle(random: Random, prose: Prose, *, kind: bytes, words: int) -> bytes:
    """Return a node as Jackrabbit serializes it: a version, its type, and properties with their lengths."""
    text = prose.text(words).encode()
    parts = [kind, random.randbytes(16), *(text[at : at + 400] for at in range(0, len(text), 400))]
    return b"\x03" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def medium_row(medium: PlannedMedium, created_at: str) -> tuple[object, ...]:
    """Return the row of a medium, in the order of ``MEDIA_COLUMNS``."""
    stored = medium.stored
    return (
        medium.number, stored.key, medium.file_name, medium.folder, stored.content_type, stored.size_bytes,
        content_checksum(stored), medium.node_id, medium.version, medium.editor, created_at, created_at,
    )  # fmt: skip


def _seeded_as(connection: psycopg.Connection[Any]) -> dict[str, Any] | None:
    row = connection.execute("select to_regclass('public.lc2_demo_seed') is not null").fetchone()
    if row is None or not row[0]:
        return None
    found = connection.execute("select scale from lc2_demo_seed").fetchone()
    return found[0] if found else None


def _fill(connection: psycopg.Connection[Any], scale: BloomreachScale) -> None:
    connection.execute("set local search_path to public")
    connection.execute("set local synchronous_commit to off")
    connection.execute(_script("bloomreach_tables.sql"))
    for table in _all_rows(scale):
        statement = sql.SQL("copy {} ({}) from stdin with (freeze)").format(
            sql.Identifier(table.table), sql.SQL(", ").join(map(sql.Identifier, table.columns.split()))
        )
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in table.rows:
                copy.write_row(row)
    connection.execute("select setval('brx_media_id_seq', %s)", (max(1, scale.media),))
    for store in ("default", "version"):
        sequence = f"{store}_names_id_seq"
        connection.execute("select setval(%s::regclass, %s)", (sequence, len(_NAMES)))
    connection.execute(_script("bloomreach_constraints.sql"))
    connection.execute("create table lc2_demo_seed (scale jsonb not null)")
    connection.execute("insert into lc2_demo_seed values (%s)", (json.dumps(asdict(scale)),))


def _all_rows(scale: BloomreachScale) -> Iterator[TableRows]:
    random = Random(f"{scale.seed}/bloomreach rows")
    for store in ("default", "version"):
        yield TableRows(f"{store}_names", "id name", enumerate(_NAMES, start=1))
        yield TableRows(f"{store}_bundle", "node_id bundle_data", _bundles(scale, store))
        references = ((_node(store, number), random.randbytes(36)) for number in range(0, scale.nodes, 5))
        yield TableRows(f"{store}_refs", "node_id refs_data", references)
        large = ((f"{number:08x}.{random.getrandbits(32):08x}", random.randbytes(9_000))
                 for number in range(scale.nodes // 100))  # fmt: skip
        yield TableRows(f"{store}_binval", "binval_id binval_data", large)
    yield TableRows(
        "repository_fsentry",
        "fsentry_path fsentry_name fsentry_data fsentry_lastmod fsentry_length",
        (
            (path, name, content, 1_764_500_000_000, len(content))
            for path, name, content in (
                ("/nodetypes", "custom_nodetypes.xml", b"<nodeTypes xmlns:retail='http://www.retail.example/1.0'/>\n"),
                ("/namespaces", "ns_reg.properties", b"retail=http\\://www.retail.example/1.0\n"),
                ("/meta", "rep.properties", b"jcr.specification.version=2.0\n"),
            )
        ),
    )
    revisions = scale.nodes // 10
    yield TableRows(
        "repository_journal",
        "revision_id journal_id producer_id revision_data",
        ((number, f"cms-{number % 2}", "workspace", random.randbytes(120)) for number in range(1, revisions + 1)),
    )
    yield TableRows("repository_global_revision", "revision_id", [(revisions,)])
    yield TableRows(
        "repository_local_revisions", "journal_id revision_id", [("cms-0", revisions), ("cms-1", revisions)]
    )
    yield TableRows(
        "brx_media", MEDIA_COLUMNS, (medium_row(each, _time(random)) for each in plan_media(scale.seed, scale.media))
    )
    yield TableRows(
        "brx_media_usage",
        "media_id document_path",
        (
            (number, f"/content/documents/retail-{language}/products/product-{number % scale.nodes:04}")
            for number in range(1, scale.media + 1, 2)
            for language in ("de", "en")
        ),
    )


def _bundles(scale: BloomreachScale, store: str) -> Iterator[tuple[object, ...]]:
    random = Random(f"{scale.seed}/bloomreach {store}")
    prose = Prose(random)
    for number in range(scale.nodes):
        kind = _NODE_TYPES[number % len(_NODE_TYPES)]
        yield _node(store, number), bundle(random, prose, kind=kind, words=random.randrange(20, 300))


def _node(store: str, number: int) -> bytes:
    return hashlib.md5(f"{store} node {number}".encode(), usedforsecurity=False).digest()


def _time(random: Random) -> str:
    return f"{random_time(random)}+00"


def _script(name: str) -> bytes:
    return files("lc2_backup_dagster.demo.seed").joinpath(name).read_bytes()
