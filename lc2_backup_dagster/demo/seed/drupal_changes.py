"""Let a seeded Drupal live on a little: people add, replace and delete pages with files, and change configuration.

Files and rows change in Drupal's order. An upload writes the file, then its row as temporary; saving the page makes it
permanent. Deleting a page makes the files that nothing uses any more temporary, and cron then deletes file and row. So
a row that a backup counts (permanent, or used) always has its file. Replacing writes over the file and saves its row
with the new size right after it: for that moment, as in a real Drupal, the row tells the older size.
"""

from dataclasses import dataclass
from random import Random
from typing import Any, cast

import psycopg
from psycopg import sql

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.demo.seed.drupal import put_file
from lc2_backup_dagster.demo.seed.drupal_config import DEFAULT_COLLECTION, GERMAN_COLLECTION
from lc2_backup_dagster.demo.seed.drupal_content import FILE_COLUMNS, NODE_TABLES, file_row, node_rows
from lc2_backup_dagster.demo.seed.drupal_files import ManagedFile, choose_size, invent_file
from lc2_backup_dagster.demo.seed.drupal_scale import DrupalScale
from lc2_backup_dagster.demo.seed.php_values import PhpValue, serialize, unserialize
from lc2_backup_dagster.demo.seed.prose import Prose

Connection = psycopg.Connection[Any]

_FIRST_CONTENT = 1  # the front page is never deleted


@dataclass(frozen=True, slots=True)
class DrupalChanges:
    """What was changed.

    Attributes:
        added: keys of the files of new pages.
        replaced: keys of files that have another content now.
        deleted: keys that are gone.
        nodes: ids of pages whose text was edited.
        configuration: names of configuration objects that were changed, made or deleted; with the collection in front
            (``language.de:system.site``) where it is not the default one.
    """

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    deleted: tuple[str, ...]
    nodes: tuple[int, ...]
    configuration: tuple[str, ...]


def change_drupal(
    connection: Connection,
    store: ObjectStore,
    *,
    random: Random,
    add: int = 2,
    replace: int = 2,
    delete: int = 1,
    edit: int = 3,
    configure: bool = True,
) -> DrupalChanges:
    """Add pages, replace files, delete pages, edit texts and configuration.

    Several writers may do so at once; each step is a transaction of its own, as on a real site.

    Args:
        connection: to the seeded database, outside a transaction.
        store: the seeded bucket.
        random: decides what; another state makes other changes.
        add: pages to add, each with files.
        replace: files to write over.
        delete: pages to delete, with the files that only they use.
        edit: pages whose text to edit.
        configure: whether to change configuration.
    """
    writer = _Writer(connection, store, random)
    return DrupalChanges(
        added=tuple(key for _ in range(add) for key in writer.add_page()),
        replaced=tuple(key for _ in range(replace) for key in writer.replace_file()),
        deleted=tuple(key for _ in range(delete) for key in writer.delete_page()),
        nodes=writer.edit_pages(edit),
        configuration=writer.change_configuration() if configure else (),
    )


