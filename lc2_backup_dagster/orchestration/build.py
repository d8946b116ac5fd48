"""From site files to Dagster's definitions: one call per site, one merge."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.orchestration.asset_traits import SiteAssets
from lc2_backup_dagster.orchestration.capture_assets import capture_assets
from lc2_backup_dagster.orchestration.partial_points import partial_points_sensor
from lc2_backup_dagster.orchestration.restore_asset import restore_asset
from lc2_backup_dagster.orchestration.schedules import daily_job, site_automation
from lc2_backup_dagster.orchestration.verification import verification_definitions
from lc2_backup_dagster.orchestration.wal_asset import wal_definitions
from lc2_backup_dagster.resources.catalog import CatalogResource
from lc2_backup_dagster.resources.sites import SitesResource
from lc2_backup_dagster.sites.problem import SiteProblem
from lc2_backup_dagster.sites.schema import SiteDefinition


def build_definitions(
    sites: Sequence[SiteDefinition], *, now: datetime, shard_executor: str | None = None
) -> dg.Definitions:
    """Return the definitions of all sites.

    Args:
        sites: the valid site files.
        now: windows begin at each site's horizon before it.
        shard_executor: carries out the daily runs of sites whose files are cut into shards.

    Raises:
        ConfigurationError: there is no such executor.
    """
    parts = [SiteAssets(site, now) for site in sites]
    daily_jobs = [daily_job(part, executor=shard_executor) for part in parts]
    return dg.Definitions.merge(
        dg.Definitions(
            assets=[asset for part in parts for asset in (*capture_assets(part), restore_asset(part))],
            sensors=[partial_points_sensor(parts, daily_jobs)] if parts else [],
            resources={"sites": SitesResource(), "catalog": CatalogResource()},
            # One process a run: starting a process per step costs more than the steps of a small site.
            executor=dg.in_process_executor,
            metadata={"sites": dg.MetadataValue.int(len(sites))},
        ),
        *(site_automation(part, daily) for part, daily in zip(parts, daily_jobs, strict=True)),
        *(wal_definitions(part) for part in parts),
        *(verification_definitions(part) for part in parts),
    )


def refuse_problems(problems: Sequence[SiteProblem]) -> dg.Definitions:
    """Return empty definitions when every site file is right, else raise with all that is wrong.

    Loaded as a code location of its own, so that a wrong file is an error on the code-location page while all other
    sites stay served.

    Raises:
        ConfigurationError: there are problems; the message lists all of them.
    """
    if not problems:
        return dg.Definitions()
    listed = "\n".join(f"  {problem}" for problem in problems)
    raise ConfigurationError(
        f"{len(problems)} problems in site files; the sites they define are not served:\n{listed}\n",
        hint="mend the files, then reload this code location and lc2_backup; lc2-backup check shows the same",
    )
