"""What the service knows of Bloomreach (REQUIREMENTS, "Applications").

Its content model and content come through HTTP APIs (``source``); its media lie in a bucket as they were uploaded. What
the CMS derives from them (thumbnails, crops) is content of the database, so there are no generated files to leave out.
"""

from dataclasses import dataclass

from lc2_backup_dagster.applications.bloomreach.media import MediaTable, media_reference_sql
from lc2_backup_dagster.model.application import CleanDocument, ReferenceLayout


@dataclass(frozen=True, slots=True)
class BloomreachApplication:
    """Bloomreach Experience Manager and Bloomreach Content."""

    kind: str = "bloomreach"
    title: str = "Bloomreach"
    files_word: str = "media"
    default_includes: tuple[str, ...] = ()
    generated_globs: tuple[str, ...] = ()
    # Every key is an original, also Jackrabbit's META/: its data store does not open without them.
    default_excludes: tuple[str, ...] = ()
    forbidden_globs: tuple[str, ...] = ()
    # Jackrabbit needs its journal beside its nodes, and has no table that could be made again.
    default_dump_excludes: tuple[str, ...] = ()
    configuration_word: str = "content_model"
    configuration_required: tuple[str, ...] = ()
    configuration_excludes: tuple[str, ...] = ()
    after_restore_notes: tuple[str, ...] = (
        "search index: stop all nodes, and delete their index folder (repository/workspaces/default/index) before they "
        "start; the index of another database is worse than none, and brXM builds it again",
        "CDN: media are served from its cache until they are invalidated; a restore in place does that where the site "
        "file names the CDN (restore.files.cdn), and says whether it succeeded",
    )
    file_reference_sql: str | None = media_reference_sql(MediaTable())
    file_reference_layouts: tuple[ReferenceLayout, ...] = ()

    def clean_configuration(self, path: str, content: bytes, /) -> CleanDocument:
        """Keep every document: the APIs give content and its model, no credentials."""
        return CleanDocument(content)


APPLICATION = BloomreachApplication()
