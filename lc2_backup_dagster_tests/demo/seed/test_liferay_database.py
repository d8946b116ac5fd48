from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from lc2_backup_dagster.demo.seed.content_plan import ContentPlan
from lc2_backup_dagster.demo.seed.library_plan import ObjectRole, document_key, plan_objects
from lc2_backup_dagster.demo.seed.liferay_changes import make_changes
from lc2_backup_dagster.demo.seed.liferay_content import import_payload
from lc2_backup_dagster.demo.seed.liferay_database import FIRST_LARGE_OBJECT, seed_liferay_database
from lc2_backup_dagster.demo.seed.liferay_library import seed_liferay_library
from lc2_backup_dagster.demo.seed.objects import MARKER_KEY
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import AccessDenied, TargetNotEmpty
from lc2_backup_dagster_tests.demo.conftest import SCALE, TEMPLATE
from lc2_backup_dagster_tests.fakes import MemoryStore

VERSIONS = (
    "select v.repositoryid, e.name, v.version, v.storeuuid, v.size_, e.size_, e.version "
    "from dlfileversion v join dlfileentry e using (fileentryid)"
)


def one(server: Server, query: str) -> object:
    with server.connect() as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def documents_in(server: Server) -> dict[str, int]:
    with server.connect() as connection:
        rows = connection.execute(VERSIONS.encode()).fetchall()
    return {document_key(repository, name, label, uuid): size for repository, name, label, uuid, size, *_ in rows}


def library_of(scale: LiferayScale) -> MemoryStore:
    store = MemoryStore()
    seed_liferay_library(store, scale)
    return store


@pytest.fixture
def liferay(copy_liferay: Callable[[], Server]) -> Server:
    return copy_liferay()


def test_rows_and_objects_name_the_same_files(liferay: Server):
    planned = {o.key: o.size_bytes for o in plan_objects(SCALE) if o.role is ObjectRole.DOCUMENT}
    assert documents_in(liferay) == planned
    assert {info.key: info.size_bytes for info in library_of(SCALE).list() if info.key in planned} == planned


def test_an_entry_shows_the_size_of_its_newest_version(liferay: Server):
    with liferay.connect() as connection:
        rows = connection.execute(VERSIONS.encode()).fetchall()
    assert all(size == entry_size for *_, label, _, size, entry_size, newest in rows if label == newest)
    assert {row[3] for row in rows} >= {None}


def test_the_database_looks_like_liferays(liferay: Server):
    assert (
        one(liferay, "select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace") > 60
    )
    assert one(liferay, "select count(*) from pg_constraint where contype = 'f' and convalidated") > 25
    assert one(liferay, "select count(*) from pg_class where relkind = 'i' and relname like 'ix\\_%'") > 50
    assert one(liferay, "select count(*) = count(distinct content) and count(*) > 20 from journalarticle")
    assert one(liferay, "select count(*) = count(distinct body) from mbmessage")
    assert one(liferay, "select count(*) = count(distinct emailaddress) from user_")
    assert (
        one(liferay, "select currentid from counter where name like '%model.Counter'") == ContentPlan.of(SCALE).next_id
    )
    assert one(liferay, "select sum(length(content)) from acme_attachment") == SCALE.incompressible_bytes


def test_large_objects_hold_what_was_planned(liferay: Server):
    with liferay.connect() as connection:
        rows = connection.execute("select oid, lo_get(oid) from pg_largeobject_metadata").fetchall()
        used = connection.execute(
            "select content from batchengineimporttask union all select data_ from dlcontent"
        ).fetchall()
    plan = ContentPlan.of(SCALE)
    assert {oid: bytes(content) for oid, content in rows} == {oid: import_payload(plan, oid) for (oid,) in used}
    assert min(oid for oid, _ in rows) == FIRST_LARGE_OBJECT


def test_deleting_a_document_of_the_database_store_deletes_its_large_object(liferay: Server):
    before = one(liferay, "select count(*) from pg_largeobject_metadata")
    with liferay.connect() as connection:
        connection.execute("delete from dlcontent where contentid = 1")
    assert one(liferay, "select count(*) from pg_largeobject_metadata") == before - 1


