"""Content types and the site's configuration as documents: one for each resource, named after it."""

from collections.abc import Iterator
from typing import cast

from lc2_backup_dagster.applications.bloomreach.client import ApiClient, api_path
from lc2_backup_dagster.applications.bloomreach.document_paths import segment
from lc2_backup_dagster.applications.bloomreach.paging import Listing, Resource, list_resources
from lc2_backup_dagster.applications.bloomreach.versions import ResourceVersions
from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.model.errors import AnswerInvalid, ConfigurationError, ObjectNotFound

CONTENT_TYPES_API = "/management/contenttypes/v1"
SITE_API = "/management/site/v1"
CONTENT_TYPES_FOLDER = "content-types"
_SITE_FOLDER = "site"
_LISTS_OF_A_CHANNEL = ("layouts", "routes", "menus")


def content_type_listing(client: ApiClient, project: str) -> Listing:
    """Fetch all content types of a project.

    Raises:
        ConfigurationError: there is no such project.
        BackupError: as ``list_resources``.
    """
    try:
        return list_resources(client, api_path(CONTENT_TYPES_API, project), identity=name_of)
    except ObjectNotFound as error:
        raise ConfigurationError(
            f"{client.base_url} has no project '{project}' with content types",
            hint="core is the main project; a development project must be made there, with content type changes",
        ) from error


def content_type_path(name: str) -> str:
    """Return where a content type stands in an export."""
    return f"{CONTENT_TYPES_FOLDER}/{segment(name)}.json"


def content_type_documents(client: ApiClient, project: str, versions: ResourceVersions) -> Iterator[Document]:
    """Yield a document for each content type of a project."""
    listing = content_type_listing(client, project)
    versions.take(f"contenttypes/{project}", listing.version)
    for each in listing.items:
        yield Document.of_json(content_type_path(name_of(each)), each)


def site_documents(client: ApiClient, versions: ResourceVersions) -> Iterator[Document]:
    """Yield a document for each channel, and for its layouts, routes, menus, component groups and components."""
    site = _Site(client, versions)
    for channel in site.listed("channels"):
        channel_id = name_of(channel)
        folder = f"{_SITE_FOLDER}/channels/{segment(channel_id)}"
        yield Document.of_json(f"{folder}/channel.json", channel)
        for kind in _LISTS_OF_A_CHANNEL:
            for each in site.listed("channels", channel_id, kind):
                yield Document.of_json(f"{folder}/{kind}/{segment(name_of(each))}.json", each)
        for group in site.listed("channels", channel_id, "component_groups"):
            group_name = name_of(group)
            yield Document.of_json(f"{folder}/component-groups/{segment(group_name)}.json", group)
            for each in site.listed("channels", channel_id, "component_groups", group_name, "components"):
                component = name_of(each).removeprefix(f"{group_name}/")
                yield Document.of_json(f"{folder}/components/{segment(group_name)}/{segment(component)}.json", each)


class _Site:
    """Fetches lists of the site API, and takes their versions."""

    def __init__(self, client: ApiClient, versions: ResourceVersions) -> None:
        self._client, self._versions = client, versions

    def listed(self, *names: str) -> tuple[Resource, ...]:
        listing = list_resources(self._client, api_path(SITE_API, *names), identity=name_of)
        self._versions.take("/".join(["site", *map(segment, names)]), listing.version)
        return listing.items


def name_of(resource: Resource) -> str:
    """Return what a resource is called within its list: its id, or its name.

    Raises:
        AnswerInvalid: it has neither.
    """
    name = cast(object, resource.get("id") or resource.get("name"))
    if not isinstance(name, str):
        raise AnswerInvalid("a resource came without id and name")
    return name
