"""What the service knows of Liferay DXP (REQUIREMENTS, "Applications").

The document library's keys are ``{companyId}/{repositoryId}/{fileName}/{version}``, with ``~<storeUUID>`` behind the
version where the row of ``DLFileVersion`` has one (DXP 7.3 and newer). ``fileName`` is ``DLFileEntry.name``, the
number Liferay gives a file, not its title. Liferay creates its tables unquoted, so PostgreSQL has their names in
lower case. A file-system store has ``data/document_library/`` in front of every key: a site says so in
``files.source.prefix``, and keys are looked at below it.
"""

from dataclasses import dataclass

from lc2_backup_dagster.applications.liferay.configuration import EXCLUDED, without_secrets
from lc2_backup_dagster.model.application import CleanDocument, ReferenceLayout

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
_VERSIONS = """
  FROM (SELECT NULL::text AS storeuuid) AS absent
 CROSS JOIN LATERAL (
       SELECT fileversionid, fileentryid, companyid, repositoryid, folderid, version, size_, storeuuid
         FROM dlfileversion) AS version
  JOIN dlfileentry AS entry ON entry.fileentryid = version.fileentryid
""".strip()


def _layout(name: str, second: str) -> ReferenceLayout:
    key = (
        f"version.companyid || '/' || {second} || '/' || entry.name || '/' || version.version\n"
        "        || CASE WHEN version.storeuuid <> '' THEN '~' || version.storeuuid ELSE '' END"
    )
    return ReferenceLayout(
        name=name,
        sql=(
            f'SELECT DISTINCT\n       ({key}) COLLATE "C" AS key,\n'
            "       'dlfileversion.fileversionid=' || version.fileversionid AS row_id,\n"
            f"       version.size_::bigint AS size_bytes\n  {_VERSIONS}\n ORDER BY key, row_id"
        ),
        sample_sql=(
            f"SELECT {key}\n  {_VERSIONS}\n WHERE version.folderid <> 0\n ORDER BY version.fileversionid DESC LIMIT 50"
        ),
    )


# Liferay hands its stores what it calls the data repository's id: of a file in a folder the folder's, of all others the
# repository's (DLFolderConstants.getDataRepositoryId, as its own converter of stores uses it). Stores that were filled
# by other means have the repository's id throughout. Both are there; which one is in use, the files tell.
_LAYOUTS = (
    _layout("repository", "version.repositoryid"),
    _layout("folder", "CASE WHEN version.folderid <> 0 THEN version.folderid ELSE version.repositoryid END"),
)


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
    file_reference_sql: str = _LAYOUTS[0].sql
    file_reference_layouts: tuple[ReferenceLayout, ...] = _LAYOUTS

    def clean_configuration(self, path: str, content: bytes, /) -> CleanDocument:
        """Leave out properties that hold secrets, by their names and by their form."""
        return without_secrets(path, content)


APPLICATION = LiferayApplication()