def test_a_second_seed_does_nothing_and_another_seed_is_refused(liferay: Server):
    again = seed_liferay_database(liferay, SCALE)
    assert (again.created, again.rows) == (False, {})
    assert again.tables > 60
    with pytest.raises(TargetNotEmpty, match="another seed"):
        seed_liferay_database(liferay, replace(SCALE, seed=1))


def test_a_database_with_other_tables_is_refused_and_left_alone(
    postgres: PostgresServer, make_database: Callable[..., Server]
):
    server = make_database(postgres, "create table precious (n integer)")
    with pytest.raises(TargetNotEmpty, match="not empty"):
        seed_liferay_database(server, SCALE)
    assert (
        one(server, "select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace") == 1
    )


def test_a_seed_that_dies_half_way_leaves_nothing(postgres: PostgresServer, make_database: Callable[..., Server]):
    server = make_database(postgres)

    def die(table: str) -> None:
        if table == "journalarticle":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seed_liferay_database(server, SCALE, progress=die)
    assert one(server, "select count(*) from pg_class where relnamespace = 'public'::regnamespace") == 0
    assert one(server, "select count(*) from pg_largeobject_metadata") == 0


def test_a_wrong_password_is_told_as_such(postgres: PostgresServer, liferay_template: str):
    with pytest.raises(AccessDenied):
        seed_liferay_database(postgres.server(TEMPLATE, user="postgres", password="wrong"), SCALE)


def test_size_grows_with_what_is_asked_for():
    small, large = (ContentPlan.of(LiferayScale(size_bytes=size)) for size in (10**9, 10**10))
    assert 9 < large.units / small.units < 11
    assert large.count("articles") == 30 * large.units
    blocks = sorted((ids.start, ids.stop) for ids in map(small.ids, ("users", "layouts", "articles", "visits")))
    assert all(stop <= start for (_, stop), (start, _) in pairwise(blocks))


def test_changes_keep_rows_and_files_in_step(liferay: Server):
    store = library_of(SCALE)
    before = documents_in(liferay)
    with liferay.connect() as connection:
        changes = make_changes(connection, store, random=Random(1))
        more = make_changes(connection, store, random=Random(2))
    after = documents_in(liferay)
    assert len(changes.added) == 6
    assert len(changes.replaced) == 2
    assert len(changes.deleted) >= 2
    assert len(changes.articles) == 5
    assert set(after) - set(before) <= {*changes.added, *changes.replaced, *more.added, *more.replaced}
    assert not set(after) & {*changes.deleted, *more.deleted}
    stored = {info.key: info.size_bytes for info in store.list()}
    assert after.items() <= stored.items()
    roles = {o.key: o.role for o in plan_objects(SCALE)}
    documents = {key for key in stored if roles.get(key) is ObjectRole.DOCUMENT}
    assert documents <= set(after), "a deleted document's file was left behind"


def test_rows_never_name_a_file_that_is_not_there_while_changes_are_made(liferay: Server):
    store = library_of(SCALE)
    seen: list[set[str]] = []

    class Watched(MemoryStore):
        def put_stream(self, key, chunks, **options):  # type: ignore[no-untyped-def]
            result = super().put_stream(key, chunks, **options)
            seen.append(set(documents_in(liferay)) - set(self.objects))
            return result

        def delete(self, keys):  # type: ignore[no-untyped-def]
            gone = list(keys)
            seen.append(set(documents_in(liferay)) & set(gone))
            super().delete(gone)

    watched = Watched()
    watched.objects = store.objects
    with liferay.connect() as connection:
        make_changes(connection, watched, random=Random(3))
    assert len(seen) >= 7
    assert not set().union(*seen)


def test_deleted_documents_do_not_come_back_with_the_next_seed(liferay: Server):
    store = library_of(SCALE)
    with liferay.connect() as connection:
        changes = make_changes(connection, store, random=Random(4))
    assert seed_liferay_library(store, SCALE).written == 0
    assert not set(changes.deleted) & set(store.objects)
    assert MARKER_KEY in store.objects
