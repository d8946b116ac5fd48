from pathlib import Path

import pytest

from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.sites.loader import load_site, load_sites, site_folders
from lc2_backup_dagster_tests.sites.site_text import SITE

DEMO = Path(__file__).parents[2] / "lc2_backup_dagster" / "sites" / "demo"
DEMO_ENVIRONMENT = {
    "LC2_DEMO_S3_ENDPOINT": "http://127.0.0.1:9000",
    "LC2_DEMO_KEY_FILE": "/state/retail.key",
    "LC2_DEMO_PG_HOST": "127.0.0.1",
    "LC2_DEMO_PG_PORT": "55432",
    "LC2_DEMO_LIFERAY_CONFIGURATION": "/state/liferay",
}
OTHER_SITES_ENVIRONMENT = {
    "LC2_DEMO_DRUPAL_PG_HOST": "127.0.0.1",
    "LC2_DEMO_DRUPAL_PG_PORT": "55433",
    "DRUPAL_CONFIG_SYNC_DIRECTORY": "/state/drupal",
    "LC2_DEMO_BLOOMREACH_PG_HOST": "127.0.0.1",
    "LC2_DEMO_BLOOMREACH_PG_PORT": "55434",
    "LC2_DEMO_BLOOMREACH_URL": "http://127.0.0.1:8390",
}


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


def test_one_bad_file_takes_no_other_site_down(tmp_path):
    write(tmp_path, "a.yaml", SITE)
    bad = write(tmp_path, "b.yml", SITE.replace("project: retail", "project: other").replace("port: 5432", "port: x"))
    write(tmp_path, "c.yaml", SITE.replace("project: retail", "project: third"))
    loaded = load_sites([tmp_path], environment={})
    assert [str(definition.site_id) for definition in loaded.sites] == ["retail/liferay", "third/liferay"]
    assert [(problem.file, problem.field) for problem in loaded.problems] == [(bad, "database.port")]
    assert loaded.files[SiteId("third", "liferay")] == tmp_path / "c.yaml"


def test_of_two_files_of_one_site_the_second_is_refused_and_names_the_first(tmp_path):
    first, second = write(tmp_path / "1", "z.yaml", SITE), write(tmp_path / "2", "a.yaml", SITE)
    loaded = load_sites([tmp_path / "1", tmp_path / "2"], environment={})
    assert loaded.files == {SiteId("retail", "liferay"): first}
    (problem,) = loaded.problems
    assert str(problem).startswith(f"{second}:1: defines site retail/liferay, which {first} defines already")


def test_one_project_may_have_two_sites_of_a_kind(tmp_path):
    write(tmp_path, "a.yaml", SITE)
    write(tmp_path, "b.yaml", SITE + "name: intranet\n")
    loaded = load_sites([tmp_path], environment={})
    assert [str(definition.site_id) for definition in loaded.sites] == ["retail/intranet", "retail/liferay"]
    assert not loaded.problems


def test_a_mounted_config_map_is_read_once(tmp_path):
    write(tmp_path / "..2026_11_23", "retail.yaml", SITE)
    (tmp_path / "..data").symlink_to("..2026_11_23")
    (tmp_path / "retail.yaml").symlink_to("..data/retail.yaml")
    write(tmp_path, "notes.txt", "not a site")
    write(tmp_path, ".hidden.yaml", "not a site")
    (tmp_path / "folder.yaml").mkdir()
    loaded = load_sites([tmp_path, tmp_path], environment={})
    assert len(loaded.sites) == 1
    assert loaded.problems == ()


def test_a_folder_or_file_that_cannot_be_read_is_a_problem(tmp_path):
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    write(tmp_path, "a.yaml", SITE)
    loaded = load_sites([tmp_path / "absent", tmp_path], environment={})
    assert len(loaded.sites) == 1
    told = [str(problem) for problem in loaded.problems]
    assert len(told) == 2
    assert f"{tmp_path / 'absent'}: cannot be read: No such file or directory" in told[0]
    assert f"{tmp_path / 'gone.yaml'}:1: cannot be read" in told[1]


def test_folders_come_from_the_environment_or_are_given():
    assert site_folders({"LC2_BACKUP_SITES": "/a:/b:"}) == (Path("/a"), Path("/b"))
    assert site_folders({"LC2_BACKUP_SITES": "/a"}, given="/c") == (Path("/c"),)
    with pytest.raises(ConfigurationError, match="LC2_BACKUP_SITES is not set"):
        site_folders({})


def test_a_site_is_found_by_its_id_or_the_known_ones_are_told(tmp_path):
    write(tmp_path, "a.yaml", SITE)
    loaded = load_sites([tmp_path], environment={})
    assert loaded.site(SiteId("retail", "liferay")) is loaded.sites[0]
    with pytest.raises(ConfigurationError, match="no site 'retail/drupal'; hint: the sites are: retail/liferay"):
        loaded.site(SiteId("retail", "drupal"))


def test_the_demo_site_loads_with_the_places_that_the_demo_chose():
    loaded = load_sites([DEMO], environment={**DEMO_ENVIRONMENT, **OTHER_SITES_ENVIRONMENT})
    assert loaded.problems == ()
    sites = {str(definition.site_id): definition for definition in loaded.sites}
    ports = {name: definition.database.port for name, definition in sites.items()}
    assert ports == {"retail/liferay": 55432, "retail/drupal": 55433, "retail/bloomreach": 55434}
    liferay = sites["retail/liferay"]
    assert liferay.files is not None
    assert {rule.protection for rule in liferay.files.rules} == {"store"}
    assert all(definition.configuration is not None for definition in sites.values())


def test_the_demo_site_without_the_demo_says_what_is_not_set():
    definition, problems = load_site(DEMO / "retail-liferay.yaml", environment={})
    assert definition is None
    told = " ".join(str(problem) for problem in problems)
    assert all(variable in told for variable in DEMO_ENVIRONMENT)
