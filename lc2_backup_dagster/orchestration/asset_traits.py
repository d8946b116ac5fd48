"""What Dagster shows of a site's captured assets, whatever carries them out: descriptions, dependencies, freshness."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.orchestration.keys import asset_key
from lc2_backup_dagster.orchestration.partitions import window_length, windows
from lc2_backup_dagster.sites.schema import SiteDefinition

_DESCRIPTIONS = {
    Component.DATABASE: "The whole database server of {site}, captured physically.\n\nA green window promises: at "
    "least one moment inside that hour can be restored.",
    Component.DATABASE_DUMP: "A portable dump of {site}'s database, restorable with plain `pg_restore` on any newer "
    "server. Its snapshot is the moment of the day's recovery point.\n\nA green window promises: such a dump exists "
    "for that day.",
    Component.FILES: "The {word} of {site}: only what changed since the last backup is moved.\n\nA green window "
    "promises: every file as of that day's listing can be restored; of a day that was filled later, as of its end.",
    Component.CONFIGURATION: "The {configuration} of {site}, exported as documents that two days can be compared "
    "by.\n\nA green window promises: the export exists, is complete, and parses.",
    Component.RECOVERY_POINT: "What a backup of {site} consists of ({parts}), bound in one manifest. Files were listed "
    "after the dump's snapshot, and the rows that name files were compared with them.\n\nA green window promises: all "
    "of it can be restored and fits together. Where a component failed, what there is is bound too: the window stays "
    "red, and the partial point is offered for restores of its parts.",
}
KINDS = {
    Component.DATABASE: {"postgres"},
    Component.DATABASE_DUMP: {"postgres"},
    Component.FILES: {"file"},
    Component.CONFIGURATION: {"yaml"},
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

    def key(self, component: Component) -> dg.AssetKey:
        """Return the key of a component's asset."""
        return asset_key(self.definition.site_id, self.definition.application_kind, component)

    def windows(self, component: Component) -> dg.TimeWindowPartitionsDefinition:
        """Return the partitions of a component's asset."""
        return windows(window_length(component), now=self.now, horizon_days=self.definition.retention.daily)

    def description(self, component: Component) -> str:
        """Say what a component's asset is, and what a green window promises."""
        application = self.definition.application_kind
        return _DESCRIPTIONS[component].format(
            site=self.definition.site_id,
            word=application.files_word.replace("_", " "),
            configuration=application.configuration_word.replace("_", " "),
            parts=", ".join(self.key(each).path[-1].replace("_", " ") for each in self.upstream(component)),
        )

    def upstream(self, component: Component) -> tuple[Component, ...]:
        """Return the components whose assets a component's asset stands on, in one window."""
        if component is Component.RECOVERY_POINT:
            return tuple(each for each in self.components if each is not component)
        return (Component.DATABASE_DUMP,) if component in (Component.FILES, Component.CONFIGURATION) else ()

    @property
    def components(self) -> tuple[Component, ...]:
        """What is captured of the site, upstream first."""
        return self.definition.components

    @property
    def daily(self) -> tuple[Component, ...]:
        """What the daily run holds, upstream first."""
        return tuple(each for each in self.components if each is not Component.DATABASE)

    def freshness(self, component: Component) -> dg.FreshnessPolicy:
        """Return when a component's newest window is too old."""
        told = self.definition.policies.freshness
        minutes = told.database_rpo_minutes if component is Component.DATABASE else told.daily_rpo_minutes
        return dg.FreshnessPolicy.time_window(
            fail_window=timedelta(minutes=minutes), warn_window=timedelta(minutes=max(1, minutes * 3 // 4))
        )
