"""What follows a restore, in Dagster: asked for in the launch form, shown as metadata, red when it fails."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lc2_backup_dagster.demo.servers.bloomreach import BloomreachServer
from lc2_backup_dagster.demo.servers.bloomreach_faults import answering
from lc2_backup_dagster.orchestration.build import build_definitions
from lc2_backup_dagster.orchestration.restore_asset import restore_request
from lc2_backup_dagster.orchestration.restore_form import RestoreConfig
from lc2_backup_dagster_tests.operations.offline_site import (
    a_site_with_an_import_and_a_cdn,
    captured_configuration,
    captured_files,
    opened,
)
from lc2_backup_dagster_tests.operations.tiny_site import TinySite

NODE = "retail__drupal__restore"


@pytest.fixture
def server() -> Iterator[BloomreachServer]:
    with BloomreachServer() as running:
        yield running


@pytest.fixture
def site(server: BloomreachServer, tmp_path: Path) -> TinySite:
    return a_site_with_an_import_and_a_cdn(tmp_path, cdn=f"{server.url}/cdn/purge")


@pytest.fixture
def run(site: TinySite, monkeypatch) -> Iterator[Any]:
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    definitions = build_definitions([opened(site).definition], now=datetime.now(UTC))
    with dg.DagsterInstance.ephemeral() as instance:

        def restore(point: str, **form: Any) -> dg.ExecuteInProcessResult:
            instance.add_dynamic_partitions("retail__drupal__recovery_points", [point])
            return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(["retail", "drupal", "restore"])],
                partition_key=point,
                run_config={"ops": {NODE: {"config": form}}},
                raise_on_error=False,
            )

        yield restore


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(NODE)
    return {name: value.value for name, value in event.metadata.items()}


def failure_of(result: dg.ExecuteInProcessResult) -> Any:
    [event] = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data


def test_an_import_is_planned_carried_out_and_shown(site: TinySite, run, tmp_path: Path):
    point = captured_configuration(site)
    form = {"scope": "CONFIGURATION", "import_configuration": True}
    plan = metadata_of(run(point, **form, dry_run=True))
    assert "then the configuration is imported: `" in plan["plan"]
    assert "configuration_import" not in plan
    told = metadata_of(run(point, **form))
    assert told["configuration_import"] == f"configuration imported from {tmp_path / 'restored' / point}"
    assert told["configuration_import_done"] is True


def test_a_cdn_that_refuses_makes_the_run_red_with_all_that_was_restored(site: TinySite, server, run):
    point = captured_files(site)
    changed = site.root / "library" / "sites/default/files" / "a.jpg"
    changed.unlink()
    server.fail(answering(403), "/cdn/", times=99)
    form = {"scope": "FILES", "target_bucket": str(site.root / "library"), "target_prefix": "", "on_conflict": "SKIP"}
    result = run(point, **form)
    assert not result.success
    assert changed.read_text() == "a.jpg"
    failure = failure_of(result)
    assert f"{point} is restored, all of its data is there; but what was to follow failed: CDN: " in failure.description
    told = {name: value.value for name, value in failure.metadata.items()}
    assert (told["files_written"], told["cdn_invalidation_done"]) == (1, False)
    assert "by hand" in told["cdn_invalidation_hint"]
    assert server.invalidated[0]["paths"] == ["/media/sites/default/files/a.jpg"]


def test_a_whole_server_has_nothing_that_follows(site: TinySite, run):
    result = run(captured_files(site), scope="SERVER", target_directory="/nowhere/data", invalidate_cdn=True)
    assert "for restores of a configuration and of files" in failure_of(result).description


@pytest.mark.parametrize("told", [None, True, False])
def test_the_form_asks_as_the_command_line_does(told: bool | None):
    request = restore_request("point", RestoreConfig(import_configuration=bool(told), invalidate_cdn=told))
    assert (request.import_configuration, request.invalidate_cdn) == (bool(told), told)
    unasked = restore_request("point", RestoreConfig())
    assert (unasked.import_configuration, unasked.invalidate_cdn) == (False, None)
