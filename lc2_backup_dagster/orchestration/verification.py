"""The job that reads stored files back, so that none stays unread for longer than the site's set age.

It makes nothing, so it is no asset. What it read is kept in the repository; its numbers are reported as an observation
of the files' asset, where they plot. Damage, and files that stayed unread for too long, fail the run.
"""

from collections.abc import Iterator

import dagster as dg

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.verify.files import require_proven, scheduled_wish, verify_library
from lc2_backup_dagster.operations.verify.verified import statement
from lc2_backup_dagster.orchestration.capture_assets import SiteAssets
from lc2_backup_dagster.orchestration.interruptions import translate_errors
from lc2_backup_dagster.orchestration.keys import VERIFY, asset_key, job_name, pool_name
from lc2_backup_dagster.orchestration.metadata import verification_metadata
from lc2_backup_dagster.orchestration.progress import LoggedProgress
from lc2_backup_dagster.resources.sites import SitesResource


def verification_definitions(site: SiteAssets) -> dg.Definitions:
    """Return the job that verifies a site's stored files, and the schedule that starts it; nothing without files."""
    definition = site.definition
    if definition.files is None:
        return dg.Definitions()
    told = definition.schedules.verification
    name = job_name(definition.site_id, VERIFY)
    job = _job(site, name)

    @dg.schedule(
        name=f"{name}_schedule",
        job=job,
        cron_schedule=told.cron,
        execution_timezone=told.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING if told.enabled else dg.DefaultScheduleStatus.STOPPED,
        description=f"Starts {name}.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=f"{name}:{context.scheduled_execution_time.isoformat()}")

    return dg.Definitions(jobs=[job], schedules=[tick])


def _job(site: SiteAssets, name: str) -> dg.JobDefinition:
    definition = site.definition
    age = definition.policies.verification.max_age_days
    promise = "a random sample of them" if age is None else f"those that would be unread for more than {age} days"

    @dg.op(name=f"{name}_files", pool=pool_name(definition.site_id, VERIFY))
    def read_back(
        context: dg.OpExecutionContext, sites: SitesResource
    ) -> Iterator[dg.AssetObservation | dg.Output[None]]:
        with translate_errors():
            opened = sites.open(definition)
            progress = LoggedProgress(context.log, "verify")
            wish = scheduled_wish(opened.limits.verification)
            verified = verify_library(opened, wish, progress=progress.objects_done)
            context.log.info(statement(verified))
            files = asset_key(definition.site_id, definition.application_kind, Component.FILES)
            # Yielded, so that it is stored although the run fails then.
            yield dg.AssetObservation(files, metadata=verification_metadata(verified))
            require_proven(verified)
            yield dg.Output(None)

    @dg.job(
        name=name,
        executor_def=dg.in_process_executor,
        description=f"Looks at all stored files of {definition.site_id} and reads {promise}. Nothing is changed.",
        # Runs that hang are ended by run monitoring, so that the next one can start (L-4).
        tags={"dagster/max_runtime": str(definition.policies.max_run_seconds)},
    )
    def verify() -> None:
        read_back()

    return verify
