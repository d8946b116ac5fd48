from collections.abc import Callable
from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.repository.parts import WriteOptions
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository
from lc2_backup_dagster_tests.engines.exports.exporting import SITE, keep
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(clock: SetClock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def repository(store: MemoryStore, clock: SetClock, tmp_path: Path) -> SiteRepository:
    """An encrypted repository with parts of 64 KiB, so that few bytes make several."""
    return open_site_repository(
        store,
        SITE,
        wrapper=KeyFile.create(tmp_path / "site.key"),
        create=True,
        clock=clock,
        options=WriteOptions(part_bytes=64 * 1024),
    )


@pytest.fixture
def export(repository: SiteRepository, tmp_path: Path) -> Callable[..., StoredExport]:
    """Commit documents as a backup: ``export({"a.json": b"{}"})``."""
    return lambda documents, **options: keep(repository, documents, scratch=tmp_path, **options)
