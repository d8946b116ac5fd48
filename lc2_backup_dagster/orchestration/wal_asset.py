"""The asset that shows the RPO: archived WAL, which no run makes, measured from the repository by a sensor.

`lc2-backup wal-receive` archives WAL all the time, outside of Dagster. A sensor measures until when the database can be
restored and reports it as a materialization; the freshness policy of the asset is the RPO. Only what advanced, and lies
within the RPO, is reported as a materialization: a receiver that has died, a bucket that is frozen and a slot that was
lost all make the asset stale (L-13). The check says the same with numbers, and can be executed by hand.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from lc2_backup_dagster.operations.checks import Outcome, restorable_within_rpo
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.wal.restorable_until import Restorable, measure_restorable
from lc2_backup_dagster.orchestration.asset_traits import SiteAssets
from lc2_backup_dagster.orchestration.checks import check_result
from lc2_backup_dagster.orchestration.interruptions import translate_errors
from lc2_backup_dagster.orchestration.keys import group_name, job_name, wal_key
from lc2_backup_dagster.orchestration.metadata import restorable_metadata
from lc2_backup_dagster.orchestration.wal_reports import Due, decode, due, encode
from lc2_backup_dagster.resources.sites import SitesResource
from lc2_backup_dagster.sites.schema import SiteDefinition

EVERY_SECONDS = 30
CHECK = "restorable_within_rpo"


def wal_definitions(site: SiteAssets) -> dg.Definitions:
    """Return asset, check and sensor of a site's archived WAL; nothing where none is archived."""
    definition = site.definition
    if not definition.database.wal.enabled:
        return dg.Definitions()
    rpo = timedelta(minutes=definition.policies.freshness.wal_rpo_minutes)
    spec = dg.AssetSpec(
        wal_key(definition.site_id),
        group_name=group_name(definition.site_id),
        description=f"WAL of {definition.site_id}, archived all the time by `lc2-backup wal-receive`.\n\nFresh means: "
        f"every commit older than {definition.policies.freshness.wal_rpo_minutes} minutes can be restored, measured "
        "from what lies in the repository.",
        owners=list(definition.owners),
        tags=dict(definition.tags),
        kinds={"postgres"},
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=rpo, warn_window=rpo * 3 / 4),
    )
    return dg.Definitions(assets=[spec], asset_checks=[_check(definition)], sensors=[_sensor(definition, rpo)])


def _check(definition: SiteDefinition) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=wal_key(definition.site_id),
        name=CHECK,
        description="How far what can be restored lies behind the present, measured from the repository. "
        "Reported by the sensor; executing it measures once more.",
    )
    def restorable(context: dg.AssetCheckExecutionContext, sites: SitesResource) -> dg.AssetCheckResult:
        with translate_errors():
            seen = measure_restorable(sites.open(definition))
            return check_result(restorable_within_rpo(seen, rpo_seconds=_rpo_seconds(definition)))

    return restorable


def _sensor(definition: SiteDefinition, rpo: timedelta) -> dg.SensorDefinition:
    opened: list[SiteContext] = []

    @dg.sensor(
        name=job_name(definition.site_id, "wal_sensor"),
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Measures until when {definition.site_id} can be restored, and reports it to its wal asset.",
    )
    def look(context: dg.SensorEvaluationContext, sites: SitesResource) -> dg.SensorResult:
        if not opened:
            opened.append(sites.open(definition))  # once per process: an open repository reads only what is new
        before = decode(context.cursor)
        seen = measure_restorable(opened[0], proven=before.proven)
        outcome = restorable_within_rpo(seen, rpo_seconds=_rpo_seconds(definition))
        now = datetime.now(UTC)
        report = due(seen, before, passed=outcome.passed, rpo=rpo, now=now)
        events = _events(definition, seen, outcome, report)
        return dg.SensorResult(
            asset_events=events,
            cursor=encode(before.after(seen, report, passed=outcome.passed, now=now)),
            skip_reason=None if events else outcome.message,
        )

    return look


def _events(
    definition: SiteDefinition, seen: Restorable, outcome: Outcome, report: Due
) -> list[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation]:
    key = wal_key(definition.site_id)
    events: list[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation] = []
    if report.materialization:
        events.append(dg.AssetMaterialization(key, metadata=restorable_metadata(seen)))
    if report.check:
        result = check_result(outcome)
        events.append(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=CHECK,
                passed=outcome.passed,
                severity=result.severity,
                description=result.description,
                metadata=result.metadata,
            )
        )
    return events


def _rpo_seconds(definition: SiteDefinition) -> float:
    # What would be too old at the next look alarms now: within the RPO, not one look after it.
    return definition.policies.freshness.wal_rpo_minutes * 60 - EVERY_SECONDS
