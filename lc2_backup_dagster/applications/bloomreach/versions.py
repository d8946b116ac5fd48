"""Versions of resources (``X-Resource-Version``), remembered from export to export.

An API that gives an older version than before was asked at a stale replica, or was itself set back. Its answer would
replace what is already known, in the newest backup, without anybody noticing: so it is refused.
"""

from collections.abc import Iterator, Mapping

from lc2_backup_dagster.engines.exports.canonical_json import parse_json
from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.model.errors import RecoveryPointNotFound, ResourceWentBack

VERSIONS_PATH = "resource-versions.json"


class ResourceVersions:
    """The versions of one export.

    Args:
        before: resource → version, of the export before; empty for the first, or where the environment was set back.
    """

    def __init__(self, before: Mapping[str, str] | None = None) -> None:
        self._before = dict(before or {})
        self.seen: dict[str, str] = {}

    def take(self, resource: str, version: str | None) -> None:
        """Remember the version that came with a resource.

        Raises:
            ResourceWentBack: it is older than in the export before, or than a moment ago.
        """
        if version is None:
            return
        known = self.seen.get(resource, self._before.get(resource))
        if known is not None and is_older(version, known):
            raise ResourceWentBack(
                f"{resource} has version {version}, and had {known} before",
                hint="a stale replica answered: run again; if the environment itself was set back, say so, and the "
                "versions from before are not looked at",
                resource=resource,
            )
        self.seen[resource] = version

    def document(self) -> Iterator[Document]:
        """Yield the versions as a document of the export, unless there are none."""
        if self.seen:
            yield Document.of_json(VERSIONS_PATH, self.seen)


def is_older(version: str, known: str) -> bool:
    """Say whether a version is certainly older: versions are opaque, but for whole numbers, which grow."""
    return version.isdecimal() and known.isdecimal() and int(version) < int(known)


def versions_of(export: StoredExport) -> dict[str, str]:
    """Return the versions that an export holds; none where it has no such document."""
    try:
        found = parse_json(export.read(export.find(VERSIONS_PATH)))
    except RecoveryPointNotFound:
        return {}
    return {name: str(version) for name, version in found.items()} if isinstance(found, dict) else {}
