"""The restore asset's choices of files: keys, prefixes, a directory; never over what is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.orchestration.restore_asset import restore_request
from lc2_backup_dagster.orchestration.restore_form import OnConflict, RestoreConfig, Scope
from lc2_backup_dagster_tests.operations.tiny_site import SEALED_ALONE, STORE_PREFIX, content_of, drop_database
from lc2_backup_dagster_tests.orchestration.test_site_assets import POINTS, failures, run


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_single_files_of_a_point_go_into_a_directory(backed_up, instance, monkeypatch, tmp_path: Path):
    site = backed_up.site.copied(tmp_path)
    point = backed_up.point.backup.backup_id
    instance.add_dynamic_partitions(POINTS, [point])
    chosen = {"scope": "FILES", "file_keys": [SEALED_ALONE], "target_directory": str(tmp_path / "chosen")}

    def restore(**config: Any) -> dg.ExecuteInProcessResult:
        return run(site, instance, monkeypatch, "restore", partition=point, config={**chosen, **config})

    plan = restore(dry_run=True)
    [event] = plan.asset_materializations_for_node("retail__liferay__restore")
    assert "of them 1 files, 2.0 MiB, would be written, and 0 that are there would stay" in event.metadata["plan"].value
    assert not (tmp_path / "chosen").exists()

    done = restore()
    assert done.success, failures(done)
    [event] = done.asset_materializations_for_node("retail__liferay__restore")
    assert event.metadata["files_written"].value == 1
    assert content_of(tmp_path / "chosen") == {SEALED_ALONE: (site.library / SEALED_ALONE).read_bytes()}

    again = restore()
    assert not again.success
    assert any("already" in each for each in failures(again))
    skipped = restore(on_conflict="SKIP")
    [event] = skipped.asset_materializations_for_node("retail__liferay__restore")
    assert (event.metadata["files_written"].value, event.metadata["files_kept"].value) == (0, 1)


def test_no_form_can_overwrite_or_delete():
    assert {each.value for each in OnConflict} == {"refuse", "skip"}
    for conflict in OnConflict:
        request = restore_request("point", RestoreConfig(scope=Scope.FILES, on_conflict=conflict))
        assert request.conflict is not Conflict.OVERWRITE
        assert not request.changes_what_is_there
    assert not {"delete_extra", "confirm", "checksum"} & RestoreConfig.model_fields.keys()


def test_a_whole_restore_tells_whether_rows_and_files_fit(backed_up, instance, monkeypatch, tmp_path: Path, postgres):
    site = backed_up.site.copied(tmp_path)
    point = backed_up.point.backup.backup_id
    instance.add_dynamic_partitions(POINTS, [point])
    form = {"target_database": "tiny_by_form", "remove_orphans": True}
    plan = run(site, instance, monkeypatch, "restore", partition=point, config={**form, "dry_run": True})
    [event] = plan.asset_materializations_for_node("retail__liferay__restore")
    assert "in the end 2 of them would be removed" in event.metadata["plan"].value
    try:
        done = run(site, instance, monkeypatch, "restore", partition=point, config=form)
    finally:
        drop_database(postgres, "tiny_by_form")
    assert done.success, failures(done)
    [event] = done.asset_materializations_for_node("retail__liferay__restore")
    told = {name: event.metadata[name].value for name in ("files_match_rows", "dangling_rows", "orphans_removed")}
    assert told == {"files_match_rows": True, "dangling_rows": 0, "orphans_removed": 2}


def test_a_form_chooses_files_as_the_command_line_does():
    form = RestoreConfig(scope=Scope.FILES, files_below=STORE_PREFIX, files=["*/1.0"], file_keys=["a", "b*"])
    selection = restore_request("point", form).selection
    assert (selection.prefix, selection.globs, selection.keys) == (STORE_PREFIX, ("*/1.0",), {"a", "b*"})


@pytest.mark.parametrize("scope", [Scope.FULL, Scope.DATABASE])
def test_a_directory_is_for_files_or_a_server(scope: Scope):
    with pytest.raises(ConfigurationError, match="target_directory is for scope 'files'"):
        restore_request("point", RestoreConfig(scope=scope, target_directory="/srv/restored"))
