"""Let a seeded Liferay live on a little: people add, replace and delete documents, edit articles, send imports.

Files and rows change in Liferay's order: on adding and replacing the file comes first and its rows follow in one
transaction, on deleting the rows go first. So a row whose file is missing never exists, whenever a backup looks; files
without rows do, for a moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.library_plan import (
    FOLDERS,
    ObjectRole,
    PlannedDocument,
    PlannedObject,
    PlannedVersion,
    document_key,
    generated_prefixes,
    random_uuid,
)
from lc2_backup_dagster.demo.seed.liferay_content import article_content
from lc2_backup_dagster.demo.seed.liferay_documents import (
    ASSET_COLUMNS,
    ENTRY_COLUMNS,
    VERSION_COLUMNS,
    asset_row,
    entry_row,
    version_row,
)
from lc2_backup_dagster.demo.seed.objects import put_planned
from lc2_backup_dagster.demo.seed.prose import Prose
from lc2_backup_dagster.demo.seed.rows import CLASS_NAME_IDS, CLASS_NAMES
from lc2_backup_dagster.demo.seed.scale import COMPANY_ID, STAFF, STAFF_FIRST_ID

_ENTRY_COUNTER = CLASS_NAMES[CLASS_NAME_IDS["DLFileEntry"]]
_ID_COUNTER = "com.liferay.counter.kernel.model.Counter"
_COMMON_BYTES = 10_000_000  # larger documents are left alone: the large files of the demo stay

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class LiferayChanges:
    """What was changed.

    Attributes:
        added: keys of new documents' files, and of the thumbnails made for them.
        replaced: keys of new versions of documents that had others.
        deleted: keys that are gone.
        articles: ids of the articles that were edited.
    """

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    deleted: tuple[str, ...]
    articles: tuple[int, ...]


def make_changes(
    connection: Connection,
    store: ObjectStore,
    *,
    random: Random,
    add: int = 3,
    replace: int = 2,
    delete: int = 2,
    edit: int = 5,
) -> LiferayChanges:
    """Change some documents and articles, and start one import with a new large object.

    Args:
        connection: to the seeded database, outside a transaction.
        store: the seeded library.
        random: decides what; another state makes other changes.
        add: documents to add.
        replace: documents that get a new version.
        delete: documents to delete with all their versions and generated files.
        edit: articles to rewrite; none also starts no import.
    """
    writer = _Writer(connection, store, random)
    return LiferayChanges(
        added=tuple(key for _ in range(add) for key in writer.add_document()),
        replaced=tuple(writer.replace_document() for _ in range(replace)),
        deleted=tuple(key for _ in range(delete) for key in writer.delete_document()),
        articles=writer.edit_articles(edit) if edit else (),
    )


class _Writer:
    def __init__(self, connection: Connection, store: ObjectStore, random: Random) -> None:
        self._connection = connection
        self._store = store
        self._random = random
        self._prose = Prose(random)
        with connection.transaction():
            staff = connection.execute(
                "select firstname || ' ' || lastname from user_ where userid >= %s order by userid limit %s",
                (STAFF_FIRST_ID, STAFF),
            ).fetchall()
        self._names: list[str] = [name for (name,) in staff]

    def add_document(self) -> list[str]:
        random = self._random
        repository_id = random.choice(list(FOLDERS))
        first_id = self._count(_ID_COUNTER, 10) - 9
        name = str(self._count(_ENTRY_COUNTER, 1))
        extension, content_type = random.choice((("pdf", "application/pdf"), ("txt", "text/plain")))
        version = self._version(repository_id, name, "1.0", file_version_id=first_id + 1, content_type=content_type)
        document = PlannedDocument(
            file_entry_id=first_id,
            repository_id=repository_id,
            folder_id=random.choice(FOLDERS[repository_id]),
            name=name,
            title=f"{self._prose.title(3)} {name}",
            extension=extension,
            content_type=content_type,
            user_id=STAFF_FIRST_ID + random.randrange(STAFF),
            uuid=random_uuid(random),
            versions=(version,),
        )
        put_planned(self._store, version.document)
        with self._connection.transaction():
            self._insert("dlfileentry", ENTRY_COLUMNS, entry_row(document, random, self._names))
            self._insert("dlfileversion", VERSION_COLUMNS, version_row(document, version, random, self._names))
            self._insert("assetentry", ASSET_COLUMNS, asset_row(document, random, self._names))
        thumbnail = PlannedObject(
            key=f"{generated_prefixes(version.file_version_id)[0]}1.0",
            size_bytes=random.randrange(2_048, 20_000),
            content_type="image/png",
            role=ObjectRole.GENERATED,
        )
        put_planned(self._store, thumbnail)
        return [version.document.key, thumbnail.key]

    def replace_document(self) -> str:
        row = self._choose_document()
        major, minor = str(row["version"]).split(".")
        version = self._version(
            row["repositoryid"],
            row["name"],
            f"{major}.{int(minor) + 1}",
            file_version_id=self._count(_ID_COUNTER, 10),
            content_type=row["mimetype"],
        )
        document = PlannedDocument(
            file_entry_id=row["fileentryid"],
            repository_id=row["repositoryid"],
            folder_id=row["folderid"],
            name=row["name"],
            title=row["title"],
            extension=row["extension"],
            content_type=row["mimetype"],
            user_id=row["userid"],
            uuid=row["uuid_"],
            versions=(version,),
        )
        put_planned(self._store, version.document)
        with self._connection.transaction():
            self._insert("dlfileversion", VERSION_COLUMNS, version_row(document, version, self._random, self._names))
            self._connection.execute(
                "update dlfileentry set version = %s, size_ = %s, modifieddate = localtimestamp where fileentryid = %s",
                (version.version, version.document.size_bytes, document.file_entry_id),
            )
        return version.document.key

    def delete_document(self) -> list[str]:
        row = self._choose_document()
        entry = (row["fileentryid"],)
        with self._connection.transaction():
            versions = self._connection.execute(
                "delete from dlfileversion where fileentryid = %s returning fileversionid, version, storeuuid", entry
            ).fetchall()
            self._connection.execute("delete from dlfileentry where fileentryid = %s", entry)
            self._connection.execute(
                "delete from assetentry where classpk = %s and classnameid = %s",
                (*entry, CLASS_NAME_IDS["DLFileEntry"]),
            )
        keys = [document_key(row["repositoryid"], row["name"], label, uuid) for _, label, uuid in versions]
        prefixes = [prefix for number, _, _ in versions for prefix in generated_prefixes(number)]
        keys += [info.key for prefix in prefixes for info in self._store.list(prefix)]
        self._store.delete(keys)
        return keys

    def edit_articles(self, count: int) -> tuple[int, ...]:
        edited: list[int] = []
        with self._connection.transaction():
            for _ in range(count):
                content = article_content(self._random, self._prose)
                row = self._connection.execute(
                    "update journalarticle set content = %s, modifieddate = localtimestamp "
                    "where id_ = (select id_ from journalarticle order by id_ "
                    "offset floor(%s * (select count(*) from journalarticle)) limit 1) returning id_",
                    (content, self._random.random()),
                ).fetchone()
                if row is not None:
                    edited.append(row[0])
            self._connection.execute(
                "insert into batchengineimporttask (batchengineimporttaskid, companyid, content, executestatus) "
                "values (%s, %s, lo_from_bytea(0, %s), 'INITIAL')",
                (self._count(_ID_COUNTER, 1), COMPANY_ID, self._prose.text(2_000).encode()),
            )
        return tuple(edited)

    def _version(
        self, repository_id: int, name: str, label: str, *, file_version_id: int, content_type: str
    ) -> PlannedVersion:
        store_uuid = random_uuid(self._random)
        planned = PlannedObject(
            key=document_key(repository_id, name, label, store_uuid),
            size_bytes=self._random.randrange(4_000, 400_000),
            content_type=content_type,
            role=ObjectRole.DOCUMENT,
            metadata={"uploaded-by": "live-writer"},
        )
        return PlannedVersion(file_version_id, label, store_uuid, planned, ())

    def _choose_document(self) -> Mapping[str, Any]:
        with self._connection.transaction(), self._connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                "select * from dlfileentry where size_ < %(most)s order by fileentryid offset "
                "floor(%(where)s * (select count(*) from dlfileentry where size_ < %(most)s)) limit 1",
                {"most": _COMMON_BYTES, "where": self._random.random()},
            )
            row = cursor.fetchone()
        if row is None:
            raise LookupError("the library has no document left to change")
        return row

    def _insert(self, table: str, columns: str, row: tuple[object, ...]) -> None:
        names = columns.split()
        self._connection.execute(
            sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, names)),
                sql.SQL(", ").join([sql.Placeholder()] * len(names)),
            ),
            row,
        )

    def _count(self, counter: str, step: int) -> int:
        """Take numbers from one of Liferay's counters; return the last of them."""
        with self._connection.transaction():
            row = self._connection.execute(
                "update counter set currentid = currentid + %s where name = %s returning currentid", (step, counter)
            ).fetchone()
        if row is None:
            raise LookupError(f"no counter '{counter}': this is not a seeded Liferay database")
        return int(row[0])
