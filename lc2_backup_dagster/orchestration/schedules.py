"""Jobs and schedules of a site: the hourly run and the daily run, each for the window its tick lies in."""

from datetime import UTC

import dagster as dg

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.orchestration.asset_traits import SiteAssets
from lc2_backup_dagster.orchestration.executors import shard_executor
from lc2_backup_dagster.orchestration.keys import asset_key, job_name
from lc2_backup_dagster.sites.policies import Schedule

_HOURLY = (Component.DATABASE,)
_DAILY = (Component.DATABASE_DUMP, Component.FILES, Component.RECOVERY_POINT)


def site_automation(site: SiteAssets, *, executor: str | None = None) -> dg.Definitions:
    """Return the two jobs of a site and the schedules that start them.

    Two jobs, because Dagster refuses one run over assets with different partitions.

    Args:
        site: which site.
        executor: carries out the daily run where the files are cut into shards (``executors.shard_executor``).
    """
    told = site.definition.schedules
    return dg.Definitions.merge(
        _automation(site, "hourly", _HOURLY, WindowLength.HOURLY, told.database, "Captures the database physically."),
        _automation(
            site,
            "daily",
            _DAILY,
            WindowLength.DAILY,
            told.daily,
            "Captures dump and files, binds the recovery point.",
            executor=shard_executor(executor) if site.definition.files.shards else dg.in_process_executor,
        ),
    )


def _automation(
    site: SiteAssets,
    what: str,
    components: tuple[Component, ...],
    length: WindowLength,
    told: Schedule,
    description: str,
    *,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.Definitions:
    definition = site.definition
    name = job_name(definition.site_id, what)
    job = dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(
            *(asset_key(definition.site_id, definition.application_kind, each) for each in components)
        ),
        executor_def=executor,
        description=f"{description} Site {definition.site_id}.",
        # Runs that hang are ended by run monitoring, so that the next one can start (L-4).
        tags={"dagster/max_runtime": str(definition.policies.max_run_seconds)},
    )

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

    return dg.Definitions(jobs=[job], schedules=[tick])
