"""Rows of Documents and Media: they name exactly the objects that ``library_plan.plan_objects`` puts in the store."""
# ruff: noqa: RUF005  rows are added up from groups of columns: as one tuple each value would take a line

from collections.abc import Iterator
from random import Random

from lc2_backup_dagster.demo.seed.file_content import content_checksum
from lc2_backup_dagster.demo.seed.library_plan import (
    FOLDERS,
    PlannedDocument,
    PlannedVersion,
    plan_documents,
    random_uuid,
    staff_member,
)
from lc2_backup_dagster.demo.seed.prose import Prose
from lc2_backup_dagster.demo.seed.rows import CLASS_NAME_IDS, TableRows, random_time
from lc2_backup_dagster.demo.seed.scale import (
    COMPANY_ID,
    SECOND_REPOSITORY_ID,
    STAFF,
    STAFF_FIRST_ID,
    LiferayScale,
)


def library_rows(scale: LiferayScale) -> Iterator[TableRows]:
    """Yield the rows of Documents and Media; they name exactly the objects of ``plan_objects``."""
    random = Random(f"{scale.seed}/library rows")
    prose = Prose(random)
    owner = (COMPANY_ID, STAFF_FIRST_ID, staff_member(scale, 0).full_name)
    names = [staff_member(scale, user).full_name for user in range(STAFF)]
    yield TableRows(
        "repository",
        "repositoryid uuid_ groupid companyid userid username createdate classnameid name portletid dlfolderid",
        [
            (20_290, random_uuid(random), SECOND_REPOSITORY_ID, *owner, random_time(random))
            + (CLASS_NAME_IDS["LiferayRepository"], "Campaigns", "com_liferay_document_library_web", 0)
        ],
    )
    yield TableRows(
        "dlfileentrytype",
        "fileentrytypeid uuid_ groupid companyid userid username createdate fileentrytypekey name scope",
        [(0, random_uuid(random), 0, *owner, random_time(random), "BASIC-DOCUMENT", "basic-document", 0)],
    )
    yield TableRows(
        "dlfolder",
        "folderid uuid_ groupid companyid userid username createdate modifieddate repositoryid mountpoint "
        "parentfolderid treepath name description lastpostdate hidden_ restrictiontype status",
        [
            (folder, random_uuid(random), group, *owner, random_time(random), random_time(random), group, False, 0)
            + (f"/{folder}/", f"{prose.title(2)} {folder}", prose.text(9), random_time(random), False, 0, 0)
            for group, folders in FOLDERS.items()
            for folder in folders
        ],
    )
    yield TableRows("dlfileentry", ENTRY_COLUMNS, (entry_row(d, random, names) for d in plan_documents(scale)))
    versions = ((document, version) for document in plan_documents(scale) for version in document.versions)
    yield TableRows("dlfileversion", VERSION_COLUMNS, (version_row(*pair, random, names) for pair in versions))
    yield TableRows(
        "dlfileentrymetadata",
        "fileentrymetadataid uuid_ companyid ddmstorageid ddmstructureid fileentryid fileversionid",
        (
            (v.file_version_id, random_uuid(random), COMPANY_ID, v.file_version_id + 4, 20_460, d.file_entry_id)
            + (v.file_version_id,)
            for d in plan_documents(scale)
            for v in d.versions
        ),
    )
    yield TableRows(
        "amimageentry",
        "amimageentryid uuid_ groupid companyid createdate configurationuuid fileversionid mimetype size_",
        (
            (v.file_version_id + 4 + number % 2, random_uuid(random), d.repository_id, COMPANY_ID, random_time(random))
            + (g.key.split("/")[3], v.file_version_id, g.content_type, g.size_bytes)
            for d in plan_documents(scale)
            for v in d.versions
            for number, g in enumerate(g for g in v.generated if "/adaptive/" in g.key)
        ),
    )
    yield TableRows("assetentry", ASSET_COLUMNS, (asset_row(d, random, names) for d in plan_documents(scale)))


ENTRY_COLUMNS = (
    "fileentryid uuid_ groupid companyid userid username createdate modifieddate classnameid classpk repositoryid "
    "folderid treepath name filename extension mimetype title description extrasettings fileentrytypeid version size_ "
    "smallimageid largeimageid manualcheckinrequired"
)
VERSION_COLUMNS = (
    "fileversionid uuid_ groupid companyid userid username createdate modifieddate repositoryid folderid fileentryid "
    "treepath filename extension mimetype title description changelog extrasettings fileentrytypeid version size_ "
    "checksum storeuuid status statusbyuserid statusbyusername statusdate"
)
ASSET_COLUMNS = (
    "entryid groupid companyid userid username createdate modifieddate classnameid classpk classuuid classtypeid "
    "listable visible publishdate mimetype title description priority"
)


def entry_row(document: PlannedDocument, random: Random, names: list[str]) -> tuple[object, ...]:
    """Return the row of ``dlfileentry``; ``names`` are the staff's full names."""
    last = document.versions[-1]
    place = (document.repository_id, COMPANY_ID, document.user_id, names[document.user_id - STAFF_FIRST_ID])
    return (
        (document.file_entry_id, document.uuid, *place, random_time(random), random_time(random), 0, 0)
        + (document.repository_id, document.folder_id, _tree_path(document), document.name, document.file_name)
        + (document.extension, document.content_type.split(";")[0], document.title, "", "", 0, last.version)
        + (last.document.size_bytes, 0, 0, False)
    )


def version_row(
    document: PlannedDocument, version: PlannedVersion, random: Random, names: list[str]
) -> tuple[object, ...]:
    """Return the row of ``dlfileversion``, with the checksum of the object's content."""
    name = names[document.user_id - STAFF_FIRST_ID]
    place = (document.repository_id, COMPANY_ID, document.user_id, name)
    moment = random_time(random)
    absent = None if document.file_entry_id % 20 else ""  # both are found in databases that were upgraded
    return (
        (version.file_version_id, random_uuid(random), *place, moment, moment, document.repository_id)
        + (document.folder_id, document.file_entry_id, _tree_path(document), document.file_name, document.extension)
        + (document.content_type.split(";")[0], document.title, "", "", "", 0, version.version)
        + (version.document.size_bytes, content_checksum(version.document), version.store_uuid or absent)
        + (0, document.user_id, name, moment)
    )


def asset_row(document: PlannedDocument, random: Random, names: list[str]) -> tuple[object, ...]:
    """Return the row of ``assetentry`` that makes a document findable."""
    place = (document.repository_id, COMPANY_ID, document.user_id, names[document.user_id - STAFF_FIRST_ID])
    moment = random_time(random)
    return (
        document.file_entry_id + 9,
        *place,
        moment,
        moment,
        CLASS_NAME_IDS["DLFileEntry"],
        document.file_entry_id,
    ) + (document.uuid, 0, True, True, moment, document.content_type, document.title, "", 0.0)


def _tree_path(document: PlannedDocument) -> str:
    return f"/{document.folder_id}/" if document.folder_id else "/"
