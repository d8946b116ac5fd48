"""R-10 from end to end: drush exports, the service keeps the day, the site changes, the day before comes back."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lc2_backup_dagster.applications.registry import application_of
from lc2_backup_dagster.engines.exports.cleaning import CleanedSource
from lc2_backup_dagster.engines.exports.directory_source import DirectorySource
from lc2_backup_dagster.engines.hooks.hook import Hook
from lc2_backup_dagster.engines.hooks.local.runner import LocalRunner
from lc2_backup_dagster.engines.hooks.run import BoundHook, run_hooks
from lc2_backup_dagster.model.globs import GlobSet
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.browse.stored_exports import stored_export
from lc2_backup_dagster.operations.capture.configuration import capture_configuration
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster.operations.site_context import ConfigurationAccess, ConfigurationImport, ExportNeeds
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.demo.drush.test_commands import Site
from lc2_backup_dagster_tests.operations.files_site import FilesSite

DRUPAL = application_of("drupal")


def test_a_day_of_drupals_configuration_is_kept_compared_and_imported_again(copy_drupal, tmp_path):
    drupal, kept = Site(*copy_drupal(), tmp_path), FilesSite(tmp_path / "kept")
    excluded = GlobSet(DRUPAL.configuration_excludes)

    place = tmp_path / "config-export"
    command = (
        sys.executable,
        "-m",
        "lc2_backup_dagster.demo.drush",
        "config:export",
        f"--destination={place}",
        "--yes",
    )
    runner = LocalRunner({**drupal.environment, "PYTHONPATH": str(Path(__file__).parents[3])})
    hook = BoundHook(Hook("config-export", command, 60, True, str(place)), runner, Component.CONFIGURATION)
    log: list[str] = []

    @contextmanager
    def export(needs: ExportNeeds) -> Iterator[CleanedSource]:
        (done,) = run_hooks([hook], artifacts=needs.artifacts, say=log.append)
        assert done.artifact is not None
        source = DirectorySource(done.artifact)
        yield CleanedSource(source, selects=lambda path: not excluded.match(path), clean=DRUPAL.clean_configuration)

    access = ConfigurationAccess(export, tuple(DRUPAL.configuration_required), "drush config:export")
    context = replace(kept.context, configuration=access)

    def capture() -> CommittedBackup:
        now = kept.clock.now()
        return capture_configuration(context, window=kept.today, asked_at=now, initiator=TESTER).backup

    before, first = drupal.rows(), capture()
    kept.clock.move(days=1)
    assert capture().summary["same_as"] == first.backup_id
    assert any("[success] Configuration successfully exported" in line for line in log)
    assert any("is identical to the configuration in the export directory" in line for line in log)

    drupal.change()
    kept.clock.move(days=1)
    second = capture()
    changes = list(stored_export(kept.repository, second).document_changes_since(stored_export(kept.repository, first)))
    assert {each.path for each in changes} == {
        "block.block.olivero_notice.yml",
        "language/de/system.site.yml",
        "system.performance.yml",
        "system.site.yml",
    }
    keys = {(each.path, key.key) for each in changes for key in each.keys or ()}
    assert {("system.site.yml", "slogan"), ("system.performance.yml", "cache.page.max_age")} <= keys

    target = Path(tmp_path / "restored")
    request = RestoreRequest(
        first.backup_id, RestoreScope.CONFIGURATION, configuration_directory=target, import_configuration=True
    )
    told = ConfigurationImport((*command[:3], "config:import", "--source={directory}", "--yes"), 60, runner)
    context = replace(context, restore=replace(context.restore, configuration_import=told))
    done = restore(context, request, now=kept.clock.now(), initiator=TESTER, say=log.append)
    assert done.failure is None
    assert any("The configuration was imported successfully" in line for line in log)
    assert drupal.rows() == before
