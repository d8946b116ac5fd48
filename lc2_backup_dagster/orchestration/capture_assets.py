"""The four assets that capture a site: each unpacks its run, calls one operation, and translates the result.

An asset returns only after the repository's commit. ``database`` lives in the hourly run; the other three in the
daily run, in this order: the dump opens the snapshot that is the point's moment, the files are listed after it, and
the recovery point binds both.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.orchestration.captures import CAPTURED, after_commit, capture_component, outcomes_of
from lc2_backup_dagster.orchestration.checks import check_result, check_specs
from lc2_backup_dagster.orchestration.interruptions import translate_errors
from lc2_backup_dagster.orchestration.keys import asset_key, group_name, pool_name
from lc2_backup_dagster.orchestration.metadata import capture_metadata
from lc2_backup_dagster.orchestration.partitions import window_length, windows
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.resources.catalog import CatalogResource
from lc2_backup_dagster.resources.sites import SitesResource
from lc2_backup_dagster.sites.schema import SiteDefinition

_DESCRIPTIONS = {
    Component.DATABASE: "The whole database server of {site}, captured physically.\n\nA green window promises: at "
    "least one moment inside that hour can be restored.",
    Component.DATABASE_DUMP: "A portable dump of {site}'s database, restorable with plain `pg_restore` on any newer "
    "server. Its snapshot is the moment of the day's recovery point.\n\nA green window promises: such a dump exists "
    "for that day.",
    Component.FILES: "The {word} of {site}: only what changed since the last backup is moved.\n\nA green window "
    "promises: every file as of that day's listing can be restored.",
    Component.RECOVERY_POINT: "Database and {word} of {site} bound in one manifest: files were listed after the "
    "dump's snapshot, and the rows that name files were compared with them.\n\nA green window promises: both can be "
    "restored and fit together.",
}
_KINDS = {
    Component.DATABASE: {"postgres"},
    Component.DATABASE_DUMP: {"postgres"},
    Component.FILES: {"file"},
    Component.RECOVERY_POINT: {"table"},
}


@dataclass(frozen=True, slots=True)
class SiteAssets:
    """What the factories need to know of a site.

    Attributes:
        definition: its site file.
        now: when the definitions are loaded; windows begin at the horizon before it.
    """

    definition: SiteDefinition
    now: datetime


def capture_assets(site: SiteAssets) -> list[dg.AssetsDefinition]:
    """Return the four capturing assets of a site, upstream first."""
    return [_asset(site, component) for component in CAPTURED]


def _asset(site: SiteAssets, component: Component) -> dg.AssetsDefinition:
    definition = site.definition
    site_id, application = definition.site_id, definition.application_kind
    key = asset_key(site_id, application, component)

    @dg.asset(
        key=key,
        deps=_deps(site, component),
        partitions_def=windows(window_length(component), now=site.now, horizon_days=definition.retention.daily),
        group_name=group_name(site_id),
        pool=pool_name(site_id, component),
        check_specs=check_specs(component, key),
        description=_DESCRIPTIONS[component].format(site=site_id, word=application.files_word.replace("_", " ")),
        owners=list(definition.owners),
        tags=dict(definition.tags),
        kinds=_KINDS[component],
        freshness_policy=_freshness(definition, component),
        # Windows are captured one by one; a backfill of several is several runs.
        op_tags={"lc2/component": str(component)},
    )
    def capture(
        context: dg.AssetExecutionContext, sites: SitesResource, catalog: CatalogResource
    ) -> dg.MaterializeResult:
        with translate_errors():
            opened = sites.open(definition)
            try:
                captured = capture_component(component, context, opened)
            except WindowNotRestorable as error:
                with after_commit(context):
                    _report_kept(context, opened, error)
                raise
            if captured.kept is not None:
                with after_commit(context):
                    _report(context, captured.kept)
            with after_commit(context):
                if warning := catalog.catch_up(opened.open_repository(False)):
                    context.log.warning(warning)
            outcomes = outcomes_of(component, definition, opened, captured)
            return dg.MaterializeResult(
                metadata=capture_metadata(captured),
                data_version=dg.DataVersion(captured.backup.manifest_sha256),
                check_results=[check_result(outcome) for outcome in outcomes],
            )

    return capture


def _deps(site: SiteAssets, component: Component) -> list[dg.AssetDep]:
    definition = site.definition
    upstream = {
        Component.DATABASE: (),
        Component.DATABASE_DUMP: (),
        Component.FILES: (Component.DATABASE_DUMP,),
        Component.RECOVERY_POINT: (Component.DATABASE, Component.DATABASE_DUMP, Component.FILES),
    }[component]
    return [
        dg.AssetDep(
            asset_key(definition.site_id, definition.application_kind, each),
            partition_mapping=dg.TimeWindowPartitionMapping(),
        )
        for each in upstream
    ]


def _freshness(definition: SiteDefinition, component: Component) -> dg.FreshnessPolicy:
    told = definition.policies.freshness
    minutes = told.database_rpo_minutes if component is Component.DATABASE else told.daily_rpo_minutes
    return dg.FreshnessPolicy.time_window(
        fail_window=timedelta(minutes=minutes), warn_window=timedelta(minutes=max(1, minutes * 3 // 4))
    )


def _report_kept(context: dg.AssetExecutionContext, opened: SiteContext, error: WindowNotRestorable) -> None:
    """Report a backup that came too late under the window its moment lies in."""
    backup_id = error.attributes.get("backup_id")
    if not isinstance(backup_id, str):
        return
    _report(context, opened.open_repository(False).backup(backup_id))


def _report(context: dg.AssetExecutionContext, backup: CommittedBackup) -> None:
    context.instance.report_runless_asset_event(
        dg.AssetMaterialization(
            context.asset_key,
            partition=backup.window,
            metadata={
                "backup_id": backup.backup_id,
                "kind": str(backup.kind),
                "note": "captured by a run that was meant for an earlier window",
            },
        )
    )
