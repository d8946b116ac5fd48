"""The files asset of a site with shards: to Dagster's users the same asset, in one process the same run."""

from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import pytest

from lc2_backup_dagster.model.errors import ComponentBusy, ConfigurationError, StoreUnavailable
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.orchestration import sharded_files
from lc2_backup_dagster.orchestration.build import build_definitions
from lc2_backup_dagster.orchestration.executors import shard_executor
from lc2_backup_dagster.orchestration.interruptions import translate_errors
from lc2_backup_dagster.sites.schema import SiteDefinition
from lc2_backup_dagster_tests.operations.tiny_site import STORE_PREFIX, TinySite, open_window
from lc2_backup_dagster_tests.orchestration.test_site_assets import failures, run
from lc2_backup_dagster_tests.sites.site_text import SITE, definition_of

CUT = [STORE_PREFIX, "20097/0"]
NODE = "retail__liferay__document_library"
STEPS = [f"{NODE}.{NODE}__{step}" for step in ("begin", "shard_000", "shard_001", "shard_002", "commit")]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def sharded(make_site) -> TinySite:
    return make_site(files__shards=CUT)


def ended(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.step_key or "" for event in result.all_events if event.is_step_success]


def definition(*, shards: bool, project: str = "retail") -> SiteDefinition:
    text = SITE.replace("maxConcurrency: 4", "maxConcurrency: 4\n  shards: [a/, b/]") if shards else SITE
    return definition_of(text.replace("project: retail", f"project: {project}"))


def spec_of(definitions: dg.Definitions) -> dg.AssetSpec:
    [spec] = [each for each in definitions.resolve_all_asset_specs() if each.key.path[-1] == "document_library"]
    return spec


def test_nothing_that_a_user_of_the_asset_sees_depends_on_shards() -> None:
    whole, cut = (build_definitions([definition(shards=shards)], now=NOW) for shards in (False, True))
    one, other = spec_of(whole), spec_of(cut)
    for name in ("key", "deps", "partitions_def", "group_name", "description", "owners", "tags", "kinds"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.freshness_policy == other.freshness_policy
    assert one.freshness_policy is not None
    checks = [
        {
            each.name: (each.asset_key, each.description, each.blocking)
            for asset in definitions.get_repository_def().assets_defs_by_key.values()
            for each in asset.check_specs
        }
        for definitions in (whole, cut)
    ]
    assert checks[0] == checks[1]
    jobs = [sorted(job.name for job in definitions.get_repository_def().get_all_jobs()) for definitions in (whole, cut)]
    assert jobs[0] == jobs[1]


def test_a_site_without_shards_has_one_step_as_before() -> None:
    repository = build_definitions([definition(shards=False)], now=NOW).get_repository_def()
    asset = repository.assets_defs_by_key[dg.AssetKey(["retail", "liferay", "document_library"])]
    assert asset.op.name == NODE
    assert asset.op.pool == "retail__liferay__files"


def test_first_and_last_step_have_the_pool_and_the_shards_have_none() -> None:
    repository = build_definitions([definition(shards=True)], now=NOW).get_repository_def()
    asset = repository.assets_defs_by_key[dg.AssetKey(["retail", "liferay", "document_library"])]
    pools = {node.name.rpartition("__")[2]: node.definition.pool for node in asset.node_def.nodes}
    pool = "retail__liferay__files"
    assert pools == {"begin": pool, "shard_000": None, "shard_001": None, "shard_002": None, "commit": pool}


def test_two_sites_with_shards_are_served_together() -> None:
    sites = [definition(shards=True), definition(shards=True, project="bank")]
    job = build_definitions(sites, now=NOW).resolve_implicit_global_asset_job_def()
    assert job is not None


@pytest.mark.parametrize(
    ("shards", "name", "wanted"),
    [
        (True, None, dg.in_process_executor),
        (True, "", dg.in_process_executor),
        (True, "in_process", dg.in_process_executor),
        (True, "multiprocess", dg.multiprocess_executor),
        (True, "dagster:multi_or_in_process_executor", dg.multi_or_in_process_executor),
        (False, "multiprocess", dg.in_process_executor),
    ],
)
def test_only_the_daily_run_of_a_site_with_shards_has_another_executor(shards, name, wanted) -> None:
    definitions = build_definitions([definition(shards=shards)], now=NOW, shard_executor=name)
    assert definitions.resolve_job_def("retail__liferay__daily").executor_def is wanted
    assert definitions.resolve_job_def("retail__liferay__hourly").executor_def is dg.in_process_executor
    assert definitions.resolve_implicit_global_asset_job_def().executor_def is dg.in_process_executor


@pytest.mark.parametrize(("name", "told"), [
    ("threads", "cannot be loaded"), ("dagster:nothing", "cannot be loaded"), ("os:path", "is no executor"),
    (":x", "cannot be loaded"), ("nowhere.at_all:executor", "cannot be loaded"),
])  # fmt: skip
def test_an_executor_that_is_none_is_refused_when_the_location_loads(name, told) -> None:
    with pytest.raises(ConfigurationError, match=f"LC2_BACKUP_SHARD_EXECUTOR names '{name}', which .*{told[:6]}"):
        shard_executor(name)


def test_the_daily_run_captures_shards_between_dump_and_point(sharded, instance, monkeypatch) -> None:
    day = open_window(WindowLength.DAILY)
    names = ("database_dump", "document_library", "recovery_point")
    result = run(sharded, instance, monkeypatch, *names, partition=day.key)
    assert result.success, failures(result)
    assert ended(result) == ["retail__liferay__database_dump", *STEPS, "retail__liferay__recovery_point"]
    files, point = (sharded.repository.backups(each)[-1] for each in (Component.FILES, Component.RECOVERY_POINT))
    assert files.backup_id in point.summary["member_ids"]
    assert point.summary["dangling"] == 0
    [event] = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION
        and event.asset_key.path[-1] == "document_library"
    ]
    assert event.partition == day.key == files.window
    assert event.metadata["backup_id"].value == files.backup_id
    assert event.metadata["objects"].value == files.summary["objects"] > 50
    passed = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert {"checksums", "encrypted", "files_complete", "size_is_plausible", "files_match_rows"} == set(passed)
    record = instance.get_latest_data_version_record(event.asset_key)
    assert record is not None
    assert files.manifest_sha256 in str(record.event_log_entry.asset_materialization.tags)


