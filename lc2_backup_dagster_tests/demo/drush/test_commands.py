"""The stand-in for drush on a real database: what it writes, what it prints, what it refuses."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from lc2_backup_dagster.applications.drupal.application import DrupalApplication
from lc2_backup_dagster.demo.drush.__main__ import main
from lc2_backup_dagster.demo.drush.console import Console
from lc2_backup_dagster.demo.seed.drupal_changes import change_drupal
from lc2_backup_dagster.engines.exports.yaml_document import check_yaml
from lc2_backup_dagster_tests.demo.fixtures_drupal import TEMPLATE


@dataclass
class Ran:
    code: int
    output: str
    errors: str


class Site:
    def __init__(self, server, store, home: Path) -> None:
        self.server, self.store, self.home = server, store, home
        self.environment = {
            "DRUPAL_DATABASE_URL": f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/"
            f"{server.database}",
            "DRUPAL_CONFIG_SYNC_DIRECTORY": str(home / "sync"),
            "HOME": str(home),
        }

    def drush(self, *arguments: str, answers: str = "") -> Ran:
        output, errors = io.StringIO(), io.StringIO()
        console = Console(output, errors, io.StringIO(answers))
        return Ran(main(arguments, environment=self.environment, console=console), output.getvalue(), errors.getvalue())

    def rows(self) -> list:
        return self.query("select collection, name, data from config order by 1, 2")

    def query(self, text: str) -> list:
        with self.server.connect() as connection:
            return connection.execute(text.encode()).fetchall()

    def change(self, turn: int = 1) -> None:
        with self.server.connect() as connection:
            change_drupal(connection, self.store, random=Random(turn))


@pytest.fixture
def site(copy_drupal, tmp_path) -> Site:
    return Site(*copy_drupal(), tmp_path)


@pytest.fixture
def reader(postgres, drupal_template, tmp_path) -> Site:
    """The seeded site itself, for commands that change nothing in its database."""
    return Site(postgres.server(TEMPLATE), drupal_template, tmp_path)


@pytest.fixture
def exported(site, tmp_path) -> Path:
    assert site.drush("config:export", f"--destination={tmp_path / 'export'}", "--yes").code == 0
    return tmp_path / "export"


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_an_export_has_one_document_per_object_and_a_directory_per_collection(reader, tmp_path):
    ran = reader.drush("cex", "--destination", str(tmp_path / "export"), "-y")
    assert ran.code == 0
    assert ran.errors == f" [success] Configuration successfully exported to {tmp_path}/export.\n"
    assert ran.output == f"{tmp_path}/export\n"
    found = files_of(tmp_path / "export")
    assert len(found) == 150
    assert len([path for path in found if "/" not in path]) == 144
    assert {path for path in found if path.startswith("language/de/")} >= {"language/de/system.site.yml"}
    assert set(DrupalApplication().configuration_required) <= set(found)
    assert found["node.type.article.yml"].decode().splitlines()[2:12] == [
        "status: true",
        "dependencies:",
        "  module:",
        "    - menu_ui",
        "third_party_settings:",
        "  menu_ui:",
        "    available_menus:",
        "      - main",
        "    parent: 'main:'",
        "name: Article",
    ]
    for content in found.values():
        check_yaml(content)


def test_two_exports_are_the_same_bytes(reader, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert reader.drush("config:export", f"--destination={first}").code == 0
    assert reader.drush("config:export", f"--destination={second}").code == 0
    assert files_of(first) == files_of(second)
    ran = reader.drush("config:export", f"--destination={first}")
    assert (ran.code, "is identical to the configuration in the export directory" in ran.errors) == (0, True)


def test_an_import_takes_the_table_back_byte_for_byte(site, exported, tmp_path):
    before = site.rows()
    site.change()
    assert site.rows() != before
    site.query("insert into cache_config (cid, checksum) values ('system.site', '0') returning 1")
    ran = site.drush("config:import", f"--source={exported}", "--yes")
    assert ran.code == 0, ran.errors
    assert site.rows() == before
    assert site.query("select * from cache_config") == []
    assert site.query("select * from semaphore") == []
    assert ran.output.startswith("+-------------+")
    assert "|             | block.block.olivero_notice | Delete    |\n" in ran.output
    assert "| language.de | system.site                | Update    |\n" in ran.output
    assert ran.output.endswith("\n // Import the listed configuration changes?: yes.\n\n")
    assert ran.errors.splitlines()[0] == " [notice] Synchronized configuration: delete block.block.olivero_notice."
    assert ran.errors.splitlines()[-2:] == [
        " [notice] Finalizing configuration synchronization.",
        " [success] The configuration was imported successfully.",
    ]
    again = site.drush("config:import", f"--source={exported}")
    assert (again.code, again.errors) == (0, " [notice] There are no changes to import.\n")


def test_an_export_replaces_yaml_only_and_asks_first(site, exported):
    (exported / ".htaccess").write_text("deny")
    (exported / "README.md").write_text("read me")
    (exported / "language/fr").mkdir()
    (exported / "language/fr/system.site.yml").write_text("name: x\n")
    before = files_of(exported)
    refused = site.drush("config:export", f"--destination={exported}", "--no")
    assert (refused.code, files_of(exported)) == (1, before)
    assert refused.errors.endswith(" [error]  Cancelled.\n")
    unanswered = site.drush("config:export", f"--destination={exported}")
    assert (unanswered.code, files_of(exported)) == (1, before)
    assert "Aborted." in unanswered.errors
    assert site.drush("config:export", f"--destination={exported}", answers="y\n").code == 0
    assert {".htaccess", "README.md"} <= set(files_of(exported))
    assert not (exported / "language/fr").exists()


def test_a_partial_import_deletes_nothing(site, exported, tmp_path):
    (tmp_path / "part").mkdir()
    text = (exported / "system.performance.yml").read_text().replace("max_age: 900", "max_age: 60")
    (tmp_path / "part/system.performance.yml").write_text(text)
    before = {(row[0], row[1]): row[2] for row in site.rows()}
    assert site.drush("cim", "--partial", f"--source={tmp_path / 'part'}", "-y").code == 0
    after = {(row[0], row[1]): row[2] for row in site.rows()}
    assert {key for key in before if before[key] != after[key]} == {("", "system.performance")}
    assert before.keys() == after.keys()


def drop(name: str):
    return lambda directory: (directory / f"{name}.yml").unlink()


def rewrite(name: str, old: str, new: str):
    def change(directory: Path) -> None:
        file = directory / f"{name}.yml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return change


def empty(directory: Path) -> None:
    for file in directory.rglob("*.yml"):
        file.unlink()


@pytest.mark.parametrize(
    ("break_export", "reason"),
    [
        (empty, "This import is empty and if applied would delete all of your configuration, so has been rejected."),
        (drop("system.site"), "This import does not contain system.site configuration, so has been rejected."),
        (rewrite("system.site", "uuid: ", "uuid: 0"), "Site UUID in source storage does not match the target storage."),
        (drop("core.extension"), "The core.extension configuration does not exist."),
        (rewrite("core.extension", "profile: standard", "profile: minimal"), "Cannot change the install profile from"),
        (rewrite("core.extension", "  dblog: 0\n", ""), "that will not be installed after import."),
        (drop("field.storage.node.body"), "that will not exist after import."),
    ],
)
def test_an_import_that_drupal_would_reject_changes_nothing(site, exported, break_export, reason):
    break_export(exported)
    before = site.rows()
    ran = site.drush("config:import", f"--source={exported}", "--yes")
    assert (ran.code, site.rows()) == (1, before)
    assert "In ConfigImportCommands.php:" in ran.errors
    assert "The import failed due to the following reasons:" in ran.errors
    assert reason in " ".join(ran.errors.split())
    assert site.query("select * from semaphore") == []


def test_a_broken_document_is_named(site, exported):
    (exported / "system.date.yml").write_text("a: [")
    before = site.rows()
    ran = site.drush("config:import", f"--source={exported}", "--yes")
    assert (ran.code, site.rows()) == (1, before)
    assert "Invalid data type in config system.date" in " ".join(ran.errors.split())


def test_two_imports_at_once_do_not_mix(site, exported):
    site.change()
    before = site.rows()
    site.query("insert into semaphore values ('config_importer', 'x', extract(epoch from now()) + 60) returning 1")
    ran = site.drush("config:import", f"--source={exported}", "--yes")
    assert (ran.code, site.rows()) == (0, before)
    assert " [warning] Another request may be synchronizing configuration already.\n" in ran.errors
    site.query("update semaphore set expire = 1 returning 1")
    assert "imported successfully" in site.drush("config:import", f"--source={exported}", "--yes").errors


def test_status_tells_what_differs_from_the_sync_directory(reader):
    assert reader.drush("config:export", "-y").code == 0
    same = reader.drush("config:status", "--format=json")
    assert (same.code, json.loads(same.output)) == (0, [])
    assert same.errors == " [notice] No differences between DB and sync directory.\n"
    (reader.home / "sync/user.flood.yml").unlink()
    (reader.home / "sync/extra.settings.yml").write_text("a: 1\n")
    rewrite("system.date", "first_day: 1", "first_day: 0")(reader.home / "sync")
    assert json.loads(reader.drush("cst", "--format=json").output) == {
        "extra.settings": {"name": "extra.settings", "state": "Only in sync dir"},
        "system.date": {"name": "system.date", "state": "Different"},
        "user.flood": {"name": "user.flood", "state": "Only in DB"},
    }
    assert reader.drush("cst", "--format=list", "--prefix=user.", "--state=Any").output.split() == [
        "user.flood", "user.mail", "user.role.administrator", "user.role.anonymous", "user.role.authenticated",
        "user.role.content_editor", "user.settings",
    ]  # fmt: skip


def test_the_overview_tells_the_site_and_never_its_password(reader):
    told = json.loads(reader.drush("status", "--format=json").output)
    assert (told["db-status"], told["bootstrap"], told["theme"]) == ("Connected", "Successful", "olivero")
    assert (told["db-name"], told["install-profile"]) == (reader.server.database, "standard")
    assert reader.server.password not in json.dumps(told)


def test_a_rebuild_empties_caches_only(site):
    assert site.query("select count(*) from cache_render") == [(3,)]
    ran = site.drush("cr")
    assert (ran.code, ran.errors) == (0, " [success] Cache rebuild complete.\n")
    assert site.query("select count(*) from cache_render") == [(0,)]
    assert site.query("select count(*) > 0 from cachetags") == [(True,)]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["config:export", "--destination=/nowhere/at/all"], "The destination parent directory does not exist."),
        (["config:export", "--destination=/etc/passwd"], "The destination is not a directory."),
        (["config:import", "--source=/nowhere"], "The source directory does not exist. The source is not a directory."),
        (["config:import", "--diff"], "unrecognized arguments: --diff"),
        (["sql:dump"], 'Command "sql:dump" is not defined.'),
    ],
)
def test_what_cannot_be_done_is_told_with_exit_code_1(reader, arguments, reason):
    ran = reader.drush(*arguments)
    assert ran.code == 1
    assert reason in ran.errors


@pytest.mark.parametrize("url", ["", "postgresql://u:secret-pw@127.0.0.1:1/x", "u:secret-pw"])
def test_a_database_that_is_not_to_be_had_fails_without_its_password(reader, url):
    reader.environment["DRUPAL_DATABASE_URL"] = url
    ran = reader.drush("config:export", "-y")
    assert ran.code == 1
    assert "secret-pw" not in ran.errors + ran.output


def test_it_runs_as_a_module(reader, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "lc2_backup_dagster.demo.drush", "config:export", "--destination=out", "--yes"],
        cwd=tmp_path,
        env={**reader.environment, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (0, "out\n")
    assert (tmp_path / "out/core.extension.yml").is_file()
