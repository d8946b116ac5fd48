"""Let a seeded Bloomreach live on a little: editors upload, replace and delete media, and write content.

The object of a medium comes before its row and goes after it. A new version has a key of its own; the old one's object
is deleted once its row names the new one.
"""

from random import Random
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.bloomreach_database import MEDIA_COLUMNS, bundle, medium_row
from lc2_backup_dagster.demo.seed.bloomreach_media import PlannedMedium, invent_medium, next_version
from lc2_backup_dagster.demo.seed.file_content import content_checksum
from lc2_backup_dagster.demo.seed.library_plan import ObjectRole, PlannedObject
from lc2_backup_dagster.demo.seed.objects import put_planned
from lc2_backup_dagster.demo.seed.prose import Prose

Connection = psycopg.Connection[Any]


class BloomreachEditor:
    """Somebody who works in the CMS.

    Args:
        connection: to the seeded database.
        store: the seeded media.
        random: decides what; another state makes other changes.
    """

    def __init__(self, connection: Connection, store: ObjectStore, random: Random) -> None:
        self._connection = connection
        self._store = store
        self._random = random
        self._prose = Prose(random)

    def add_medium(self) -> str:
        """Upload a medium that a new product uses; return its key."""
        number: int = self._one("select nextval('brx_media_id_seq')")[0]
        medium = invent_medium(self._random, self._prose, number)
        put_planned(self._store, medium.stored)
        with self._connection.transaction():
            row = medium_row(medium, self._one("select clock_timestamp()::text")[0])
            names = MEDIA_COLUMNS.split()
            self._connection.execute(
                sql.SQL("insert into brx_media ({}) values ({})").format(
                    sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join([sql.Placeholder()] * len(names))
                ),
                row,
            )
            path = f"/content/documents/retail-en/products/product-{number:04}"
            self._connection.execute("insert into brx_media_usage values (%s, %s)", (number, path))
            self._raise_revision()
        return medium.stored.key

    def replace_medium(self) -> str:
        """Upload another version of a medium; return its key."""
        old = self._choose_medium()
        new = next_version(self._random, old)
        put_planned(self._store, new.stored)
        with self._connection.transaction():
            self._connection.execute(
                "update brx_media set object_key = %s, size_bytes = %s, checksum = %s, version = %s, created_by = %s, "
                "modified_at = clock_timestamp() where id = %s",
                (
                    new.stored.key,
                    new.stored.size_bytes,
                    content_checksum(new.stored),
                    new.version,
                    new.editor,
                    new.number,
                ),
            )
            self._raise_revision()
        self._store.delete([old.stored.key])
        return new.stored.key

    def delete_medium(self) -> str:
        """Delete a medium; return the key that is gone."""
        medium = self._choose_medium()
        with self._connection.transaction():
            self._connection.execute("delete from brx_media where id = %s", (medium.number,))
            self._raise_revision()
        self._store.delete([medium.stored.key])
        return medium.stored.key

    def edit_nodes(self, count: int) -> None:
        """Rewrite so many nodes, and keep a version of one of them."""
        with self._connection.transaction():
            for _ in range(count):
                data = bundle(self._random, self._prose, kind=b"retail:product", words=self._random.randrange(20, 300))
                self._connection.execute(
                    "update default_bundle set bundle_data = %s where node_id = "
                    "(select node_id from default_bundle where node_id >= %s order by node_id limit 1)",
                    (data, self._random.randbytes(16)),
                )
            self._connection.execute(
                "insert into version_bundle values (%s, %s)",
                (self._random.randbytes(16), bundle(self._random, self._prose, kind=b"nt:version", words=40)),
            )
            self._raise_revision()

    def _raise_revision(self) -> None:
        (revision,) = self._one(
            "update repository_global_revision set revision_id = revision_id + 1 returning revision_id"
        )
        self._connection.execute(
            "insert into repository_journal values (%s, 'cms-0', 'workspace', %s)",
            (revision, self._random.randbytes(120)),
        )
        self._connection.execute(
            "update repository_local_revisions set revision_id = %s where journal_id = 'cms-0'", (revision,)
        )

    def _choose_medium(self) -> PlannedMedium:
        with self._connection.transaction(), self._connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                "select * from brx_media order by id offset floor(%s * (select count(*) from brx_media)) limit 1",
                (self._random.random(),),
            )
            row = cursor.fetchone()
        if row is None:
            raise LookupError("there is no medium left to change")
        stored = PlannedObject(row["object_key"], row["size_bytes"], row["mime_type"], ObjectRole.DOCUMENT)
        return PlannedMedium(
            row["id"], row["folder"], row["file_name"], row["version"], row["node_id"], row["created_by"], stored
        )

    def _one(self, query: str) -> tuple[Any, ...]:
        row = self._connection.execute(query.encode()).fetchone()
        assert row is not None
        return row
