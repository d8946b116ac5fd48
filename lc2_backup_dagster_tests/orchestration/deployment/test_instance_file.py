"""dagster.yaml and workspace.yaml, as a deployment uses them, against a real PostgreSQL."""

import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pytest
import yaml

from lc2_backup_dagster.demo.servers.dagster import CODE_LOCATIONS, CodeLocation
from lc2_backup_dagster.orchestration.deployment.run_coordinator import TaggingQueuedRunCoordinator
from lc2_backup_dagster.orchestration.deployment.run_launcher import MonitoredRunLauncher
from lc2_backup_dagster_tests.orchestration.deployment.conftest import PROJECT_ROOT


@pytest.fixture
def instance(
    tmp_path: Path, dagster_storage: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    for name, value in dagster_storage.items():
        monkeypatch.setenv(name, value)
    shutil.copy(PROJECT_ROOT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as loaded:
        yield loaded


def test_sqlalchemy_is_a_version_that_dagster_postgres_works_with() -> None:
    assert version("sqlalchemy") < "2.1"


def test_an_event_is_written_to_postgresql_and_read_back(instance: dg.DagsterInstance) -> None:
    key = dg.AssetKey(["retail", "liferay", "database"])
    instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata={"bytes": 42}))
    event = instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["bytes"].value == 42
    configured = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    assert configured["storage"]["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"


def test_the_instance_uses_our_coordinator_and_launcher_with_the_limits_of_r_27(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_coordinator, TaggingQueuedRunCoordinator)
    assert isinstance(instance.run_launcher, MonitoredRunLauncher)
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    limits = {limit["key"]: limit for limit in queue.tag_concurrency_limits if isinstance(limit["value"], dict)}
    assert limits["lc2/backup_of_project"]["limit"] == 2
    fixed = {
        limit["value"]: limit["limit"] for limit in queue.tag_concurrency_limits if isinstance(limit["value"], str)
    }
    assert fixed == {"backup": 10, "restore": 5}
    assert queue.max_concurrent_runs >= sum(fixed.values())
    assert instance.run_coordinator.dequeue_interval_seconds == 1


def test_nothing_dead_blocks_for_longer_than_a_minute(instance: dg.DagsterInstance) -> None:
    monitoring = instance.run_monitoring_settings
    until_noticed = max(monitoring["start_timeout_seconds"], monitoring["cancel_timeout_seconds"])
    assert (
        until_noticed + monitoring["free_slots_after_run_end_seconds"] + 2 * monitoring["poll_interval_seconds"] <= 60
    )


def test_failed_steps_are_not_run_again_automatically_and_nothing_is_reported_elsewhere(
    instance: dg.DagsterInstance,
) -> None:
    assert instance.run_retries_enabled
    assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False
    assert not instance.telemetry_enabled


def test_the_workspace_names_the_locations_that_the_demo_serves() -> None:
    workspace = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text())
    named = [CodeLocation(**entry["python_module"]) for entry in workspace["load_from"]]
    assert tuple(named) == CODE_LOCATIONS
