"""A site's assets in Dagster: what they materialize, what their checks say, and which windows they refuse."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.orchestration.build import build_definitions, refuse_problems
from lc2_backup_dagster.orchestration.interruptions import translate_errors
from lc2_backup_dagster.sites.loader import load_sites
from lc2_backup_dagster_tests.operations.fixtures import MakeSite
from lc2_backup_dagster_tests.operations.tiny_site import TinySite, open_window

POINTS = "retail__liferay__recovery_points"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def run(
    site: TinySite,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    *names: str,
    partition: str,
    config: dict[str, object] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run some of the site's assets as the UI does, in this process."""
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    definitions = build_definitions([site.open().definition], now=datetime.now(UTC))
    assets = [each for each in definitions.resolve_all_asset_specs() if each.key.path[-1] in names]
    job = definitions.resolve_implicit_global_asset_job_def()
    run_config = {"ops": {"retail__liferay__restore": {"config": config}}} if config else None
    return job.execute_in_process(
        instance=instance,
        asset_selection=[each.key for each in assets],
        partition_key=partition,
        run_config=run_config,
        raise_on_error=False,
    )


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    return [
        event.step_failure_data.user_failure_data.description
        if event.step_failure_data.user_failure_data
        else str(event.step_failure_data.error)
        for event in result.all_events
        if event.is_step_failure
    ]


def test_the_hourly_run_materializes_a_base_backup_with_numbers_that_plot(site, instance, monkeypatch):
    window = open_window(WindowLength.HOURLY)
    result = run(site, instance, monkeypatch, "database", partition=window.key)
    assert result.success
    [event] = result.asset_materializations_for_node("retail__liferay__database")
    backup = site.repository.backups()[-1]
    assert event.partition == window.key == backup.window
    assert event.metadata["backup_id"].value == backup.backup_id
    assert event.metadata["kind"].value == "full"
    assert event.metadata["manifest_sha256"].value == backup.manifest_sha256
    for name in ("bytes", "stored_bytes"):
        assert event.metadata[name].value > 0
    assert window.start <= datetime.fromtimestamp(event.metadata["restorable_until"].value, UTC) < window.end
    passed = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert passed == {"checksums": True, "chain_complete": True, "encrypted": True, "size_is_plausible": True}

    again = run(site, instance, monkeypatch, "database", partition=open_window(WindowLength.HOURLY).key)
    [event] = again.asset_materializations_for_node("retail__liferay__database")
    assert event.metadata["kind"].value == "incremental"
    assert event.metadata["parent"].value == event.metadata["full_backup"].value == backup.backup_id
    assert event.metadata["chain_length"].value == 1
    assert event.metadata["strategy"].value.startswith(f"incremental: only blocks changed since {backup.backup_id}")


def test_the_daily_run_binds_a_point_that_restore_offers_and_restores(
    make_site: MakeSite, postgres: PostgresServer, instance, monkeypatch
):
    site = make_site()
    day = open_window(WindowLength.DAILY)
    names = ("database_dump", "document_library", "recovery_point")
    result = run(site, instance, monkeypatch, *names, partition=day.key)
    assert result.success, failures(result)
    point = site.repository.backups()[-1]
    assert instance.get_dynamic_partitions(POINTS) == [point.backup_id]

    plan = run(site, instance, monkeypatch, "restore", partition=point.backup_id, config={"dry_run": True})
    [event] = plan.asset_materializations_for_node("retail__liferay__restore")
    assert event.metadata["dry_run"].value is True
    assert "no blockers" in event.metadata["plan"].value

    target = "restored_by_dagster"
    done = run(site, instance, monkeypatch, "restore", partition=point.backup_id, config={"target_database": target})
    try:
        assert done.success, failures(done)
        again = run(
            site, instance, monkeypatch, "restore", partition=point.backup_id, config={"target_database": target}
        )
        assert not again.success
        assert any("exists" in each and "not empty" in each for each in failures(again)), "every blocker at once"
    finally:
        postgres.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")


def test_a_past_window_fails_for_good_and_names_what_can_be_restored(site, instance, monkeypatch):
    """L-32: nothing of today is filed under yesterday."""
    yesterday = Window.around(datetime.now(UTC) - timedelta(days=1), length=WindowLength.DAILY)
    result = run(site, instance, monkeypatch, "database_dump", partition=yesterday.key)
    assert not result.success
    assert any(
        "today's data" in each and "nothing of this component can be restored yet" in each for each in failures(result)
    )
    assert site.repository.log.history().backups == {}
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data is not None, "a Failure, which no retry policy starts again"


