"""The deployment's catalog: caught up after commits, made again from the bucket alone, never in a backup's way."""

import secrets

import pytest

from lc2_backup_dagster.model.errors import LogCorrupt
from lc2_backup_dagster.operations.catalog import CATALOG_VARIABLE, catch_up, open_catalog, rebuild_catalog
from lc2_backup_dagster.sites.assembly import open_site
from lc2_backup_dagster.sites.loader import load_sites
from lc2_backup_dagster_tests.builders import a_backup
from lc2_backup_dagster_tests.operations.tiny_site import drop_database


@pytest.fixture
def catalog(postgres):
    name = f"tiny_catalog_{secrets.token_hex(4)}"
    postgres.create_database(name)
    opened = open_catalog({CATALOG_VARIABLE: url_of(postgres, name)})
    yield opened
    opened.close()
    drop_database(postgres, name)


def url_of(postgres, name: str, *, port: int | None = None) -> str:
    return f"postgresql://postgres:{postgres.password}@127.0.0.1:{port or postgres.port}/{name}"


def ids(listed) -> list[str]:
    return [each.backup_id for each in listed]


def test_without_the_variable_there_is_no_catalog():
    assert open_catalog({}) is None


def test_catching_up_makes_the_tables_and_says_nothing(catalog, backed_up):
    repository = backed_up.site.repository
    assert catch_up(catalog, repository) is None
    assert ids(reversed(catalog.backups())) == ids(repository.backups())
    assert catch_up(catalog, repository) is None


def test_a_catalog_that_is_away_is_a_warning_without_secrets(postgres, backed_up):
    with open_catalog({CATALOG_VARIABLE: url_of(postgres, "catalog", port=1)}) as away:
        warning = catch_up(away, backed_up.site.repository)
    assert "the backup is safe without it" in warning
    assert postgres.password not in warning


def test_a_log_whose_tail_was_cut_off_is_noticed(catalog, backed_up, tmp_path):
    site = backed_up.site.copied(tmp_path)
    catch_up(catalog, site.repository)
    sorted((site.bucket / "log/retail/liferay").iterdir())[-1].unlink()
    with pytest.raises(LogCorrupt, match="was cut off"):
        catch_up(catalog, site.repository)


def test_a_rebuild_from_the_bucket_alone_equals_the_log(catalog, backed_up):
    repository = backed_up.site.repository
    assert rebuild_catalog(catalog, [repository]) == {"retail/liferay": repository.log.history().sequence}
    found = {each.backup_id: each for each in catalog.backups()}
    for backup in repository.backups():
        kept = found.pop(backup.backup_id)
        assert (kept.component, kept.kind, kept.parent) == (backup.component, backup.kind, backup.parent)
        assert (kept.window, kept.manifest_sha256) == (backup.window, backup.manifest_sha256)
    assert found == {}


def test_a_damaged_site_takes_no_other_site_down(catalog, backed_up, tmp_path, make_site):
    damaged = backed_up.site.copied(tmp_path).repository
    other = make_site(project="other")
    loaded = load_sites([other.file], environment=other.environment)
    healthy = open_site(loaded.sites[0], environment=other.environment).context.open_repository(True)
    a_backup(healthy)
    (tmp_path / "bucket/log/retail/liferay/00000000000000000003.json").unlink()
    with pytest.raises(LogCorrupt, match="record 3"):
        rebuild_catalog(catalog, [damaged, healthy])
    assert [str(head.site) for head in catalog.heads()] == ["other/liferay"]