class _Writer:
    def __init__(self, connection: Connection, store: ObjectStore, random: Random) -> None:
        self._connection = connection
        self._store = store
        self._random = random
        self._prose = Prose(random)
        with connection.transaction():
            self._scale = DrupalScale(**self._one("select scale from lc2_demo_seed"))

    def add_page(self) -> list[str]:
        random = self._random
        files: list[ManagedFile] = []
        for _ in range(random.randrange(1, 4)):
            with self._connection.transaction():
                fid, now = self._row("select nextval('file_managed_fid_seq'), extract(epoch from now())::int")
            file = invent_file(fid, random, self._prose)
            put_file(self._store, file.planned)
            uploaded = ManagedFile(fid, file.uri, file.content_type, file.size_bytes, permanent=False)
            with self._connection.transaction():
                self._insert("file_managed", FILE_COLUMNS, file_row(uploaded, random, uid=1, changed=now))
            files.append(file)
        with self._connection.transaction():
            nid, now = self._row("select nextval('node_nid_seq'), extract(epoch from now())::int")
            vid = self._one("select nextval('node_revision_vid_seq')")
            made = node_rows(nid, vid, random, self._prose, scale=self._scale, files=files, created=now)
            for table, rows in made.rows.items():
                for row in rows:
                    self._insert(table, NODE_TABLES[table], row)
            fids = [file.fid for file in files]
            self._connection.execute(
                "update file_managed set status = 1, changed = %s where fid = any(%s)", (now, fids)
            )
            self._invalidate("node_list", f"node:{nid}")
            self._log("content", "added", nid)
        return [file.planned.key for file in files]

    def replace_file(self) -> list[str]:
        with self._connection.transaction():
            found = self._connection.execute(
                "select fid, uri, filemime from file_managed where fid = (select fid from file_managed "
                "where status = 1 and uri ~ '^(public|private)://' order by fid offset floor(%s * (select count(*) "
                "from file_managed where status = 1 and uri ~ '^(public|private)://')) limit 1) "
                "and status = 1 for update",
                (self._random.random(),),
            ).fetchone()
            if found is None:
                return []  # another writer has just deleted it
            file = ManagedFile(found[0], found[1], found[2], choose_size(self._random))
            # The row is written first and seen last: between the new file and the commit there is next to nothing.
            self._connection.execute(
                "update file_managed set filesize = %s, changed = extract(epoch from now())::int where fid = %s",
                (file.size_bytes, file.fid),
            )
            self._invalidate(f"file:{file.fid}")
            put_file(self._store, file.planned)
        return [file.planned.key]

    def delete_page(self) -> list[str]:
        with self._connection.transaction():
            found = self._connection.execute(
                "select nid from node where nid = (select nid from node where nid > %s order by nid offset floor(%s * "
                "((select count(*) from node) - 1)) limit 1) for update",
                (_FIRST_CONTENT, self._random.random()),
            ).fetchone()
            if found is None:
                return []
            (nid,) = found
            used = self._connection.execute(
                "delete from file_usage where type = 'node' and id = %s returning fid", (str(nid),)
            ).fetchall()
            for table in NODE_TABLES:
                if table not in ("file_usage", "path_alias"):
                    column = "entity_id" if table.startswith("node__") else "nid"
                    self._connection.execute(
                        sql.SQL("delete from {} where {} = %s").format(sql.Identifier(table), sql.Identifier(column)),
                        (nid,),
                    )
            self._connection.execute("delete from path_alias where path = %s", (f"/node/{nid}",))
            unused = self._connection.execute(
                "update file_managed set status = 0 where fid = any(%s) and not exists (select from file_usage "
                "where file_usage.fid = file_managed.fid and count > 0) returning fid, uri, filemime, filesize",
                ([fid for (fid,) in used],),
            ).fetchall()
            self._invalidate("node_list", f"node:{nid}")
            self._log("content", "deleted", nid)
        return [self._collect_garbage(ManagedFile(*row)) for row in unused]

    def edit_pages(self, count: int) -> tuple[int, ...]:
        edited: list[int] = []
        for _ in range(count):
            with self._connection.transaction():
                # The node is locked first, as for its deletion: writers never wait for each other in a circle.
                found = self._connection.execute(
                    "select nid, extract(epoch from now())::int from node where nid = (select nid from node order by "
                    "nid offset floor(%s * (select count(*) from node)) limit 1) for update",
                    (self._random.random(),),
                ).fetchone()
                if found is None:
                    continue
                nid, now = found
                self._connection.execute(
                    "update node__body set body_value = %s where entity_id = %s and langcode = 'en'",
                    (self._prose.html(self._random.randrange(60, 400)), nid),
                )
                self._connection.execute("update node_field_data set changed = %s where nid = %s", (now, nid))
                self._invalidate(f"node:{nid}")
                edited.append(nid)
        return tuple(edited)

    def change_configuration(self) -> tuple[str, ...]:
        random, prose = self._random, self._prose
        with self._connection.transaction():
            # In the order of names, in which an import writes them too.
            changed = [self._toggle_notice()]
            performance = self._configuration(DEFAULT_COLLECTION, "system.performance")
            ages = [{"page": {"max_age": seconds}} for seconds in (0, 300, 900, 3600)]
            performance["cache"] = random.choice([age for age in ages if age != performance["cache"]])
            changed.append(self._save(DEFAULT_COLLECTION, "system.performance", performance))
            for collection, since in ((DEFAULT_COLLECTION, "since"), (GERMAN_COLLECTION, "seit")):
                site = self._configuration(collection, "system.site")
                site["slogan"] = f"{prose.title(3)}: {since} {random.randrange(1850, 2000)}"
                changed.append(self._save(collection, "system.site", site))
            self._connection.execute("delete from cache_config")
            self._invalidate("config:system.site", "config:block_list")
        return tuple(changed)

    def _toggle_notice(self) -> str:
        """Put a block with a notice on the site, or take the one there is away."""
        name = "block.block.olivero_notice"
        gone = self._connection.execute(
            "delete from config where collection = '' and name = %s returning name", (name,)
        ).fetchone()
        if gone is None:
            block = self._configuration(DEFAULT_COLLECTION, "block.block.olivero_help")
            notice: PhpValue = {
                "id": "system_powered_by_block",
                "label": self._prose.title(5),
                "label_display": "visible",
            }
            uuid = str(self._one("select gen_random_uuid()"))
            self._save(DEFAULT_COLLECTION, name, {**block, "uuid": uuid, "id": "olivero_notice", "settings": notice})
        return name

    def _configuration(self, collection: str, name: str) -> dict[str | int, PhpValue]:
        """Read an object and lock it until the transaction ends."""
        found = self._row("select data from config where collection = %s and name = %s for update", collection, name)
        return dict(cast("dict[str | int, PhpValue]", unserialize(found[0])))

    def _save(self, collection: str, name: str, value: dict[str | int, PhpValue]) -> str:
        self._connection.execute(
            "insert into config values (%s, %s, %s) on conflict (collection, name) do update set data = excluded.data",
            (collection, name, serialize(value)),
        )
        return f"{collection}:{name}" if collection else name

    def _collect_garbage(self, file: ManagedFile) -> str:
        """Do what cron does with a temporary file: delete the file, then its row."""
        key = file.planned.key
        with self._connection.transaction():
            self._store.delete([key])
            self._connection.execute("delete from file_managed where fid = %s and status = 0", (file.fid,))
        return key

    def _invalidate(self, *tags: str) -> None:
        for tag in sorted(tags):  # in one order, or two writers wait for each other
            self._connection.execute(
                "insert into cachetags values (%s, 1) on conflict (tag) do update "
                "set invalidations = cachetags.invalidations + 1",
                (tag,),
            )

    def _log(self, channel: str, done: str, nid: int) -> None:
        self._insert(
            "watchdog",
            "uid type message variables severity location timestamp",
            (1, channel, f"@type: {done} %nid.", serialize({"@type": "page", "%nid": nid}), 5, "/node", 1_767_225_600),
        )

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

    def _row(self, query: str, *values: object) -> tuple[Any, ...]:
        row = self._connection.execute(query.encode(), values).fetchone()
        if row is None:
            raise LookupError(f"nothing answers '{query}': this is not a seeded Drupal")
        return row

    def _one(self, query: str) -> Any:
        return self._row(query)[0]
