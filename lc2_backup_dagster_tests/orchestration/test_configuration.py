"""The configuration's asset, and what becomes of a day on which it fails: a partial point, kept, offered and red."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.orchestration.build import build_definitions
from lc2_backup_dagster.orchestration.partial_points import FOLLOWS
from lc2_backup_dagster.repository.layout import backup_prefix
from lc2_backup_dagster_tests.operations.fixtures import MakeSite
from lc2_backup_dagster_tests.operations.tiny_site import SITE, TinySite, open_window

DAILY = ("database_dump", "document_library", "configuration", "recovery_point")
POINTS = "retail__liferay__recovery_points"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "portal-ext.properties").write_text("company.default.name=Shop\nmail.session.mail.password=hidden\n")
    return folder


@pytest.fixture
def site(make_site: MakeSite, folder: Path) -> TinySite:
    return make_site(configuration={"source": {"kind": "directory", "path": str(folder)}})


class Deployment:
    """A site's code location in this process."""

    def __init__(self, site: TinySite, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        self.site, self.instance = site, instance
        self.definitions = build_definitions([site.open().definition], now=datetime.now(UTC))
        self.repository = self.definitions.get_repository_def()

    def run(
        self, *names: str, day: Window, config: Any = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def("retail__liferay__daily").execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(["retail", "liferay", name]) for name in names],
            partition_key=day.key,
            run_config=config,
            tags=tags,
            raise_on_error=False,
        )

    def follow(self, result: dg.ExecuteInProcessResult) -> dg.RunRequest | dg.SkipReason:
        """Ask the sensor what follows a run of one site that failed."""
        told = self.requests(result)
        if isinstance(told, list):
            [told] = told
        return told

    def requests(self, result: dg.ExecuteInProcessResult) -> list[dg.RunRequest] | dg.SkipReason:
        context = dg.build_run_status_sensor_context(
            "partial_points",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=self.instance,
            dagster_run=result.dagster_run,
            repository_def=self.repository,
        ).for_run_failure()
        return self.repository.get_sensor_def("partial_points")(context)


@pytest.fixture
def deployment(site: TinySite, instance, monkeypatch) -> Deployment:
    return Deployment(site, instance, monkeypatch)


def failures(result: dg.ExecuteInProcessResult) -> str:
    return "\n".join(
        str(event.step_failure_data.user_failure_data.description)
        if event.step_failure_data.user_failure_data
        else str(event.step_failure_data.error)
        for event in result.all_events
        if event.is_step_failure
    )


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.path[-1] for event in result.all_events if event.is_step_materialization]


def test_the_daily_run_binds_the_configuration_and_shows_what_changed(deployment: Deployment, folder: Path):
    day = open_window(WindowLength.DAILY)
    first = deployment.run(*DAILY, day=day)
    assert first.success, failures(first)
    assert materialized(first) == list(DAILY), "the files come directly after the dump"
    backups = deployment.site.repository.backups()
    assert backups[-1].summary["member_ids"] == [each.backup_id for each in backups[:3]]
    passed = {each.check_name: each.passed for each in first.get_asset_check_evaluations()}
    assert passed["export_complete"]
    [check] = [each for each in first.get_asset_check_evaluations() if each.check_name == "export_complete"]
    assert "1 secrets were left out" in str(check.description)

    (folder / "portal-ext.properties").write_text("company.default.name=Outlet\n")
    again = deployment.run("configuration", day=day)
    [event] = again.asset_materializations_for_node("retail__liferay__configuration")
    assert event.metadata["changed_documents"].value == 1
    assert "--component configuration" in event.metadata["diff"].value


def test_a_failed_configuration_costs_no_point(deployment: Deployment, folder: Path):
    day = open_window(WindowLength.DAILY)
    (folder / "portal-ext.properties").rename(folder.with_name("elsewhere"))
    failed = deployment.run(*DAILY, day=day)
    assert materialized(failed) == ["database_dump", "document_library"]
    assert "the export is empty" in failures(failed)

    request = deployment.follow(failed)
    assert isinstance(request, dg.RunRequest)
    assert [key.path[-1] for key in request.asset_selection or ()] == ["recovery_point"]
    assert (request.partition_key, request.job_name) == (day.key, "retail__liferay__daily")

    follower = deployment.run(
        "recovery_point", day=day, config=request.run_config, tags={FOLLOWS: failed.dagster_run.run_id}
    )
    assert not follower.success, "its window stays red"
    assert materialized(follower) == []
    assert "is partial: it has no configuration" in failures(follower)
    point = deployment.site.repository.backups(Component.RECOVERY_POINT)[-1]
    assert point.summary["missing"] == ["configuration"]
    assert deployment.instance.get_dynamic_partitions(POINTS) == [point.backup_id]
    assert isinstance(deployment.follow(follower), dg.SkipReason), "nothing is left that could go on"


