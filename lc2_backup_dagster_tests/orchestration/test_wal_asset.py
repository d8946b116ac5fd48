"""Archived WAL in Dagster: an asset that no run makes, reported from what lies in the repository (L-13)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.operations.wal.restorable_until import Proven, Restorable, measure_restorable
from lc2_backup_dagster.orchestration import wal_asset
from lc2_backup_dagster.orchestration.build import build_definitions
from lc2_backup_dagster.orchestration.wal_reports import Due, Reported, decode, due, encode
from lc2_backup_dagster.resources.sites import SitesResource
from lc2_backup_dagster_tests.operations.fixtures_chains import ChainSite, archived_until, receiving
from lc2_backup_dagster_tests.operations.tiny_site import until

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RPO = timedelta(minutes=5)
KEY = dg.AssetKey(["retail", "liferay", "wal"])
PROVEN = Proven("b1", Lsn(0x3000000, 1), 3, NOW)


@pytest.fixture
def archiving(chain_site: ChainSite) -> ChainSite:
    return chain_site.changed(database__wal__enabled=True, database__wal__partialSeconds=1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


class Sensor:
    """The site's sensor, evaluated as the daemon does: its cursor lives on, its events are stored."""

    def __init__(self, site: ChainSite, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in site.site.environment.items():
            monkeypatch.setenv(name, value)
        self.definitions = build_definitions([site.site.open().definition], now=datetime.now(UTC))
        self.repository = self.definitions.get_repository_def()
        self.instance = instance
        self.cursor: str | None = None

    def look(self) -> list[Any]:
        sensor = self.repository.get_sensor_def("retail__liferay__wal_sensor")
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=self.repository,
            resources={"sites": SitesResource()},
        ) as context:
            found = sensor.evaluate_tick(context)
        self.cursor = found.cursor
        return list(found.asset_events)


