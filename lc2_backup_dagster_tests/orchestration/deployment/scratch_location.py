"""A code location for the tests of the deployment: assets shaped like a site's, which do what a test file tells them.

A step waits while ``$SCRATCH/hold`` exists; it writes one line per start to ``$SCRATCH/starts``.
"""

import os
import time
from pathlib import Path

import dagster as dg

from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.orchestration.interruptions import translate_errors

SCRATCH = Path(os.environ["SCRATCH"])
DAILY = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_offset=1)


def _work(context: dg.AssetExecutionContext) -> None:
    with (SCRATCH / "starts").open("a") as starts:
        starts.write(f"{context.asset_key.to_user_string()} {context.run.run_id} {os.getpid()}\n")
    while (SCRATCH / "hold").exists():
        time.sleep(0.05)


@dg.asset(key_prefix=["retail", "liferay"], pool="retail/liferay/database", partitions_def=DAILY)
def database(context: dg.AssetExecutionContext) -> None:
    with translate_errors():
        _work(context)


@dg.asset(key_prefix=["retail", "drupal"], pool="retail/drupal/database", partitions_def=DAILY)
def files(context: dg.AssetExecutionContext) -> None:
    with translate_errors():
        _work(context)


@dg.asset(key_prefix=["retail", "bloomreach"])
def media(context: dg.AssetExecutionContext) -> None:
    with translate_errors():
        _work(context)


@dg.asset(key_prefix=["retail", "bloomreach"])
def restore(context: dg.AssetExecutionContext) -> None:
    _work(context)


# A retry policy is what makes Dagster restart cancelled steps; the second asset shows whether the run goes on.
@dg.asset(key_prefix=["bank", "drupal"], retry_policy=dg.RetryPolicy(max_retries=3))
def stubborn(context: dg.AssetExecutionContext) -> None:
    with translate_errors():
        _work(context)


@dg.asset(key_prefix=["bank", "drupal"])
def zz_after(context: dg.AssetExecutionContext) -> None:
    with translate_errors():
        _work(context)


@dg.asset(key_prefix=["bank", "errors"], retry_policy=dg.RetryPolicy(max_retries=3))
def permanent(context: dg.AssetExecutionContext) -> None:
    with translate_errors():
        _work(context)
        raise WindowNotRestorable("nothing covers 2026-01-01", hint="nearest: 2026-01-02", window="2026-01-01")


@dg.asset(key_prefix=["platform"])
def reconciliation(context: dg.AssetExecutionContext) -> None:
    _work(context)


@dg.op
def tidy() -> None:
    pass


@dg.job
def plain_job() -> None:
    tidy()


platform_job = dg.define_asset_job("platform_job", selection=[reconciliation])
every_minute = dg.ScheduleDefinition(
    name="every_minute", cron_schedule="* * * * *", job=platform_job, default_status=dg.DefaultScheduleStatus.STOPPED
)


@dg.sensor(job=platform_job, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def on_request(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    if not (SCRATCH / "request").exists():
        return dg.SkipReason("no request")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key="request-1")])


defs = dg.Definitions(
    assets=[database, files, media, restore, stubborn, zz_after, permanent, reconciliation],
    jobs=[platform_job, plain_job],
    schedules=[every_minute],
    sensors=[on_request],
    executor=dg.in_process_executor,
)
