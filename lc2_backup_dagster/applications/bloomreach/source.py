"""Bloomreach as the source of an export: content types, the site's configuration, content, and the versions of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from lc2_backup_dagster.applications.bloomreach.client import ApiClient
from lc2_backup_dagster.applications.bloomreach.content_export import (
    ContentExportRequest,
    ExportedContent,
    export_content,
    fetch_package,
)
from lc2_backup_dagster.applications.bloomreach.package import PackageLimits, is_whole, package_documents
from lc2_backup_dagster.applications.bloomreach.resources import content_type_documents, site_documents
from lc2_backup_dagster.applications.bloomreach.versions import ResourceVersions
from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.ports import ExportFacts

_DOWNLOADS = 2


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """What is exported.

    Attributes:
        project: whose content types; ``core`` is the main project.
        content: which content, or None for none.
        site: whether channels and what belongs to them are exported.
        limits: what the content's archive may hold.
    """

    project: str = "core"
    content: ContentExportRequest | None = field(default_factory=ContentExportRequest)
    site: bool = True
    limits: PackageLimits = field(default_factory=PackageLimits)


class BloomreachSource:
    """An ``ExportSource`` over the management APIs; used once.

    Args:
        client: of the environment.
        choice: what is exported.
        scratch: folder for the content's archive; the system's own when None.
        versions_before: versions of the export before (``versions_of``); empty for the first.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        choice: ExportChoice | None = None,
        scratch: Path | None = None,
        versions_before: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._choice = choice or ExportChoice()
        self._scratch = scratch
        self._versions = ResourceVersions(versions_before)
        self._exported: ExportedContent | None = None

    def documents(self) -> Iterator[Document]:
        """Yield everything, the model before the content that is made by it.

        Raises:
            ResourceWentBack: the API gives an older version than before.
            BackupError: as the modules of this folder.
        """
        yield from content_type_documents(self._client, self._choice.project, self._versions)
        if self._choice.site:
            yield from site_documents(self._client, self._versions)
        if self._choice.content is not None:
            yield from self._content(self._choice.content)
        yield from self._versions.document()

    def facts(self) -> ExportFacts:
        """Return what was exported from where, and what could not be."""
        exported, choice = self._exported, self._choice
        details: dict[str, object] = {"api": self._client.base_url, "project": choice.project}
        if choice.content is not None and exported is not None:
            details |= {
                "operation_id": exported.operation_id,
                "source_path": choice.content.source_path,
                "include_version_history": choice.content.include_version_history,
                "unexported_items": exported.unexported_count,
            }
        return ExportFacts(details, _named(exported))

    def _content(self, request: ContentExportRequest) -> Iterator[Document]:
        self._exported = exported = export_content(self._client, request)
        with TemporaryFile(dir=self._scratch) as archive:
            for _ in range(_DOWNLOADS):
                fetch_package(self._client, exported, archive, limit_bytes=request.file_bytes)
                if is_whole(archive):
                    break
            yield from package_documents(archive, items=exported.items, limits=self._choice.limits)


def _named(exported: ExportedContent | None) -> tuple[tuple[str, str], ...]:
    if exported is None:
        return ()
    if exported.unexported_count and not exported.unexported:
        return ((f"{exported.unexported_count} items", "the application does not name them"),)
    return exported.unexported
