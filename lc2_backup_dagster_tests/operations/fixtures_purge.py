"""Fixtures of the tests of purges and of garbage."""

from pathlib import Path

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster_tests.engines.files.conftest import small_sizes
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock
from lc2_backup_dagster_tests.operations.purging import RememberedLibrary

__all__ = ["past", "small_sizes"]


@pytest.fixture
def past(tmp_path: Path) -> RememberedLibrary:
    """A library over a repository in memory, both empty of backups."""
    clock = SetClock()
    return RememberedLibrary(MemoryStore(clock), KeyFile.create(tmp_path / "site.key"), clock)
