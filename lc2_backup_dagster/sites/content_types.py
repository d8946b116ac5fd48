"""Opens the APIs that content types of a site are restored through."""

from collections.abc import Mapping
from dataclasses import dataclass

from lc2_backup_dagster.applications.bloomreach.client import ApiClient
from lc2_backup_dagster.applications.bloomreach.config import BloomreachApi, open_client
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.sites.schema import SiteDefinition


@dataclass(frozen=True, slots=True)
class ContentTypesAccess:
    """Where content types of a site live.

    Attributes:
        client: of the APIs; to be closed.
        address: of the environment, for people.
    """

    client: ApiClient
    address: str


def open_content_types(definition: SiteDefinition, environment: Mapping[str, str]) -> ContentTypesAccess:
    """Open the APIs that the site's configuration comes from; nothing is asked yet.

    Args:
        definition: what the site file says.
        environment: the variables that hold its secrets.

    Raises:
        ConfigurationError: the site's configuration comes from somewhere else, and has no content types.
    """
    source = definition.configuration.source if definition.configuration else None
    if not isinstance(source, BloomreachApi):
        raise ConfigurationError(
            f"site {definition.site_id} has no content types to restore",
            hint="only where configuration.source.kind is bloomreach; documents of others come back with "
            "lc2-backup restore --scope configuration",
        )
    return ContentTypesAccess(open_client(source, environment), source.base_url)
