"""Partitions: windows of time for what is captured, restorable points for restores.

Windows begin at the point-in-time horizon, so the bar never promises for long what retention has pruned. The current
window is open (``end_offset=1``): a backup at 02:00 belongs to today. Keys are in UTC.
"""

from datetime import datetime, timedelta

import dagster as dg

from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.orchestration.keys import points_name


def window_length(component: Component) -> WindowLength:
    """Return how long a component's windows are."""
    return WindowLength.HOURLY if component is Component.DATABASE else WindowLength.DAILY


def windows(length: WindowLength, *, now: datetime, horizon_days: int) -> dg.TimeWindowPartitionsDefinition:
    """Return the windows from the horizon to now, both included.

    Args:
        length: hourly or daily.
        now: when the definitions are loaded, UTC.
        horizon_days: days whose every moment can be restored (the ``daily`` retention).
    """
    start = (now - timedelta(days=horizon_days)).replace(hour=0, minute=0, second=0, microsecond=0)
    if length is WindowLength.HOURLY:
        return dg.HourlyPartitionsDefinition(start_date=start, end_offset=1, timezone="UTC")
    return dg.DailyPartitionsDefinition(start_date=start, end_offset=1, timezone="UTC")


def recovery_points(site: SiteId) -> dg.DynamicPartitionsDefinition:
    """Return the partitions of a site's restore asset: exactly the points that can be restored."""
    return dg.DynamicPartitionsDefinition(name=points_name(site))
