"""The resource that opens a site: from its definition to the objects that operations take."""

import os

import dagster as dg

from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.sites.assembly import open_site
from lc2_backup_dagster.sites.schema import SiteDefinition


class SitesResource(dg.ConfigurableResource):
    """Opens sites with the secrets of the environment of the process that runs the step.

    The definition comes with the asset: a site file that changes while a run works does not change the run.
    """

    def open(self, definition: SiteDefinition) -> SiteContext:
        """Open a site; connects to nothing yet.

        Raises:
            ConfigurationError: a secret is missing from the environment.
        """
        return open_site(definition, environment=os.environ).context
