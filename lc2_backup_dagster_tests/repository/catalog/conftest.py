from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from sqlalchemy.engine import URL

from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.repository.catalog import Catalog
from lc2_backup_dagster_tests.repository.catalog.queries import forget_all


def url_of(server: Server) -> str:
    url = URL.create("postgresql", server.user, server.password, server.host, server.port, server.database)
    return url.render_as_string(hide_password=False)


@pytest.fixture
def catalog_url(postgres: PostgresServer, make_database: Callable[..., Server]) -> str:
    """The address of a new, empty database."""
    return url_of(make_database(postgres))


@pytest.fixture(scope="session")
def shared_url(postgres: PostgresServer) -> str:
    """The address of the migrated database behind ``catalog``; migrating one for each test takes too long."""
    name = f"catalog_{uuid4().hex[:10]}"
    postgres.create_database(name)
    url = url_of(postgres.server(name))
    with Catalog(url) as catalog:
        catalog.migrate()
    return url


@pytest.fixture
def catalog(shared_url: str) -> Iterator[Catalog]:
    """An empty catalog."""
    forget_all(shared_url)
    with Catalog(shared_url) as catalog:
        yield catalog
