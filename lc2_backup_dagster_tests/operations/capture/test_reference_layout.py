"""Rows of Liferay name files in one of two ways; the files that are there tell in which."""

from dataclasses import replace

import pytest

from lc2_backup_dagster.applications.liferay.application import LiferayApplication
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import StoreUnavailable
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.capture.reference_layout import query_of, reference_query
from lc2_backup_dagster_tests.applications.liferay.test_application import ENTRY, VERSION
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.operations.files_site import FilesSite

LIFERAY = LiferayApplication()
REPOSITORY, FOLDER = LIFERAY.file_reference_layouts


@pytest.fixture
def server(make_database, postgres) -> Server:
    return make_database(
        postgres,
        ENTRY,
        VERSION.format(store_uuid=""),
        "INSERT INTO dlfileentry VALUES (1, 0, '101', 20), (2, 0, '102', 20), (3, 0, '103', 20)",
        "INSERT INTO dlfileversion VALUES (11, 0, 7, 20, 0, 1, '1.0', 5), (21, 0, 7, 20, 777, 2, '1.0', 6), "
        "(31, 0, 7, 20, 778, 3, '1.0', 6)",
    )


@pytest.fixture
def site(tmp_path) -> FilesSite:
    return FilesSite(tmp_path)


def test_the_layout_of_the_files_that_are_there_is_taken(site: FilesSite, server: Server):
    site.change(**{"7/20/101/1.0": b"12345", "7/777/102/1.0": b"123456"})
    chosen = reference_query(site.context, server)
    assert (chosen.layout, chosen.sql) == ("folder", FOLDER.sql)
    assert chosen.reason == "files found of a sample: repository 0, folder 1"
    site.change(**{"7/20/102/1.0": b"123456", "7/20/103/1.0": b"123456"})
    assert reference_query(site.context, server).layout == "repository"


def test_where_nothing_tells_the_last_dump_does_and_else_the_first_layout_holds(site: FilesSite, server: Server):
    site.change(**{"7/20/101/1.0": b"12345"})
    assert reference_query(site.context, server).layout == "repository"
    with site.open_repository(True).begin(Component.DATABASE_DUMP, window=None, initiator=TESTER) as attempt:
        attempt.commit(a_draft(kind=BackupKind.DUMP, details={"references_layout": "folder"}))
    chosen = reference_query(site.context, server)
    assert (chosen.layout, chosen.sql) == ("folder", FOLDER.sql)
    assert "no file tells the layouts apart; as of" in chosen.reason


def test_a_store_that_is_away_fails_no_dump(site: FilesSite, server: Server, monkeypatch):
    def away(key, *, version=None):
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(site.source, "stat", away)
    assert "the store is away" in reference_query(site.context, server).reason


def test_a_query_of_the_site_file_is_never_replaced(site: FilesSite, server: Server):
    own = replace(LIFERAY, file_reference_sql="SELECT 1", file_reference_layouts=())
    assert reference_query(replace(site.context, application=own), server).sql == "SELECT 1"
    assert query_of(own, "folder") == "SELECT 1"
    assert query_of(LIFERAY, "folder") == FOLDER.sql
    assert query_of(LIFERAY, None) == REPOSITORY.sql
