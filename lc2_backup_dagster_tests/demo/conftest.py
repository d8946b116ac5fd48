"""A small seeded Liferay, and cheap copies of its database."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lc2_backup_dagster.demo.seed.liferay_database import seed_liferay_database
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster_tests.demo.fixtures_drupal import copy_drupal, drupal_template

__all__ = ["copy_drupal", "drupal_template"]

SCALE = LiferayScale(size_bytes=0, documents=60, large_file_bytes=300_000, incompressible_bytes=300_000)
TEMPLATE = "liferay_template"


@pytest.fixture(scope="session")
def liferay_template(postgres: PostgresServer) -> str:
    """The name of a seeded database; nobody writes to it nor stays connected."""
    postgres.create_database(TEMPLATE)
    seed_liferay_database(postgres.server(TEMPLATE), SCALE)
    return TEMPLATE


@pytest.fixture
def copy_liferay(postgres: PostgresServer, liferay_template: str) -> Iterator[Callable[[], Server]]:
    """Return a function that makes a copy of the seeded database."""
    with ExitStack() as undo:

        def copy() -> Server:
            name = f"liferay_{secrets.token_hex(5)}"
            postgres.execute(f"create database {name} template {liferay_template}")
            undo.callback(postgres.execute, f"drop database {name} with (force)")
            return postgres.server(name)

        yield copy
