"""The job that verifies stored files: what it reports, and when it fails."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lc2_backup_dagster.engines.files.manifest.entry import Copied
from lc2_backup_dagster.model.errors import StoreUnavailable
from lc2_backup_dagster.operations.capture.files import file_entries
from lc2_backup_dagster.orchestration import verification
from lc2_backup_dagster.orchestration.build import build_definitions
from lc2_backup_dagster.orchestration.interruptions import translate_errors
from lc2_backup_dagster_tests.operations.fixtures import BackedUp
from lc2_backup_dagster_tests.operations.tiny_site import TinySite

JOB = "retail__liferay__verify"
FILES = dg.AssetKey(["retail", "liferay", "document_library"])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def site(backed_up: BackedUp, tmp_path: Path) -> TinySite:
    return backed_up.site.copied(tmp_path)


def definitions_of(site: TinySite, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    return build_definitions([site.open().definition], now=datetime.now(UTC))


def run(site: TinySite, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> dg.ExecuteInProcessResult:
    job = definitions_of(site, monkeypatch).resolve_job_def(JOB)
    return job.execute_in_process(instance=instance, raise_on_error=False)


def observed(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [event] = [each for each in result.all_events if each.event_type is dg.DagsterEventType.ASSET_OBSERVATION]
    observation = event.asset_observation_data.asset_observation
    assert observation.asset_key == FILES
    return {name: each.value for name, each in observation.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> dg.Failure:
    [event] = [each for each in result.all_events if each.is_step_failure]
    told = event.step_failure_data.user_failure_data
    assert told is not None, "a Failure, which nothing tries again"
    return told


def sealed_objects(site: TinySite, backed_up: BackedUp) -> list[Path]:
    repository = site.repository
    with file_entries(repository, backed_up.files.backup.backup_id) as entries:
        keys = {
            key
            for entry in entries
            if not isinstance(entry.location, Copied)
            for key, _ in entry.stored_objects(repository.site)
        }
    return [site.bucket / key for key in sorted(keys)]


def test_a_run_reads_what_is_due_and_reports_numbers_that_plot(site, instance, monkeypatch) -> None:
    first = run(site, instance, monkeypatch)
    assert first.success
    numbers = observed(first)
    assert numbers["verified_read_objects"] == numbers["verified_objects"] > 20
    assert numbers["verified_sha256_computed"] > 0
    assert numbers["verified_backups"] == 2
    assert [numbers[f"verified_{name}"] for name in ("over_age", "damaged", "unknown", "oldest_age_hours")] == [0] * 4
    assert numbers["verified"].startswith(f"all {numbers['verified_objects']} objects read")
    assert (site.bucket / "verified/retail/liferay" / numbers["verified_results"] / "results").exists()

    again = observed(run(site, instance, monkeypatch))
    assert (again["verified_read_objects"], again["verified_never_read"]) == (0, 0)


def test_damage_fails_the_run_by_name_after_its_numbers_were_reported(site, backed_up, instance, monkeypatch) -> None:
    path = sealed_objects(site, backed_up)[0]
    body = bytearray(path.read_bytes())
    path.unlink()
    body[50] ^= 1
    path.write_bytes(body)
    result = run(site, instance, monkeypatch)

    assert observed(result)["verified_damaged"] == 1
    told = failure(result)
    assert str(path.relative_to(site.bucket)) in (told.description or "")
    assert "needed by '20097/" in (told.description or "")
    assert told.metadata["error"].value == "PartCorrupt"
    assert told.metadata["alarm"].value


def test_files_that_stay_unread_for_too_long_fail_the_run(site, backed_up, instance, monkeypatch, tmp_path) -> None:
    site = site.changed(
        tmp_path,
        policies__verification={"maxAgeDays": 3, "maxBytesPerRun": 1},
        schedules__verification={"cron": "0 * * * *"},
    )
    objects = sealed_objects(site, backed_up)
    long_ago = datetime.now(UTC).timestamp() - 10 * 86400
    for path in objects:
        os.utime(path, (long_ago, long_ago))
    result = run(site, instance, monkeypatch)

    assert observed(result)["verified_over_age"] == len(objects) - 1
    assert observed(result)["verified_oldest_age_hours"] == pytest.approx(240, abs=1)
    told = failure(result)
    assert "were not read for more than 3 days, the oldest for 10.0 days" in (told.description or "")
    assert "maxBytesPerRun" in told.metadata["hint"].value


def test_an_outage_is_tried_again(site, instance, monkeypatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("503")

    monkeypatch.setattr(verification, "verify_library", away)
    monkeypatch.setattr(verification, "translate_errors", partial(translate_errors, seconds_to_wait=0))
    result = run(site, instance, monkeypatch)
    assert not result.success
    assert [each.event_type for each in result.all_events].count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 2


def test_one_run_at_a_time_and_a_schedule_that_runs_unless_it_is_disabled(site, monkeypatch, tmp_path) -> None:
    repository = definitions_of(site, monkeypatch).get_repository_def()
    [op] = repository.get_job(JOB).all_node_defs
    assert op.pool == "retail__liferay__verify"
    schedule = repository.get_schedule_def(f"{JOB}_schedule")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    tick = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
    with dg.build_schedule_context(scheduled_execution_time=tick, repository_def=repository) as context:
        [request] = schedule.evaluate_tick(context).run_requests
    assert request.run_key == f"{JOB}:2026-11-23T05:00:00+00:00"

    stopped = site.changed(tmp_path, schedules__verification={"enabled": False, "cron": "0 7 * * *"})
    schedule = definitions_of(stopped, monkeypatch).get_repository_def().get_schedule_def(f"{JOB}_schedule")
    assert (schedule.default_status, schedule.cron_schedule) == (dg.DefaultScheduleStatus.STOPPED, "0 7 * * *")
