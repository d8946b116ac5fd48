"""The restore asset's scope `server`: the whole server of a recovery point, into a directory; overwriting nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lc2_backup_dagster.engines.postgres.servers.scratch import start_and_ask
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.orchestration.restore_form import RestoreConfig, Scope, Target
from lc2_backup_dagster.orchestration.restore_server_run import wished_target
from lc2_backup_dagster_tests.operations.fixtures_chains import ChainSite, receiving
from lc2_backup_dagster_tests.operations.tiny_site import open_window
from lc2_backup_dagster_tests.orchestration.test_site_assets import failures, run

DAILY = ("database_dump", "document_library", "recovery_point")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_a_point_is_restored_as_a_server_and_a_directory_that_holds_something_is_refused(
    wal_liferay: ChainSite, instance, monkeypatch, open_place: Path
):
    site = wal_liferay.site
    with receiving(wal_liferay):
        assert run(site, instance, monkeypatch, "database", partition=open_window(WindowLength.HOURLY).key).success
        day = run(site, instance, monkeypatch, *DAILY, partition=open_window(WindowLength.DAILY).key)
        assert day.success, failures(day)
    point = site.repository.backups()[-1]
    base = site.repository.manifest(point.backup_id).details["physical"]["base"]
    wal_liferay.postgres.execute("INSERT INTO marks VALUES ('later')", database=site.database.database)

    def restore(**config: Any) -> dg.ExecuteInProcessResult:
        wish = {"scope": "SERVER", "target_directory": str(open_place / "data"), **config}
        return run(site, instance, monkeypatch, "restore", partition=point.backup_id, config=wish)

    plan = restore(dry_run=True)
    [event] = plan.asset_materializations_for_node("retail__liferay__restore")
    assert "no blockers" in event.metadata["plan"].value
    assert base in event.metadata["plan"].value
    assert not (open_place / "data").exists()

    done = restore()
    assert done.success, failures(done)
    [event] = done.asset_materializations_for_node("retail__liferay__restore")
    assert event.metadata["chain"].value == [base]
    assert site.database.database in event.metadata["databases"].value
    found = start_and_ask(open_place / "data", "SELECT count(*) FROM marks", database=site.database.database)
    assert found == [(0,)], "the server is of the point's moment"

    again = restore()
    assert not again.success
    assert any("is not empty" in each for each in failures(again))


def test_the_form_asks_for_a_directory_and_takes_nothing_that_it_would_ignore(site, instance, monkeypatch):
    window = open_window(WindowLength.DAILY).key
    instance.add_dynamic_partitions("retail__liferay__recovery_points", [window])
    for config, expected in (
        ({"scope": "SERVER"}, "needs target_directory"),
        ({"scope": "SERVER", "target_directory": "relative"}, "needs target_directory"),
        ({"scope": "SERVER", "target_directory": "/x", "target_database": "y"}, "takes no target_database"),
    ):
        result = run(site, instance, monkeypatch, "restore", partition=window, config=config)
        assert any(expected in each for each in failures(result)), config


def test_every_kind_of_target_is_read_and_a_time_without_a_zone_is_refused():
    assert wished_target(RestoreConfig()) is None
    latest = wished_target(RestoreConfig(recovery_target=Target.LATEST))
    assert latest is not None
    assert latest.kind == "latest"
    at = wished_target(RestoreConfig(recovery_target=Target.TIME, recovery_value="2026-11-23T03:00:00+01:00"))
    assert at is not None
    assert at.value == "2026-11-23T02:00:00.000000Z"
    with pytest.raises(ConfigurationError):
        wished_target(RestoreConfig(recovery_target=Target.TIME, recovery_value="2026-11-23T02:00:00"))
    with pytest.raises(ConfigurationError, match="mean nothing"):
        wished_target(RestoreConfig(recovery_value="2026-11-23T02:00:00Z"))
    assert RestoreConfig().scope is Scope.FULL