def kinds(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_sites_without_archived_wal_have_neither_asset_nor_sensor(chain_site: ChainSite, instance, monkeypatch):
    sensor = Sensor(chain_site, instance, monkeypatch)
    assert KEY not in {spec.key for spec in sensor.definitions.resolve_all_asset_specs()}
    assert [each.name for each in sensor.repository.sensor_defs] == ["partial_points"]


def test_the_asset_is_external_and_its_freshness_is_the_rpo(archiving: ChainSite, instance, monkeypatch):
    sensor = Sensor(archiving.changed(policies__freshness__walRpoMinutes=7), instance, monkeypatch)
    [spec] = [each for each in sensor.definitions.resolve_all_asset_specs() if each.key == KEY]
    assert spec.partitions_def is None
    assert KEY not in sensor.repository.asset_graph.executable_asset_keys
    policy = spec.freshness_policy
    assert isinstance(policy, dg.FreshnessPolicy)
    assert policy.fail_window.to_timedelta() == timedelta(minutes=7)
    [definition] = [each for each in sensor.repository.sensor_defs if each.name != "partial_points"]
    assert definition.default_status is dg.DefaultSensorStatus.RUNNING
    assert "nothing can be restored" in "".join(str(each.description) for each in sensor.look())


def test_what_advanced_is_materialized_with_its_numbers_and_what_stands_still_is_not(
    archiving: ChainSite, instance, monkeypatch
):
    sensor = Sensor(archiving, instance, monkeypatch)
    with receiving(archiving):
        base = archiving.capture()
        archiving.write(1, 2)
        reached = archived_until(archiving)
        [materialization, check] = sensor.look()
        assert kinds([materialization, check]) == ["AssetMaterialization", "AssetCheckEvaluation"]
        shown = {name: value.value for name, value in materialization.metadata.items()}
        assert materialization.asset_key == KEY
        assert datetime.fromtimestamp(shown["restorable_until"], UTC) >= reached
        assert shown["base"] == base.backup.backup_id
        assert shown["timeline"] == 1
        assert 0 <= shown["lag_seconds"] < 60
        assert shown["slot_wal_status"] == "reserved"
        assert check.passed
        assert sensor.look() == [], "once is enough within a fifth of the RPO"
    assert "every commit before" in check.description


def test_an_archive_that_stands_still_fails_the_check_within_the_rpo_and_is_reported_no_more(
    archiving: ChainSite, instance, monkeypatch
):
    """L-13: a frozen bucket looks like this, whatever its receiver believes."""
    monkeypatch.setattr(wal_asset, "_rpo_seconds", lambda definition: 2.0)
    sensor = Sensor(archiving, instance, monkeypatch)
    with receiving(archiving):
        archiving.capture()
        archived_until(archiving)
        sensor.look()
    events: list[Any] = []

    def alarmed() -> bool:
        events.extend(sensor.look())
        return any(kinds([each]) == ["AssetCheckEvaluation"] and not each.passed for each in events)

    until(alarmed, what="the check fails")
    assert "does lc2-backup wal-receive run" in events[-1].description
    assert events[-1].severity is dg.AssetCheckSeverity.ERROR
    assert sensor.look() == []


def test_the_check_measures_when_it_is_executed_by_hand(archiving: ChainSite, instance, monkeypatch):
    sensor = Sensor(archiving, instance, monkeypatch)
    archiving.capture()
    job = sensor.definitions.resolve_implicit_global_asset_job_def()
    check = dg.AssetCheckKey(KEY, wal_asset.CHECK)
    result = job.get_subset(asset_selection=set(), asset_check_selection={check}).execute_in_process(instance=instance)
    [evaluation] = result.get_asset_check_evaluations()
    assert evaluation.passed
    assert evaluation.metadata["segments"].value == 0


def seen(minutes_ago: float | None, **changes: Any) -> Restorable:
    until = NOW - timedelta(minutes=minutes_ago) if minutes_ago is not None else None
    lag = None if minutes_ago is None else minutes_ago * 60
    return Restorable("b1", until, Lsn(1, 1), 1, lag, None, None, None, changes.get("proven"))


@pytest.mark.parametrize(
    ("measured", "passed", "before", "expected"),
    [
        pytest.param(seen(0.1), True, Reported(), Due(True, True), id="first look"),
        pytest.param(
            seen(0.1), True, Reported(None, NOW - RPO, NOW - RPO, True, NOW), Due(True, False), id="advanced"
        ),
        pytest.param(
            seen(0.1), True, Reported(None, NOW - RPO, NOW - timedelta(seconds=30), True, NOW), Due(False, False),
            id="told a moment ago",
        ),
        pytest.param(
            seen(1), True, Reported(None, NOW - timedelta(minutes=1), NOW - RPO, True, NOW), Due(False, False),
            id="stands still",
        ),
        pytest.param(
            seen(8), False, Reported(None, NOW - timedelta(minutes=9), NOW - RPO, True, NOW), Due(False, True),
            id="advances, but too far behind",
        ),
        pytest.param(seen(None), False, Reported(), Due(False, True), id="nothing can be restored"),
        pytest.param(
            seen(8), False, Reported(None, NOW, NOW, False, NOW - timedelta(hours=1)), Due(False, True),
            id="still failing after an hour",
        ),
    ],
)  # fmt: skip
def test_what_a_look_reports(measured, passed, before, expected):
    assert due(measured, before, passed=passed, rpo=RPO, now=NOW) == expected


@pytest.mark.parametrize("reported", [Reported(), Reported(PROVEN, NOW, NOW, True, NOW)])
def test_a_cursor_comes_back_as_it_was(reported: Reported):
    assert decode(encode(reported)) == reported


@pytest.mark.parametrize("cursor", [None, "", "nonsense", "[1]", '{"proven": [1]}', '{"until": "yesterday"}'])
def test_a_cursor_of_another_release_is_forgotten(cursor: str | None):
    assert decode(cursor) == Reported()


def test_a_later_look_goes_on_where_the_last_one_ended_and_counts_the_same(archiving: ChainSite):
    with receiving(archiving):
        archiving.capture()
        archived_until(archiving)
        first = measure_restorable(archiving.site.context)
        for number in range(3):
            archiving.write(number)
            archiving.postgres.execute("SELECT pg_switch_wal()")
        archived_until(archiving)
    assert first.proven is not None
    further = measure_restorable(archiving.site.context, proven=first.proven)
    whole = measure_restorable(archiving.site.context)
    assert (further.until, further.lsn, further.segments) == (whole.until, whole.lsn, whole.segments)
    assert further.segments >= first.segments + 3
