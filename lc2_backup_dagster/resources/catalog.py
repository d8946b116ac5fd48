"""The resource that keeps the catalog up with the logs."""

import os

import dagster as dg

from lc2_backup_dagster.operations.catalog import catch_up, open_catalog
from lc2_backup_dagster.repository.site import SiteRepository


class CatalogResource(dg.ConfigurableResource):
    """The deployment's catalog, named by ``LC2_BACKUP_CATALOG_URL``; nothing happens where that is not set."""

    def catch_up(self, repository: SiteRepository) -> str | None:
        """Project what the log has and the catalog has not; return a warning when the catalog is away."""
        catalog = open_catalog(os.environ)
        if catalog is None:
            return None
        with catalog:
            return catch_up(catalog, repository)
