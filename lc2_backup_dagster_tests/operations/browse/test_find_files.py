"""Versions of files across backups: each told once, with every backup that holds it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.files.manifest.entry import Copied
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.browse.find_files import FileVersion, Wanted, find_versions
from lc2_backup_dagster_tests.engines.files.library import HASH, an_entry
from lc2_backup_dagster_tests.operations.stored_libraries import CountingStore, a_list_backup, a_list_repository
from lc2_backup_dagster_tests.operations.tiny_site import content_of

FIRST = an_entry("docs/a", Copied(HASH), sha256=None)
HASHED = replace(FIRST, sha256=HASH)
SECOND = replace(FIRST, modified=FIRST.modified + timedelta(days=1), etag="second", size_bytes=900)


@pytest.fixture
def repository():
    return a_list_repository(CountingStore(), part_bytes=400)


def find(repository, scratch: Path, *globs: str, **wanted) -> list[FileVersion]:
    backups = repository.backups(Component.FILES)[::-1]
    return list(find_versions(repository, backups, Wanted(globs, **wanted), scratch=scratch))


def test_a_version_is_told_once_with_all_its_backups_newest_first(repository, tmp_path):
    other = an_entry("docs/b")
    one = a_list_backup(repository, [FIRST, other]).backup_id
    two = a_list_backup(repository, [HASHED, other, an_entry("x")]).backup_id
    three = a_list_backup(repository, [SECOND, other]).backup_id
    four = a_list_backup(repository, [HASHED]).backup_id

    found = find(repository, tmp_path, "docs/*")

    assert [(each.key, each.size_bytes, each.backups) for each in found] == [
        # Brought back in the last one: what was there last is told first.
        ("docs/a", 3, (four, two, one)),
        ("docs/a", 900, (three,)),
        ("docs/b", 3, (three, two, one)),
    ]
    # The first backup did not know the hash yet; it is the same version.
    assert found[0].sha256 == HASH
    assert (found[0].modified, found[0].etag) == (FIRST.modified, FIRST.etag)
    assert content_of(tmp_path) == {}


@pytest.mark.parametrize(
    "other",
    [
        replace(FIRST, size_bytes=4),
        replace(FIRST, modified=FIRST.modified + timedelta(microseconds=1)),
        replace(FIRST, etag="another"),
        replace(FIRST, version="2"),
    ],
)
def test_versions_differ_when_one_of_their_facts_does(repository, tmp_path, other):
    a_list_backup(repository, [FIRST])
    a_list_backup(repository, [other])

    assert [len(each.backups) for each in find(repository, tmp_path, "*")] == [1, 1]


def test_a_hash_that_only_an_older_backup_knows_is_told(repository, tmp_path):
    a_list_backup(repository, [HASHED])
    a_list_backup(repository, [FIRST])

    [found] = find(repository, tmp_path, "*")
    assert (found.sha256, len(found.backups)) == (HASH, 2)


def test_of_one_backup_versions_come_while_it_is_read(tmp_path):
    store = CountingStore()
    repository = a_list_repository(store, part_bytes=400)
    a_list_backup(repository, [an_entry(f"docs/{number:04d}") for number in range(300)])
    store.read.clear()
    [backup] = repository.backups(Component.FILES)

    versions = find_versions(repository, [backup], Wanted(("*",)), scratch=tmp_path)
    assert next(versions).key == "docs/0000"
    assert len(store.read) < 10
    versions.close()


@pytest.mark.parametrize(
    ("wanted", "sizes"),
    [
        ({"since": SECOND.modified}, [900]),
        ({"since": SECOND.modified + timedelta(microseconds=1)}, []),
        ({"until": FIRST.modified}, [3]),
        ({"until": FIRST.modified - timedelta(microseconds=1)}, []),
        ({"smallest_bytes": 900}, [900]),
        ({"smallest_bytes": 901}, []),
        ({"largest_bytes": 3}, [3]),
        ({"largest_bytes": 2}, []),
        ({"smallest_bytes": 3, "largest_bytes": 900}, [900, 3]),
    ],
)
def test_versions_are_chosen_by_time_and_size(repository, tmp_path, wanted, sizes):
    a_list_backup(repository, [FIRST])
    a_list_backup(repository, [SECOND])

    assert [each.size_bytes for each in find(repository, tmp_path, "*", **wanted)] == sizes


def test_only_the_parts_below_the_globs_are_read(tmp_path):
    store = CountingStore()
    repository = a_list_repository(store, part_bytes=2000)
    for _ in range(2):
        a_list_backup(repository, [an_entry(f"{folder:03d}/x") for folder in range(500)])
    store.read.clear()

    assert [each.key for each in find(repository, tmp_path, "27?/x", "271/*")] == [f"27{n}/x" for n in range(10)]
    assert len({key for key in store.read if "/files/0" in key}) < 30


def test_a_malformed_glob_is_refused_and_leaves_no_scratch(repository, tmp_path):
    a_list_backup(repository, [FIRST])
    a_list_backup(repository, [SECOND])

    with pytest.raises(ConfigurationError, match="not closed"):
        find(repository, tmp_path, "docs/[a")
    assert content_of(tmp_path) == {}
