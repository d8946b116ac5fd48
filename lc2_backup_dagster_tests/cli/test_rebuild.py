import secrets

import pytest

from lc2_backup_dagster.operations.catalog import open_catalog
from lc2_backup_dagster_tests.cli.calling import lc2
from lc2_backup_dagster_tests.operations.tiny_site import drop_database

PASSWORD = "catalog-secret-9d1f"


@pytest.fixture
def url(postgres):
    """The address of a new, empty database, as a role whose password is nowhere else."""
    name = f"tiny_catalog_{secrets.token_hex(4)}"
    postgres.create_role("tiny_catalog", password=PASSWORD)
    postgres.create_database(name, owner="tiny_catalog")
    yield f"postgresql://tiny_catalog:{PASSWORD}@127.0.0.1:{postgres.port}/{name}"
    drop_database(postgres, name)


def test_an_empty_catalog_is_made_again_from_the_bucket_alone(backed_up, url):
    answer = lc2(backed_up.site, "rebuild", LC2_BACKUP_CATALOG_URL=url)
    assert answer.code == 0, answer.err
    records = backed_up.site.repository.log.history().sequence
    assert answer.out == f"retail/liferay: {records} records replayed\n"
    listed = lc2(backed_up.site, "--json", "list").json
    with open_catalog({"LC2_BACKUP_CATALOG_URL": url}) as catalog:
        known = catalog.backups()
    assert [
        (each.backup_id, str(each.component), str(each.kind), each.parent, each.window, each.manifest_sha256)
        for each in known
    ] == [
        (each["backup_id"], each["component"], each["kind"], each["parent"], each["window"], each["manifest_sha256"])
        for each in listed
    ]


def test_a_rebuild_may_be_repeated_and_narrowed(backed_up, url):
    for _ in range(2):
        answer = lc2(backed_up.site, "--json", "rebuild", "retail/liferay", LC2_BACKUP_CATALOG_URL=url)
        assert answer.json == {"retail/liferay": backed_up.site.repository.log.history().sequence}


def test_without_a_catalog_it_is_wrong_usage(backed_up):
    answer = lc2(backed_up.site, "rebuild", LC2_BACKUP_CATALOG_URL="")
    assert answer.code == 2
    assert "LC2_BACKUP_CATALOG_URL is not set" in answer.err


def test_a_catalog_that_is_away_ends_with_3_and_shows_no_password(backed_up, url, postgres):
    away = url.replace(f":{postgres.port}/", ":1/")
    answer = lc2(backed_up.site, "rebuild", LC2_BACKUP_CATALOG_URL=away)
    assert answer.code == 3
    assert "CatalogUnavailable" in answer.err
    assert PASSWORD not in answer.err
