"""The assets that capture a site: each unpacks its run, calls one operation, and translates the result.

An asset returns only after the repository's commit. ``database`` lives in the hourly run; the others in the daily run,
in this order: the dump opens the snapshot that is the point's moment, the files are listed directly after it, the
configuration is exported, and the recovery point binds them.
"""

from typing import Any

import dagster as dg

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.orchestration.asset_traits import KINDS, SiteAssets
from lc2_backup_dagster.orchestration.captures import capture_component, kept_reported, materialized
from lc2_backup_dagster.orchestration.checks import check_specs
from lc2_backup_dagster.orchestration.interruptions import translate_errors
from lc2_backup_dagster.orchestration.keys import group_name, pool_name
from lc2_backup_dagster.orchestration.sharded_files import sharded_files
from lc2_backup_dagster.resources.catalog import CatalogResource
from lc2_backup_dagster.resources.sites import SitesResource

# Rows that point at missing files are what must not be: nothing comes between the dump and the files.
_PRIORITIES = {Component.FILES: "1"}
ALLOW_PARTIAL = "allow_partial"
_FORMS: dict[Component, dict[str, Any]] = {
    Component.RECOVERY_POINT: {
        ALLOW_PARTIAL: dg.Field(
            bool,
            default_value=False,
            is_required=False,
            description="Bind what there is where a component failed. The partial point is kept and its parts can be "
            "restored; the window stays red.",
        )
    }
}


def capture_assets(site: SiteAssets) -> list[dg.AssetsDefinition]:
    """Return the capturing assets of a site, upstream first."""
    return [_asset(site, component) for component in site.components]


def _asset(site: SiteAssets, component: Component) -> dg.AssetsDefinition:
    definition, key = site.definition, site.key(component)
    if component is Component.FILES and definition.file_shards:
        return sharded_files(site)

    @dg.asset(
        key=key,
        deps=[
            dg.AssetDep(site.key(each), partition_mapping=dg.TimeWindowPartitionMapping())
            for each in site.upstream(component)
        ],
        partitions_def=site.windows(component),
        group_name=group_name(definition.site_id),
        pool=pool_name(definition.site_id, component),
        check_specs=check_specs(component, key),
        description=site.description(component),
        owners=list(definition.owners),
        tags=dict(definition.tags),
        kinds=KINDS[component],
        freshness_policy=site.freshness(component),
        # Windows are captured one by one; a backfill of several is several runs.
        op_tags={"lc2/component": str(component), "dagster/priority": _PRIORITIES.get(component, "0")},
        config_schema=_FORMS.get(component),
    )
    def capture(
        context: dg.AssetExecutionContext, sites: SitesResource, catalog: CatalogResource
    ) -> dg.MaterializeResult:
        with translate_errors():
            opened = sites.open(definition)
            with kept_reported(context, key, opened):
                captured = capture_component(component, context, opened)
            return materialized(component, context, key, definition, opened, captured, catalog=catalog)

    return capture
