"""What the service knows of Liferay DXP (REQUIREMENTS, "Applications").

The document library's keys are ``{companyId}/{repositoryId}/{fileName}/{version}``, with ``~<storeUUID>`` behind the
version where the row of ``DLFileVersion`` has one (DXP 7.3 and newer). ``fileName`` is ``DLFileEntry.name``, the
number Liferay gives a file, not its title. Liferay creates its tables unquoted, so PostgreSQL has their names in
lower case. A file-system store has ``data/document_library/`` in front of every key: a site says so in
``files.source.prefix``, and keys are looked at below it.
"""

from dataclasses import dataclass

from lc2_backup_dagster.applications.liferay.configuration import EXCLUDED, without_secrets
from lc2_backup_dagster.model.application import CleanDocument

_LIBRARY_FOLDER = "data/document_library/"
_GENERATED = ("document_thumbnail", "document_preview", "adaptive")

# Repository id 0 holds more than generated files (never exclude */0/* wholesale), so each folder is named.
_GENERATED_GLOBS = tuple(
    f"{folder}{{number}}/0/{generated}/*" for folder in ("", _LIBRARY_FOLDER) for generated in _GENERATED
)

# DLFileVersion.storeUUID came with DXP 7.3. In the lateral query an unqualified `storeuuid` is the table's own column
# where there is one, and the one of `absent` where there is not: one text serves every version of Liferay.
#
# DISTINCT because publications (DXP 7.3+) keep several rows of one entry or version, told apart by ctCollectionId.
_FILE_REFERENCE_SQL = """
SELECT DISTINCT
       (version.companyid || '/' || version.repositoryid || '/' || entry.name || '/' || version.version
        || CASE WHEN version.storeuuid <> '' THEN '~' || version.storeuuid ELSE '' END) COLLATE "C" AS key,
       'dlfileversion.fileversionid=' || version.fileversionid AS row_id,
       version.size_::bigint AS size_bytes
  FROM (SELECT NULL::text AS storeuuid) AS absent
 CROSS JOIN LATERAL (
       SELECT fileversionid, fileentryid, companyid, repositoryid, version, size_, storeuuid
         FROM dlfileversion) AS version
  JOIN dlfileentry AS entry ON entry.fileentryid = version.fileentryid
 ORDER BY key, row_id
""".strip()


@dataclass(frozen=True, slots=True)
class LiferayApplication:
    """Liferay DXP."""

    kind: str = "liferay"
    title: str = "Liferay DXP"
    files_word: str = "document_library"
    default_includes: tuple[str, ...] = ()
    generated_globs: tuple[str, ...] = _GENERATED_GLOBS
    default_excludes: tuple[str, ...] = ("*/thumbnails/*", "*/previews/*", "*/.cache/*")
    forbidden_globs: tuple[str, ...] = ()
    # Every table of Liferay is either content or needed to start: nothing is left out unless a site says so.
    default_dump_excludes: tuple[str, ...] = ()
    configuration_word: str = "configuration"
    configuration_required: tuple[str, ...] = ()
    configuration_excludes: tuple[str, ...] = EXCLUDED
    after_restore_notes: tuple[str, ...] = (
        "reindex required: the search index is not part of the backup; in Liferay open Control Panel > Search > "
        "Index Actions and reindex all",
        "thumbnails, previews and adaptive images are made again by Liferay when they are first asked for",
    )
    file_reference_sql: str = _FILE_REFERENCE_SQL

    def clean_configuration(self, path: str, content: bytes, /) -> CleanDocument:
        """Leave out properties that hold secrets, by their names and by their form."""
        return without_secrets(path, content)


APPLICATION = LiferayApplication()
