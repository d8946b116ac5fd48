"""The entry of the code locations: reads the sites, builds, merges. ``workspace.yaml`` names both functions."""

import os
from datetime import UTC, datetime

import dagster as dg

from lc2_backup_dagster.orchestration.build import build_definitions, refuse_problems
from lc2_backup_dagster.orchestration.executors import SHARD_EXECUTOR_VARIABLE
from lc2_backup_dagster.sites.loader import LoadedSites, load_sites, site_folders


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of every site whose file is right."""
    return build_definitions(
        _load().sites, now=datetime.now(UTC), shard_executor=os.environ.get(SHARD_EXECUTOR_VARIABLE)
    )


@dg.definitions
def site_files() -> dg.Definitions:
    """Fail with everything that is wrong in site files, or return nothing."""
    return refuse_problems(_load().problems)


def _load() -> LoadedSites:
    return load_sites(site_folders(os.environ), environment=os.environ)