def test_the_files_alone_are_materialized_by_hand_in_one_process(sharded, instance, monkeypatch) -> None:
    result = run(sharded, instance, monkeypatch, "document_library", partition=open_window(WindowLength.DAILY).key)
    assert result.success, failures(result)
    assert ended(result) == STEPS


def test_a_past_day_is_refused_by_the_first_step_and_nothing_else_is_started(sharded, instance, monkeypatch) -> None:
    yesterday = Window.around(datetime.now(UTC) - timedelta(days=1), length=WindowLength.DAILY)
    result = run(sharded, instance, monkeypatch, "document_library", partition=yesterday.key)
    assert not result.success
    assert ended(result) == []
    assert any("keeps no versions" in each and "today's data" in each for each in failures(result))


def test_a_shard_that_fails_is_tried_again_and_the_others_are_captured_all_the_same(
    sharded, instance, monkeypatch
) -> None:
    monkeypatch.setattr(sharded_files, "translate_errors", partial(translate_errors, seconds_to_wait=0))
    day = open_window(WindowLength.DAILY).key
    real, tries = sharded_files.capture_shard, []

    def failing(context, number, **options):
        tries.append(number)
        if number == 1:
            raise StoreUnavailable("the source is away")
        return real(context, number, **options)

    monkeypatch.setattr(sharded_files, "capture_shard", failing)
    result = run(sharded, instance, monkeypatch, "document_library", partition=day)
    assert not result.success
    assert sorted(tries) == [0, 1, 1, 1, 2], "twice again, and the others all the same"
    assert sorted(ended(result)) == sorted(STEPS[:2] + STEPS[3:4])
    assert len(sharded.repository.log.history().running) == 1, "to be gone on with: test_shards_in_processes.py"


def test_a_component_that_another_run_holds_is_asked_for_again(sharded, instance, monkeypatch) -> None:
    monkeypatch.setattr(sharded_files, "BUSY_SECONDS", 0)
    monkeypatch.setattr(sharded_files, "_turns", lambda definition: 5)
    real, turns = sharded_files.begin_shards, []

    def busy(*args, **options):
        turns.append(options["ticket"])
        if len(turns) < 4:
            raise ComponentBusy("retail/liferay/files is held by attempt x")
        return real(*args, **options)

    monkeypatch.setattr(sharded_files, "begin_shards", busy)
    result = run(sharded, instance, monkeypatch, "document_library", partition=open_window(WindowLength.DAILY).key)
    assert result.success, failures(result)
    assert len(turns) == 4
    assert len(set(turns)) == 1


def test_a_run_waits_about_as_long_as_another_one_may_take() -> None:
    assert sharded_files._turns(definition(shards=True)) * sharded_files.BUSY_SECONDS == 86400
