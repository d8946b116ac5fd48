"""The seeded Drupal: its rows and its files belong together, now and while people work."""

import io
import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from lc2_backup_dagster.applications.drupal.application import DrupalApplication
from lc2_backup_dagster.demo.drush.__main__ import main
from lc2_backup_dagster.demo.drush.console import Console
from lc2_backup_dagster.demo.seed.drupal import seed_drupal
from lc2_backup_dagster.demo.seed.drupal_changes import change_drupal
from lc2_backup_dagster.demo.seed.drupal_scale import DrupalScale
from lc2_backup_dagster.demo.seed.php_values import unserialize
from lc2_backup_dagster.demo.servers.postgres import wheel_bin_directory
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.engines.files.matching import RowMatch, match_rows
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.errors import TargetNotEmpty
from lc2_backup_dagster.model.globs import FileSelection
from lc2_backup_dagster_tests.demo.fixtures_drupal import DRUPAL_SCALE
from lc2_backup_dagster_tests.engines.files.library import an_entry
from lc2_backup_dagster_tests.fakes import MemoryStore

DRUPAL = DrupalApplication()
SELECTION = FileSelection(
    includes=DRUPAL.default_includes,
    excludes=[*DRUPAL.default_excludes, *DRUPAL.generated_globs, *DRUPAL.forbidden_globs],
)


def matched(server: Server, store: MemoryStore) -> RowMatch:
    with server.connect() as connection:
        references = [FileReference(*row) for row in connection.execute(DRUPAL.file_reference_sql)]
    keys = sorted(key for key in store.objects if SELECTION.selects(key))
    return match_rows(references, [entry(key, store) for key in keys])


def entry(key: str, store: MemoryStore) -> FileEntry:
    return an_entry(key, size_bytes=len(store.objects[key][0]))


def one(server: Server, query: str):
    with server.connect() as connection:
        return connection.execute(query.encode()).fetchone()


def test_every_row_has_its_file_and_only_what_no_row_names_is_an_orphan(copy_drupal):
    server, store = copy_drupal()
    match = matched(server, store)
    assert (match.dangling, match.size_mismatches) == ([], [])
    (unsaved,) = one(server, "select count(*) from file_managed where status = 0")
    assert unsaved > 0
    assert match.rows == DRUPAL_SCALE.files - unsaved
    assert match.orphan_count == 5 + unsaved
    named = [key for key in match.orphans if not re.search(r"-\d+\.\w+$", key)]
    assert named == [
        "sites/default/files/.htaccess",
        "sites/default/files/legacy/intranet.html",
        "sites/default/files/translations/drupal-10.3.de.po",
        "sites/default/files/translations/pathauto-1.12.de.po",
        "sites/default/private/.htaccess",
    ]


def test_what_drupal_makes_again_and_settings_are_there_and_left_out(drupal_template):
    left_out = [key for key in drupal_template.objects if not SELECTION.selects(key)]
    folders = Counter(key.removeprefix("sites/default/").rsplit("/", key.count("/") - 3)[0] for key in left_out)
    assert {"files/css", "files/js", "files/php", "files/tmp", "files/styles"} <= set(folders)
    assert "sites/default/settings.php" in left_out
    kept = [key for key in drupal_template.objects if SELECTION.selects(key)]
    assert not [key for key in kept if "settings" in key or "/styles/" in key or "/css/" in key]


def test_the_seed_is_the_same_for_one_random_and_is_done_once(make_database, postgres, drupal_template):
    server, store = make_database(postgres), MemoryStore()
    with server.connect() as connection:
        seed_drupal(connection, store, scale=DRUPAL_SCALE, random=Random(7))
        assert {k: v[0] for k, v in store.objects.items()} == {k: v[0] for k, v in drupal_template.objects.items()}
        store.objects.clear()
        seed_drupal(connection, store, scale=DRUPAL_SCALE, random=Random(7))
        assert not store.objects
        with pytest.raises(TargetNotEmpty, match="another seed"):
            seed_drupal(connection, store, scale=DrupalScale(), random=Random(7))
    tables = "select md5(string_agg(t::text, '|' order by t::text)) from {} as t"
    other = postgres.server("drupal_template")
    for table in ("config", "file_managed", "node__body", "users_field_data", "key_value", "cache_render"):
        assert one(server, tables.format(table)) == one(other, tables.format(table)), table


def test_a_foreign_database_is_refused_before_any_file_is_written(make_database, postgres):
    store = MemoryStore()
    with (
        make_database(postgres, "create table precious ()").connect() as connection,
        pytest.raises(TargetNotEmpty, match="is not empty"),
    ):
        seed_drupal(connection, store, scale=DRUPAL_SCALE, random=Random(7))
    assert not store.objects


