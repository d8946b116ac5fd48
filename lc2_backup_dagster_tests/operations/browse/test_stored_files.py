"""The files of a backup, found from any key on without reading what lies before it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.model.errors import ConfigurationError, ObjectNotFound, PartCorrupt, RecoveryPointNotFound
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.browse.stored_files import files_backup, stored_file, stored_lines
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_backup, a_draft
from lc2_backup_dagster_tests.engines.files.library import an_entry
from lc2_backup_dagster_tests.operations.stored_libraries import CountingStore, a_list_backup, a_list_repository

MANY = [f"{folder:03d}/{number:03d}" for folder in range(40) for number in range(25)]


def keys_below(repository, backup, prefix: str) -> list[str]:
    with stored_lines(repository, backup, prefix=prefix) as lines:
        return [line.key for line in lines]


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.text("ab/é😀", min_size=1, max_size=5), max_size=30),
    st.lists(st.text("ab/é😀", max_size=3), min_size=1, max_size=5),
    # From a few bytes, so that a line covers several parts, to everything in one.
    st.integers(40, 2000),
)
def test_whatever_the_parts_exactly_the_files_with_the_prefix_are_read(
    keys: set[str], prefixes: list[str], part_bytes: int
) -> None:
    repository = a_list_repository(CountingStore(), part_bytes=part_bytes)
    backup = a_list_backup(repository, [an_entry(key) for key in sorted(keys)])

    for prefix in prefixes:
        assert keys_below(repository, backup, prefix) == sorted(key for key in keys if key.startswith(prefix))


def test_only_a_few_parts_are_read_for_a_prefix_in_the_middle() -> None:
    store = CountingStore()
    repository = a_list_repository(store, part_bytes=2000)
    backup = a_list_backup(repository, [an_entry(key) for key in MANY])
    parts = len(repository.manifest(backup.backup_id).streams["files"])
    store.read.clear()

    assert keys_below(repository, backup, "027/") == [key for key in MANY if key.startswith("027/")]

    read = {key for key in store.read if "/files/0" in key}
    assert parts > 150
    # Eight of bisection, four that hold the folder, and what was fetched ahead.
    assert len(read) < 20


def test_a_damaged_part_is_met_only_by_who_needs_it() -> None:
    store = CountingStore()
    repository = a_list_repository(store, part_bytes=2000)
    backup = a_list_backup(repository, [an_entry(key) for key in MANY])
    [damaged] = [key for key in store.objects if key.endswith("/files/000000")]
    store.put(damaged, b"damaged", create_only=False)

    assert len(keys_below(repository, backup, "027/")) == 25
    with pytest.raises(PartCorrupt, match="files/000000"):
        keys_below(repository, backup, "000/")


def test_one_file_is_found_and_one_that_is_not_there_is_told() -> None:
    repository = a_list_repository(CountingStore(), part_bytes=500)
    backup = a_list_backup(repository, [an_entry(key) for key in MANY])

    assert stored_file(repository, backup, "013/007") == an_entry("013/007")
    for absent in ("013/", "013/0070", "zzz", ""):
        with pytest.raises(ObjectNotFound, match="has no file"):
            stored_file(repository, backup, absent)


def test_a_backup_is_named_by_point_by_itself_or_as_the_latest() -> None:
    repository = a_list_repository(CountingStore(), part_bytes=2000)
    with pytest.raises(RecoveryPointNotFound, match="no backup of its files"):
        files_backup(repository, "latest")
    first = a_list_backup(repository, [an_entry("a")])
    second = a_list_backup(repository, [an_entry("b")])
    dump = a_backup(repository, component=Component.DATABASE_DUMP, stream="dump.custom")
    with repository.begin(Component.RECOVERY_POINT, window=None, initiator=TESTER) as attempt:
        members = {"member_ids": [dump.backup_id, first.backup_id]}
        point = attempt.commit(a_draft(kind=BackupKind.BINDING, window=None, summary=members))

    assert files_backup(repository, point.backup_id) == first
    assert files_backup(repository, first.backup_id) == first
    assert files_backup(repository, "latest") == second
    with pytest.raises(ConfigurationError, match="holds database_dump, which has no files"):
        files_backup(repository, dump.backup_id)
    with pytest.raises(RecoveryPointNotFound, match="does not exist"):
        files_backup(repository, "20200101T000000Z-00000000")
    repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [first.backup_id]})
    with pytest.raises(RecoveryPointNotFound, match="has expired"):
        files_backup(repository, point.backup_id)
