"""Files are looked at as of a recovery point's moment where a point is named, and as they were listed otherwise."""

from pathlib import Path

import pytest

from lc2_backup_dagster.engines.files.manifest.differences import DifferenceTotals, What
from lc2_backup_dagster.model.errors import ObjectNotFound
from lc2_backup_dagster.operations.browse.compare_files import compare_files
from lc2_backup_dagster.operations.browse.find_files import Wanted, find_versions
from lc2_backup_dagster.operations.browse.read_file import read_file
from lc2_backup_dagster.operations.browse.stored_files import files_backup, members_named, stored_lines
from lc2_backup_dagster_tests.operations.rows_site import RowsSite


@pytest.fixture
def site(tmp_path: Path) -> RowsSite:
    site = RowsSite(tmp_path)
    site.add(**{"docs/a": b"1", "docs/b": b"as of the moment", "x": b"3"})
    site.capture()
    site.dump()
    site.drop("docs/a")
    site.add(**{"docs/b": b"later"})
    site.capture()
    site.bind()
    return site


def names(site: RowsSite) -> tuple[str, str]:
    files, point = site.repository.backups()[-2:]
    return files.backup_id, point.backup_id


def listed(site: RowsSite, name: str, prefix: str = "") -> dict[str, int]:
    repository = site.repository
    with stored_lines(
        repository, files_backup(repository, name), prefix=prefix, members=members_named(repository, name)
    ) as lines:
        return {line.key: line.size_bytes for line in lines}


def test_a_point_lists_what_its_rows_mean(site: RowsSite) -> None:
    files, point = names(site)
    assert listed(site, point) == {"docs/a": 1, "docs/b": 16, "x": 1}
    assert listed(site, point, "docs/b") == {"docs/b": 16}
    assert listed(site, files) == listed(site, "latest") == {"docs/b": 5, "x": 1}


def test_one_file_is_read_as_of_the_point(site: RowsSite) -> None:
    files, point = names(site)
    assert b"".join(read_file(site.repository, point, "docs/b").pieces) == b"as of the moment"
    assert b"".join(read_file(site.repository, files, "docs/b").pieces) == b"later"
    assert b"".join(read_file(site.repository, point, "docs/a").pieces) == b"1"
    with pytest.raises(ObjectNotFound):
        read_file(site.repository, files, "docs/a")


def test_a_point_differs_from_its_own_listing(site: RowsSite) -> None:
    files, point = names(site)
    repository = site.repository
    backup = files_backup(repository, point)
    members = members_named(repository, point), members_named(repository, files)
    with compare_files(repository, backup, backup, DifferenceTotals(), members=members) as found:
        assert [(each.what, (each.old or each.new).key) for each in found] == [
            (What.REMOVED, "docs/a"),
            (What.CONTENT, "docs/b"),
        ]


def test_a_kept_version_is_found_in_the_points_that_bring_it_back(site: RowsSite, tmp_path: Path) -> None:
    files, point = names(site)
    first = site.backups()[0]
    backups = [site.repository.backup(each) for each in (files, first)]
    for chosen in (backups, backups[:1]):
        found = find_versions(site.repository, chosen, Wanted(("docs/*",)), scratch=tmp_path)
        told = {(each.key, each.size_bytes): each.backups for each in found}
        older = (first,) if chosen is backups else ()
        assert told == {
            ("docs/a", 1): (point, *older),
            ("docs/b", 5): (files,),
            ("docs/b", 16): (point, *older),
        }
