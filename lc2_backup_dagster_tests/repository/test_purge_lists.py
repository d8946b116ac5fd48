"""The list of a purge, as it is written, named and read."""

import pytest

from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster.model.errors import ConfigurationError, LogCorrupt, PartCorrupt
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository.purge_lists import PurgeList
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_backup, a_repository
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

SITE = SiteId("retail", "liferay")


@pytest.fixture(params=["encrypted", "not encrypted"])
def repository(request, tmp_path):
    clock = SetClock()
    wrapper = KeyFile.create(tmp_path / "key") if request.param == "encrypted" else None
    return a_repository(MemoryStore(clock), SITE, wrapper=wrapper, clock=clock)


def test_a_list_comes_back_from_what_the_record_says(repository):
    lines = [b"%d\n" % number for number in range(400_000)]
    listed = repository.purge_lists.write("p1", lines)
    backup = a_backup(repository)
    body = {"backup_ids": [backup.backup_id], "purge_id": "p1", "contents": listed.body()}
    repository.tell(RecordType.PURGE, initiator=TESTER, body=body)

    (purge,) = repository.log.history().purges

    assert purge.backups == {backup.backup_id: Component.DATABASE}
    assert purge.listed == listed
    assert listed.count == 400_000
    with repository.purge_lists.open(purge.listed) as reader:
        assert reader.read() == b"".join(lines)


def test_an_empty_list_is_a_list(repository):
    listed = repository.purge_lists.write("p1", [])
    assert listed.count == 0
    assert PurgeList.from_body("p1", listed.body()) == listed
    with repository.purge_lists.open(listed) as reader:
        assert reader.read() == b""


def test_a_changed_list_is_not_believed(repository):
    listed = repository.purge_lists.write("p1", [b"x\n"])
    other = repository.purge_lists.write("p2", [b"y\n"])
    moved = PurgeList("p2", listed.key_id, listed.stream, 1)
    with repository.purge_lists.open(moved) as reader, pytest.raises(PartCorrupt):
        reader.read()
    with repository.purge_lists.open(other) as reader:
        assert reader.read() == b"y\n"


def test_what_has_finished_is_known(repository):
    lists = repository.purge_lists
    lists.write("p1", [b"x\n"])
    assert lists.finished() == set()
    lists.finish("p1")
    lists.finish("p1")
    lists.finish("p2")
    assert lists.finished() == {"p1", "p2"}


@pytest.mark.parametrize("contents", [{}, {"key_id": None, "parts": [[1]], "count": 1}, [], {"parts": 3}])
def test_a_record_that_names_a_list_in_another_way_is_not_written(repository, contents):
    backup = a_backup(repository)
    body = {"backup_ids": [backup.backup_id], "purge_id": "p1", "contents": contents}
    with pytest.raises(ConfigurationError, match="contradicts the log") as refused:
        repository.tell(RecordType.PURGE, initiator=TESTER, body=body)
    assert isinstance(refused.value.__cause__, LogCorrupt)  # which is what a reader says of one that was
    assert [each.backup_id for each in repository.backups()] == [backup.backup_id]
