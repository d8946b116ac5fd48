from collections.abc import Iterator

import pytest

from lc2_backup_dagster.demo.servers.bloomreach import BloomreachServer
from lc2_backup_dagster_tests.applications.bloomreach.asking import PassingTime


@pytest.fixture
def server() -> Iterator[BloomreachServer]:
    """The demo's server; it has a CDN's endpoint, too."""
    with BloomreachServer() as running:
        yield running


@pytest.fixture
def time() -> PassingTime:
    """A clock that jumps over every wait."""
    return PassingTime()