def test_a_failed_dump_costs_neither_files_nor_configuration(deployment: Deployment, monkeypatch):
    day = open_window(WindowLength.DAILY)
    with monkeypatch.context() as patched:
        patched.setenv("TINY_DB_PASSWORD", "wrong")
        failed = deployment.run(*DAILY, day=day)
    assert materialized(failed) == []
    request = deployment.follow(failed)
    assert isinstance(request, dg.RunRequest)
    names = [key.path[-1] for key in request.asset_selection or ()]
    assert names == ["document_library", "configuration", "recovery_point"]
    follower = deployment.run(*names, day=day, config=request.run_config)
    assert materialized(follower) == ["document_library", "configuration"]
    assert "it has no database_dump" in failures(follower)


def test_runs_that_are_not_of_a_day_are_left_alone(deployment: Deployment, folder: Path):
    day = open_window(WindowLength.DAILY)
    (folder / "portal-ext.properties").unlink()
    alone = deployment.run("configuration", day=day)
    assert isinstance(deployment.follow(alone), dg.SkipReason)
    retried = deployment.run(*DAILY, day=day, tags={"dagster/will_retry": "true"})
    assert isinstance(deployment.follow(retried), dg.SkipReason)


def test_each_site_of_one_run_is_followed_by_a_run_of_its_own(deployment: Deployment, monkeypatch):
    """A backfill of several sites is one run for each window."""
    monkeypatch.setenv("TINY_DB_PASSWORD", "wrong")
    definition = deployment.site.open().definition
    other = definition.model_copy(update={"project": "outlet"})
    definitions = build_definitions([definition, other], now=datetime.now(UTC))
    failed = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=deployment.instance,
        asset_selection=[dg.AssetKey([project, "liferay", name]) for project in ("retail", "outlet") for name in DAILY],
        partition_key=open_window(WindowLength.DAILY).key,
        raise_on_error=False,
    )
    deployment.repository = definitions.get_repository_def()
    asked = deployment.requests(failed)
    assert isinstance(asked, list)
    assert [each.job_name for each in asked] == ["retail__liferay__daily", "outlet__liferay__daily"]
    assert len({each.run_key for each in asked}) == 2, "of two requests with one key the second is dropped"


def test_damage_of_the_export_before_is_no_failure_of_this_one(deployment: Deployment, folder: Path):
    day = open_window(WindowLength.DAILY)
    assert deployment.run("configuration", day=day).success
    [before] = deployment.site.repository.backups(Component.CONFIGURATION)
    prefix = backup_prefix(SITE, Component.CONFIGURATION, before.backup_id)
    store = deployment.site.repository.store
    store.delete([each.key for each in store.list(prefix) if "export.index" in each.key])
    (folder / "portal-ext.properties").write_text("company.default.name=Outlet\n")
    again = deployment.run("configuration", day=day)
    assert again.success, failures(again)
    assert materialized(again) == ["configuration"]


def test_a_window_behind_the_horizon_is_left_alone(deployment: Deployment, folder: Path):
    (folder / "portal-ext.properties").unlink()
    failed = deployment.run(*DAILY, day=open_window(WindowLength.DAILY))
    later = datetime.now(UTC) + timedelta(days=4000)
    deployment.repository = build_definitions([deployment.site.open().definition], now=later).get_repository_def()
    # Requested all the same, it would fail the sensor's tick, and the next one would look at the same run again.
    assert isinstance(deployment.follow(failed), dg.SkipReason)


def test_a_site_of_nothing_but_a_database_has_whole_points_that_are_restored(
    make_site: MakeSite, instance, monkeypatch
):
    site = make_site(files=None, restore__files=None)
    deployment = Deployment(site, instance, monkeypatch)
    day = open_window(WindowLength.DAILY)
    done = deployment.run("database_dump", "recovery_point", day=day)
    assert done.success, failures(done)
    point = site.repository.backups()[-1]
    assert (point.summary["partial"], point.summary["missing"]) == (False, [])
    [match] = [each for each in done.get_asset_check_evaluations() if each.check_name == "files_match_rows"]
    assert match.passed
    restored = deployment.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(["retail", "liferay", "restore"])],
        partition_key=point.backup_id,
        run_config={"ops": {"retail__liferay__restore": {"config": {"target_database": "only_rows"}}}},
        raise_on_error=False,
    )
    site.postgres.execute("DROP DATABASE IF EXISTS only_rows WITH (FORCE)")
    assert restored.success, failures(restored)
