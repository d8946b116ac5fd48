"""What tests of one server and of a receiver of its WAL share; a module that needs another server makes its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster_tests.engines.postgres.receiving import a_wal_repository, drop_slot
from lc2_backup_dagster_tests.fixtures_postgres import start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server of the module alone, which its tests may change."""
    server = start_server(tmp_path_factory.mktemp("server"))
    yield server
    server.remove()


@pytest.fixture
def repository(tmp_path: Path, server: PostgresServer) -> Iterator[SiteRepository]:
    """An empty repository without encryption; the receiver's slot is dropped at the end."""
    yield a_wal_repository(DirectoryStore(tmp_path / "repository", create=True))
    drop_slot(server)
