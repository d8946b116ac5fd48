"""The sensor that finishes a day whose run failed in one component: what can be captured still is, and is bound.

A run ends at its first failed asset, and what stands on it is skipped. Without this, a hook that fails would cost the
day's recovery point, and a dump that fails the day's files. So a failed run is followed by one run of what it skipped,
without what failed, and with a recovery point that may be partial. Such a point is kept and labelled, its window stays
red, and whoever mends the cause materializes the rest.
"""

from collections.abc import Collection, Iterator, Sequence

import dagster as dg

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.orchestration.asset_traits import SiteAssets
from lc2_backup_dagster.orchestration.capture_assets import ALLOW_PARTIAL
from lc2_backup_dagster.orchestration.keys import DAILY, job_name
from lc2_backup_dagster.orchestration.schedules import AssetJob

FOLLOWS = "lc2/completes_run"
"""Tag of a run that captures what another one skipped; its value is that run's id."""
_PARTITION = "dagster/partition"
_WILL_RETRY = "dagster/will_retry"


def partial_points_sensor(sites: Sequence[SiteAssets], jobs: Sequence[AssetJob]) -> dg.SensorDefinition:
    """Return the one sensor that watches the daily runs of all sites, however they were launched.

    Args:
        sites: all of them.
        jobs: their daily jobs, which carry out what was skipped.
    """
    points = {site.key(Component.RECOVERY_POINT): site for site in sites}

    @dg.run_failure_sensor(
        name="partial_points",
        description="Captures and binds what a failed daily run skipped, so that one failed component does not cost "
        "the others their recovery point.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        # Dagster shows it one failed run at each tick, of whatever job: a bad night must not take until noon.
        minimum_interval_seconds=5,
        request_jobs=jobs,
    )
    def follow(context: dg.RunFailureSensorContext) -> list[dg.RunRequest] | dg.SkipReason:
        run = context.dagster_run
        if _PARTITION not in run.tags:
            return dg.SkipReason("no run for a window")
        # A scheduled run names no selection: what it is for was written down when it was made.
        meant = set(_keys(context.instance, run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED))
        # A backfill of many sites is one run for each window, not one for each site.
        concerned = [site for key, site in points.items() if key in meant]
        if not concerned:
            return dg.SkipReason("no daily run of a site")
        if run.tags.get(_WILL_RETRY) == "true":
            return dg.SkipReason(f"run {run.run_id} is tried again")
        asked = [_request(context.instance, run, site, meant) for site in concerned]
        requests = [each for each in asked if each is not None]
        return requests or dg.SkipReason(f"run {run.run_id} skipped nothing that can go on without what failed")

    return follow


def _request(
    instance: dg.DagsterInstance, run: dg.DagsterRun, site: SiteAssets, meant: Collection[dg.AssetKey]
) -> dg.RunRequest | None:
    window = run.tags[_PARTITION]
    if not site.windows(Component.RECOVERY_POINT).has_partition_key(window):
        # A request for it would fail the sensor, which would look at this run for ever and at no other one.
        return None
    left = skipped(instance, run.run_id, site, meant)
    if not left:
        return None
    return dg.RunRequest(
        run_key=f"{FOLLOWS}:{run.run_id}:{site.definition.site_id}",
        job_name=job_name(site.definition.site_id, DAILY),
        partition_key=window,
        asset_selection=[site.key(each) for each in left],
        tags={FOLLOWS: run.run_id},
        run_config=partial_point_config(site),
    )


def partial_point_config(site: SiteAssets) -> dict[str, object]:
    """Return the run config that lets a site's recovery point be partial."""
    step = "__".join(site.key(Component.RECOVERY_POINT).path)
    return {"ops": {step: {"config": {ALLOW_PARTIAL: True}}}}


def skipped(
    instance: dg.DagsterInstance, run_id: str, site: SiteAssets, meant: Collection[dg.AssetKey]
) -> tuple[Component, ...]:
    """Return what a failed run was for and neither captured nor failed at, upstream first.

    Nothing is left when the recovery point itself was tried: what it refuses, it refuses again.

    Args:
        instance: which has the run's events.
        run_id: of the run that failed.
        site: whose run it was.
        meant: the assets that it was for.
    """
    done = set(_keys(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION))
    failed = _failed_steps(instance, run_id)
    tried = {key for key in map(site.key, site.components) if any(_is_step_of(key, name) for name in failed)}
    own = [each for each in site.components if site.key(each) in meant]
    left = [each for each in own if site.key(each) not in done | tried]
    return tuple(left) if Component.RECOVERY_POINT in left and len(left) < len(own) else ()


def _keys(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> Iterator[dg.AssetKey]:
    for record in instance.get_records_for_run(run_id, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.asset_key is not None:
            yield event.asset_key


def _failed_steps(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    failures = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    return [record.event_log_entry.step_key or "" for record in failures]


def _is_step_of(key: dg.AssetKey, name: str) -> bool:
    step = "__".join(key.path)
    # A sharded capture has steps below its own name.
    return name == step or name.startswith((f"{step}.", f"{step}__"))