def test_people_work_and_every_row_keeps_its_file(copy_drupal):
    server, store = copy_drupal()
    added, deleted, replaced = set(), set(), set()
    with server.connect() as connection:
        for turn in range(12):
            before = {key: body for key, (body, _) in store.objects.items()}
            changes = change_drupal(connection, store, random=Random(turn))
            assert all(store.objects[key][0] != before[key] for key in set(changes.replaced) & set(before))
            assert not set(changes.deleted) & set(store.objects)
            added.update(changes.added)
            deleted.update(changes.deleted)
            replaced.update(changes.replaced)
            match = matched(server, store)
            assert (match.dangling, match.size_mismatches) == ([], [])
    assert added and deleted and replaced
    assert (
        one(server, "select count(*) from file_usage u where not exists (select from node where nid::text = u.id)")[0]
        == 0
    )
    assert (
        one(server, "select count(*) from node_field_data d where not exists (select from node n where n.vid = d.vid)")[
            0
        ]
        == 0
    )


class WatchingStore(MemoryStore):
    """Asks, in the middle of every change of a file, what a backup would see of the rows."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.seen = Counter()

    def look(self, what: str) -> None:
        match = matched(self.server, self)
        assert match.dangling == []
        self.seen[what] += 1

    def delete(self, keys):
        super().delete(keys)
        self.look("deleted")

    def put_stream(self, key, chunks, **facts):
        self.look("before a write")
        written = super().put_stream(key, chunks, **facts)
        self.look("after a write")
        return written


def test_a_backup_at_any_moment_sees_no_row_without_its_file(copy_drupal):
    server, store = copy_drupal()
    watching = WatchingStore(server)
    watching.objects.update(store.objects)
    with server.connect() as connection:
        for turn in range(6):
            change_drupal(connection, watching, random=Random(turn))
    assert watching.seen["deleted"] and watching.seen["after a write"] >= 12


def test_several_writers_and_imports_do_not_wait_for_each_other_in_a_circle(copy_drupal, tmp_path):
    server, store = copy_drupal()
    url = f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/{server.database}"

    def drush(*arguments: str) -> int:
        console = Console(io.StringIO(), io.StringIO(), io.StringIO())
        return main([*arguments, "--yes"], environment={"DRUPAL_DATABASE_URL": url}, console=console)

    def work(number: int) -> None:
        with server.connect() as connection:
            for turn in range(6):
                change_drupal(connection, store, random=Random(100 * number + turn))

    assert drush("config:export", f"--destination={tmp_path / 'export'}") == 0
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(work, number) for number in range(3)]
        while not all(writer.done() for writer in writers):
            assert drush("config:import", f"--source={tmp_path / 'export'}") == 0
        for writer in writers:
            writer.result()
    match = matched(server, store)
    assert (match.dangling, match.size_mismatches) == ([], [])


def test_configuration_changes_by_whole_objects(copy_drupal):
    server, store = copy_drupal()
    with server.connect() as connection:
        before = dict(connection.execute("select collection || ':' || name, data from config").fetchall())
        names = change_drupal(connection, store, random=Random(1)).configuration
        after = dict(connection.execute("select collection || ':' || name, data from config").fetchall())
    differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert differing == {name if name.startswith("language.") else f":{name}" for name in names}
    assert ":block.block.olivero_notice" in after.keys() - before.keys()
    assert all(isinstance(unserialize(data), dict) for data in after.values())


def test_about_150_objects_and_a_german_collection_are_configured(drupal_template, postgres):
    rows = one(
        postgres.server("drupal_template"),
        "select count(*), count(*) filter (where collection = 'language.de') from config",
    )
    assert rows == (150, 6)


def test_dumps_leave_out_rows_of_caches_sessions_and_log_and_keep_the_tables(copy_drupal, postgres):
    server, _ = copy_drupal()
    patterns = [f"--exclude-table-data={pattern}" for pattern in DRUPAL.default_dump_excludes]
    dump = subprocess.run(
        [str(wheel_bin_directory() / "pg_dump"), *patterns, server.conninfo()],
        env={"PGPASSWORD": server.password or ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    created = set(re.findall(r"^CREATE TABLE public\.(\w+)", dump, re.MULTILINE))
    filled = set(re.findall(r"^COPY public\.(\w+) ", dump, re.MULTILINE))
    assert created - filled == {table for table in created if table.startswith("cache_")} | {"sessions", "watchdog"}
    assert {"cachetags", "config", "file_managed", "key_value"} <= filled


def test_an_s3_store_takes_every_name(s3_store, drupal_template):
    odd = [key for key in drupal_template.objects if re.search(r"[^\w./-]|%|[^\x00-\x7f]", key)]
    assert len(odd) >= 8
    for key in odd:
        s3_store.put(key, drupal_template.objects[key][0])
    assert sorted(info.key for info in s3_store.list("")) == sorted(odd)
    assert all(s3_store.get(key) == drupal_template.objects[key][0] for key in odd)
