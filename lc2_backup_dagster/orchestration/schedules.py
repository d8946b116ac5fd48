"""Jobs and schedules of a site: the hourly run and the daily run, each for the window its tick lies in."""

from datetime import UTC
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.orchestration.asset_traits import SiteAssets
from lc2_backup_dagster.orchestration.executors import shard_executor
from lc2_backup_dagster.orchestration.keys import DAILY, HOURLY, job_name
from lc2_backup_dagster.sites.policies import Schedule

if TYPE_CHECKING:
    # Dagster gives the class of what `define_asset_job` returns no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

AssetJob: TypeAlias = "UnresolvedAssetJobDefinition"
"""A job over some assets of a site."""


def site_automation(site: SiteAssets, daily: AssetJob) -> dg.Definitions:
    """Return the two jobs of a site and the schedules that start them.

    Two jobs, because Dagster refuses one run over assets with different partitions.

    Args:
        site: which site.
        daily: its ``daily_job``.
    """
    told = site.definition.schedules
    hourly = _job(site, HOURLY, (Component.DATABASE,), "Captures the database physically.")
    return dg.Definitions(
        jobs=[hourly, daily],
        schedules=[
            _schedule(hourly, WindowLength.HOURLY, told.database),
            _schedule(daily, WindowLength.DAILY, told.daily),
        ],
    )


def daily_job(site: SiteAssets, *, executor: str | None = None) -> AssetJob:
    """Return the job of a site's daily run.

    Args:
        site: which site.
        executor: carries it out where the files are cut into shards (``executors.shard_executor``).
    """
    return _job(
        site,
        DAILY,
        site.daily,
        "Captures dump, files and configuration, binds the recovery point.",
        executor=shard_executor(executor) if site.definition.file_shards else dg.in_process_executor,
    )


def _job(
    site: SiteAssets,
    what: str,
    components: tuple[Component, ...],
    description: str,
    *,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> AssetJob:
    definition = site.definition
    return dg.define_asset_job(
        job_name(definition.site_id, what),
        selection=dg.AssetSelection.assets(*(site.key(each) for each in components)),
        executor_def=executor,
        description=f"{description} Site {definition.site_id}.",
        # Runs that hang are ended by run monitoring, so that the next one can start (L-4).
        tags={"dagster/max_runtime": str(definition.policies.max_run_seconds)},
    )


def _schedule(job: AssetJob, length: WindowLength, told: Schedule) -> dg.ScheduleDefinition:
    name = job.name

    @dg.schedule(
        name=f"{name}_schedule",
        job=job,
        cron_schedule=told.cron,
        execution_timezone=told.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING if told.enabled else dg.DefaultScheduleStatus.STOPPED,
        description=f"Starts {name} for the window in which the tick lies (keys are in UTC).",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        window = Window.around(context.scheduled_execution_time.astimezone(UTC), length=length)
        # The tick is the key: after an outage the daemon runs the latest missed tick once.
        return dg.RunRequest(run_key=f"{name}:{context.scheduled_execution_time.isoformat()}", partition_key=window.key)

    return tick
