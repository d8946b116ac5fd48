"""A small seeded Drupal: one database to copy from, and the files that belong to it."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from random import Random

import pytest

from lc2_backup_dagster.demo.seed.drupal import seed_drupal
from lc2_backup_dagster.demo.seed.drupal_scale import DrupalScale
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster_tests.fakes import MemoryStore

DRUPAL_SCALE = DrupalScale(nodes=40, users=20, files=90, terms=20, cached=3, logged=10, sessions=5)
TEMPLATE = "drupal_template"


@pytest.fixture(scope="session")
def drupal_template(postgres: PostgresServer) -> MemoryStore:
    """Seed the database that ``copy_drupal`` copies; return its files. Nobody writes to either."""
    store = MemoryStore()
    postgres.create_database(TEMPLATE)
    with postgres.server(TEMPLATE).connect() as connection:
        seed_drupal(connection, store, scale=DRUPAL_SCALE, random=Random(7))
    return store


@pytest.fixture
def copy_drupal(
    postgres: PostgresServer, drupal_template: MemoryStore
) -> Iterator[Callable[[], tuple[Server, MemoryStore]]]:
    """Return a function that makes a copy of the seeded database and of its files."""
    with ExitStack() as undo:

        def copy() -> tuple[Server, MemoryStore]:
            name = f"drupal_{secrets.token_hex(5)}"
            postgres.execute(f"create database {name} template {TEMPLATE}")
            undo.callback(postgres.execute, f"drop database {name} with (force)")
            store = MemoryStore()
            store.objects.update(drupal_template.objects)
            return postgres.server(name), store

        yield copy
