"""Names in Dagster: asset keys, groups, pools, jobs, schedules. Pure."""

import dagster as dg

from lc2_backup_dagster.model.application import Application, component_word
from lc2_backup_dagster.model.site import Component, SiteId

RESTORE = "restore"
WAL = "wal"
VERIFY = "verify"
HOURLY = "hourly"
DAILY = "daily"


def asset_key(site: SiteId, application: Application, component: Component) -> dg.AssetKey:
    """Return ``<project>/<application>/<component>``; files and configuration go by the application's own words."""
    return dg.AssetKey([site.project, site.application, component_word(application, component)])


def restore_key(site: SiteId) -> dg.AssetKey:
    """Return the key of the site's restore asset."""
    return dg.AssetKey([site.project, site.application, RESTORE])


def wal_key(site: SiteId) -> dg.AssetKey:
    """Return the key of the asset that stands for the site's archived WAL."""
    return dg.AssetKey([site.project, site.application, WAL])


def group_name(site: SiteId) -> str:
    """Return the group that a site's assets are drawn in."""
    return site.word


def pool_name(site: SiteId, component: Component | str) -> str:
    """Return the pool that lets one run at a time touch a component, however it was launched."""
    return f"{site.word}__{component}"


def job_name(site: SiteId, what: str) -> str:
    """Return the name of a site's job."""
    return f"{site.word}__{what}"


def points_name(site: SiteId) -> str:
    """Return the name of the dynamic partitions that are the site's restorable points."""
    return f"{site.word}__recovery_points"
