from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster_tests.fakes import DyingStore, SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(clock: SetClock) -> DyingStore:
    return DyingStore(clock)


@pytest.fixture
def site() -> SiteId:
    return SiteId("retail", "liferay")


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile.create(tmp_path / "site.key")


@pytest.fixture
def initiator() -> Initiator:
    return Initiator(actor="tester", source="cli")
