from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lc2_backup_dagster.applications.bloomreach.client import ApiClient
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.demo.servers.bloomreach import BloomreachServer
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster_tests.applications.bloomreach.asking import PassingTime, TokenStore, a_client
from lc2_backup_dagster_tests.builders import a_repository
from lc2_backup_dagster_tests.engines.exports.exporting import SITE
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock


@pytest.fixture
def server() -> Iterator[BloomreachServer]:
    with BloomreachServer() as running:
        yield running


@pytest.fixture
def time() -> PassingTime:
    """A clock that jumps over every wait."""
    return PassingTime()


@pytest.fixture
def tokens() -> TokenStore:
    """The place that the client's token is read from."""
    return TokenStore("demo-token")


@pytest.fixture
def make_client(server: BloomreachServer, time: PassingTime, tokens: TokenStore) -> Iterator[Callable[..., ApiClient]]:
    with ExitStack() as stack:

        def make(**options: object) -> ApiClient:
            return stack.enter_context(a_client(server.url, tokens, time, **options))

        yield make


@pytest.fixture
def client(make_client: Callable[..., ApiClient]) -> ApiClient:
    return make_client()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def repository(clock: SetClock, tmp_path: Path) -> SiteRepository:
    return a_repository(MemoryStore(clock), SITE, wrapper=KeyFile.create(tmp_path / "site.key"), clock=clock)
