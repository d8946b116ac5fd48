import secrets
from collections.abc import Iterator
from random import Random

import pytest

from lc2_backup_dagster.applications.bloomreach.application import BloomreachApplication
from lc2_backup_dagster.demo.seed.objects import MARKER_KEY
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.demo.sites.bloomreach import BLOOMREACH
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import TargetNotEmpty
from lc2_backup_dagster_tests.fakes import MemoryStore

SCALE = LiferayScale(documents=120)


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Server]:
    name = f"brxm_{secrets.token_hex(4)}"
    postgres.create_database(name)
    yield postgres.server(name)
    postgres.execute(f"drop database {name} with (force)")


def references(database: Server) -> dict[str, int]:
    query = BloomreachApplication().file_reference_sql
    assert query is not None
    with database.connect() as connection:
        return {key: size for key, _, size in connection.execute(query.encode()).fetchall()}


def media(store: MemoryStore) -> dict[str, int]:
    return {info.key: info.size_bytes for info in store.list() if info.key != MARKER_KEY}


def test_every_row_of_a_seeded_bloomreach_names_an_object_of_its_size_and_every_object_has_a_row(database: Server):
    store = MemoryStore()
    told = list(BLOOMREACH.seed(database, store, SCALE))
    assert references(database) == media(store)
    assert len(media(store)) == 120
    assert "120 objects" in told[1]


def test_a_second_seed_changes_nothing_and_another_one_is_refused(database: Server):
    store = MemoryStore()
    list(BLOOMREACH.seed(database, store, SCALE))
    store.delete([next(iter(media(store)))])
    left = media(store)
    told = list(BLOOMREACH.seed(database, store, SCALE))
    assert all("from an earlier call" in line for line in told)
    assert media(store) == left
    with pytest.raises(TargetNotEmpty, match="another seed"):
        list(BLOOMREACH.seed(database, store, LiferayScale(documents=121)))


def test_whatever_editors_do_rows_and_objects_go_on_to_fit(database: Server):
    store = MemoryStore()
    list(BLOOMREACH.seed(database, store, SCALE))
    seeded = media(store)
    with database.connect() as connection:
        BLOOMREACH.day(connection, store, Random(1))
        for number in range(20):
            BLOOMREACH.moment(connection, store, Random(number))
    assert references(database) == media(store)
    assert seeded.keys() - media(store).keys(), "some were deleted or replaced"
    assert media(store).keys() - seeded.keys(), "some were added"