def test_a_failed_hook_fails_its_asset_and_shows_its_output(make_site: MakeSite, instance, monkeypatch):
    site = make_site()
    command = ["/bin/sh", "-c", "echo the shop is closed; echo password=hunter2; exit 3"]
    site = site.changed(site.root, hooks=[{"name": "quiesce", "command": command, "before": "database_dump"}])
    result = run(site, instance, monkeypatch, "database_dump", partition=open_window(WindowLength.DAILY).key)
    assert not result.success
    [told] = failures(result)
    assert "hook quiesce ended with exit code 3; its output ends: the shop is closed | password=" in told
    [failure] = [event for event in result.all_events if event.is_step_failure]
    shown = failure.step_failure_data.user_failure_data
    assert shown.metadata["output"].value == "the shop is closed\npassword=‹hidden›\n"
    assert "hunter2" not in str(shown)
    assert site.repository.log.history().backups == {}


def test_a_point_without_files_says_which_asset_to_materialize(site, instance, monkeypatch):
    day = open_window(WindowLength.DAILY)
    assert run(site, instance, monkeypatch, "database_dump", partition=day.key).success
    result = run(site, instance, monkeypatch, "recovery_point", partition=day.key)
    assert any("has no document_library captured after the dump" in each for each in failures(result))


def test_a_database_that_is_away_is_tried_again_and_nothing_is_listed(make_site: MakeSite, instance, monkeypatch):
    site = make_site(database__port=1)
    soon = partial(translate_errors, seconds_to_wait=0)
    monkeypatch.setattr("lc2_backup_dagster.orchestration.capture_assets.translate_errors", soon)
    result = run(site, instance, monkeypatch, "database", partition=open_window(WindowLength.HOURLY).key)
    assert not result.success
    assert any(event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)


def test_every_definition_has_the_status_and_shape_it_is_documented_with(site, monkeypatch):
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    definitions = build_definitions([site.open().definition], now=datetime(2026, 11, 23, 12, tzinfo=UTC))
    repository = definitions.get_repository_def()
    prefix = "retail/liferay"
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert sorted(specs) == [
        f"{prefix}/{name}" for name in ("database", "database_dump", "document_library", "recovery_point", "restore")
    ]
    assert all(spec.description and spec.group_name == "retail__liferay" for spec in specs.values())
    hourly = specs[f"{prefix}/database"].partitions_def.get_partition_keys(datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert (hourly[0], hourly[-1]) == ("2026-11-16-00:00", "2026-11-23-12:00")
    daily = specs[f"{prefix}/recovery_point"].partitions_def.get_partition_keys(datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert (daily[0], daily[-1]) == ("2026-11-16", "2026-11-23")
    pools = {
        each.key.to_user_string(): each_def.op.pool
        for each_def in repository.assets_defs_by_key.values()
        for each in each_def.specs
    }
    assert len(set(pools.values())) == 5 and None not in pools.values()
    schedules = {each.name: (each.cron_schedule, each.default_status) for each in repository.schedule_defs}
    running = dg.DefaultScheduleStatus.RUNNING
    assert schedules == {
        "retail__liferay__hourly_schedule": ("0 * * * *", running),
        "retail__liferay__daily_schedule": ("0 2 * * *", running),
        "retail__liferay__verify_schedule": ("0 5 * * *", running),
    }
    assert [each.name for each in repository.get_all_jobs() if not each.name.startswith("__")] == [
        "retail__liferay__daily",
        "retail__liferay__hourly",
        "retail__liferay__verify",
    ]


def test_a_tick_is_for_the_window_it_lies_in(site, monkeypatch):
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    definitions = build_definitions([site.open().definition], now=datetime(2026, 11, 23, 12, tzinfo=UTC))
    repository = definitions.get_repository_def()
    schedule = repository.get_schedule_def("retail__liferay__hourly_schedule")
    tick = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    with dg.build_schedule_context(scheduled_execution_time=tick, repository_def=repository) as context:
        [request] = schedule.evaluate_tick(context).run_requests
    assert request.partition_key == "2026-11-23-02:00"


def test_a_wrong_site_file_fails_its_own_location_and_no_other(site, tmp_path: Path):
    (tmp_path / "bad.yaml").write_text("apiVersion: backup.lc2.io/v1alpha1\nkind: Site\nproject: Retail\n")
    loaded = load_sites([tmp_path], environment={})
    assert loaded.sites == ()
    with pytest.raises(Exception, match=r"bad\.yaml:3.*project"):
        refuse_problems(loaded.problems)
    assert refuse_problems([]).resolve_all_asset_specs() == []
