from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.engines.files.capture import copying, transfer
from lc2_backup_dagster_tests.engines.files.library import Library, store_below_public
from lc2_backup_dagster_tests.fakes import DyingStore, MemoryStore, SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile.create(tmp_path / "site.key")


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 64 KiB, bundles of files up to 4 KiB, ten at most, so that few bytes show every shape."""
    for module in (copying, transfer):
        monkeypatch.setattr(module, "PART_BYTES", 64 * 1024)
        monkeypatch.setattr(module, "SMALL_BYTES", 4 * 1024)
    monkeypatch.setattr(transfer, "BUNDLE_BYTES", 32 * 1024)
    monkeypatch.setattr(transfer, "BUNDLE_FILES", 10)


@pytest.fixture
def source(clock: SetClock) -> MemoryStore:
    return MemoryStore(clock, url="memory://source")


@pytest.fixture
def store(clock: SetClock) -> DyingStore:
    return DyingStore(clock)


@pytest.fixture
def library(source: MemoryStore, store: DyingStore, key: KeyFile, clock: SetClock, tmp_path: Path) -> Library:
    return Library(source, store, key=key, clock=clock, protection_of=store_below_public, scratch=tmp_path)
