"""Random histories of a library of files: every backup that is not purged always restores to what was true.

``LC2_TEST_HISTORIES=200`` looks at other histories than the few that every run looks at.
"""

import os
import secrets
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster_tests.engines.files.conftest import small_sizes
from lc2_backup_dagster_tests.journeys.histories.library_life import STEPS, LibraryLife
from lc2_backup_dagster_tests.journeys.histories.library_past import REPOSITORY_STEPS, LibraryPast

__all__ = ["small_sizes"]

_ASKED = int(os.environ.get("LC2_TEST_HISTORIES", "0"))
_STEPS = st.lists(st.sampled_from((*STEPS, *STEPS, *REPOSITORY_STEPS)), min_size=15, max_size=40)


def histories(examples: int, asked: int) -> settings:
    return settings(
        max_examples=asked or examples,
        derandomize=not _ASKED,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def live(past: LibraryPast, steps: list[str]) -> None:
    past.life.create()
    past.step("capture")
    for step in steps:
        past.step(step)
    past.end()


pytestmark = [pytest.mark.usefixtures("small_sizes"), pytest.mark.timeout(0 if _ASKED else 300)]


@histories(4, _ASKED)
@given(steps=_STEPS, seed=st.integers(0, 2**32))
def test_in_directories(tmp_path, monkeypatch, steps, seed):
    monkeypatch.setattr("os.fsync", lambda file: None)  # processes die here, machines do not
    folder = tmp_path / secrets.token_hex(4)
    folder.mkdir()
    key = KeyFile.create(folder / "site.key")
    source, store = (DirectoryStore(folder / name, create=True) for name in ("library", "repository"))
    live(LibraryPast(LibraryLife(source, Random(seed), folder / "library"), store, key, folder), steps)


@histories(1, _ASKED // 5)
@given(steps=_STEPS, seed=st.integers(0, 2**32))
def test_in_versioned_buckets(tmp_path, s3_connection, make_bucket, steps, seed):
    folder = tmp_path / secrets.token_hex(4)
    folder.mkdir()
    key = KeyFile.create(folder / "site.key")
    source, store = (S3Store(s3_connection, make_bucket(versioning=True)) for _ in range(2))
    live(LibraryPast(LibraryLife(source, Random(seed)), store, key, folder), steps)
