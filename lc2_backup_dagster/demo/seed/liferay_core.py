"""Rows that every Liferay has, whatever its size: the platform's own tables."""
# ruff: noqa: RUF005  rows are added up from groups of columns: as one tuple each value would take a line

import json
from collections.abc import Iterable, Iterator
from random import Random

from lc2_backup_dagster.demo.seed.library_plan import (
    next_file_name,
    random_uuid,
    staff_member,
)
from lc2_backup_dagster.demo.seed.prose import Prose
from lc2_backup_dagster.demo.seed.rows import CLASS_NAME_IDS, CLASS_NAMES, TableRows, password_hash, random_time
from lc2_backup_dagster.demo.seed.scale import (
    COMPANY_ID,
    REPOSITORY_ID,
    SECOND_REPOSITORY_ID,
    STAFF,
    STAFF_FIRST_ID,
    LiferayScale,
)

ROLES = (
    (20_100, "Administrator", 1),
    (20_101, "Guest", 1),
    (20_102, "Owner", 1),
    (20_103, "Power User", 1),
    (20_104, "User", 1),
    (20_105, "Site Administrator", 2),
    (20_106, "Site Content Reviewer", 2),
    (20_107, "Site Member", 2),
)
STRUCTURE_KEYS = ("BASIC-WEB-CONTENT", "NEWS", "PRODUCT-SHEET")
ARTICLE_FOLDER_IDS = tuple(range(20_400, 20_420))
MESSAGE_CATEGORY_IDS = tuple(range(20_430, 20_436))
CATEGORY_IDS = tuple(range(20_500, 20_560))
TAG_IDS = tuple(range(20_600, 20_720))
EXPANDO_TABLE_ID, EXPANDO_COLUMN_IDS = 20_450, (20_451, 20_452)
_SCHEDULER = "PersistedQuartzSchedulerEngineInstance"
_JOBS = ("CheckArticleMessageListener", "CheckFileEntryListener", "SyncUserGroups", "BatchEngineTaskTrigger")


def core_rows(scale: LiferayScale) -> Iterator[TableRows]:
    """Yield the rows of the platform's tables, small and of fixed size."""
    random = Random(f"{scale.seed}/core")
    prose = Prose(random)

    def ids_and_names(first: Iterable[int], *, words: int = 2) -> list[tuple[int, str, str, str]]:
        return [
            (number, random_uuid(random), random_time(random), f"{prose.title(words)} {number}") for number in first
        ]

    owner = (COMPANY_ID, STAFF_FIRST_ID, staff_member(scale, 0).full_name)
    yield TableRows(
        "company",
        "companyid userid username createdate webid mx logoid maxusers active_ name legalname industry",
        [(*owner, random_time(random), "liferay.com", "example.com", 0, 0, True, "Acme", "Acme SE", "Tools")],
    )
    yield TableRows(
        "virtualhost",
        "virtualhostid companyid layoutsetid hostname defaultvirtualhost languageid",
        [(20_098, COMPANY_ID, 0, "intranet.example.com", True, "")],
    )
    yield TableRows("classname_", "classnameid value", CLASS_NAMES.items())
    yield TableRows(
        "release_",
        "releaseid createdate servletcontextname schemaversion buildnumber verified state_ teststring",
        [
            (number, random_time(random), name, version, 7413, True, 0, "You take the blue pill, the story ends")
            for number, (name, version) in enumerate(
                (
                    ("portal", "31.14.0"),
                    ("com.liferay.journal.service", "6.1.3"),
                    ("com.liferay.blogs.service", "3.0.1"),
                ),
                start=1,
            )
        ],
    )
    yield TableRows(
        "servicecomponent",
        "servicecomponentid buildnamespace buildnumber builddate data_",
        [
            (number, space, 1, 1_546_300_800_000, f"<?xml version='1.0'?><data><tables-sql>{space}</tables-sql></data>")
            for number, space in enumerate(("Journal", "DL", "MB", "Asset", "Expando", "Quartz"), start=20_720)
        ],
    )
    yield TableRows(
        "resourceaction",
        "resourceactionid name actionid bitwisevalue",
        [
            (20_800 + 10 * index + bit, name, action, 1 << bit)
            for index, name in enumerate(CLASS_NAMES.values())
            for bit, action in enumerate(("VIEW", "UPDATE", "DELETE", "PERMISSIONS", "ADD_DISCUSSION"))
        ],
    )
    yield TableRows(
        "role_",
        "roleid uuid_ companyid userid username createdate classnameid classpk name title type_ status",
        [
            (
                number,
                random_uuid(random),
                *owner,
                random_time(random),
                CLASS_NAME_IDS["Role"],
                number,
                name,
                "",
                kind,
                0,
            )
            for number, name, kind in ROLES
        ],
    )
    yield TableRows(
        "group_",
        "groupid uuid_ companyid creatoruserid modifieddate classnameid classpk parentgroupid livegroupid treepath "
        "groupkey name type_ typesettings membershiprestriction friendlyurl site active_",
        [
            (number, random_uuid(random), COMPANY_ID, STAFF_FIRST_ID, random_time(random), CLASS_NAME_IDS["Group"])
            + (number, 0, 0, f"/{number}/", key, f"<root><Name language-id='en_US'>{key}</Name></root>", 1)
            + ("sitemap-enabled=true\ncontentSharingWithChildrenEnabled=-1\n", 0, url, True, True)
            for number, key, url in (
                (20_120, "Global", "/global"),
                (REPOSITORY_ID, "Intranet", "/intranet"),
                (SECOND_REPOSITORY_ID, "Media Centre", "/media-centre"),
            )
        ],
    )
    yield TableRows(
        "layoutset",
        "layoutsetid groupid companyid createdate privatelayout themeid colorschemeid settings_",
        [
            (20_125 + index, group, COMPANY_ID, random_time(random), False, "classic_WAR_classictheme", "01", "")
            for index, group in enumerate((REPOSITORY_ID, SECOND_REPOSITORY_ID))
        ],
    )
    yield TableRows(
        "organization_",
        "organizationid uuid_ createdate name companyid userid username parentorganizationid type_ status",
        [(*row, *owner, 0, "organization", 0) for row in ids_and_names(range(20_200, 20_212))],
    )
    yield TableRows(
        "usergroup",
        "usergroupid uuid_ createdate name companyid userid username description status",
        [(*row, *owner, prose.text(12), 0) for row in ids_and_names(range(20_220, 20_230))],
    )
    yield from _staff_rows(scale, random)
    yield TableRows(
        "ddmstructure",
        "structureid uuid_ groupid companyid userid username createdate classnameid structurekey version name "
        "definition storagetype type_",
        [
            (20_460 + index, random_uuid(random), REPOSITORY_ID, *owner, random_time(random))
            + (CLASS_NAME_IDS["JournalArticle"], key, "1.0", key.title(), _structure_definition(), "json", 0)
            for index, key in enumerate(STRUCTURE_KEYS)
        ],
    )
    yield TableRows(
        "ddmtemplate",
        "templateid uuid_ groupid companyid userid username createdate classnameid classpk templatekey version name "
        "type_ language script cacheable",
        [
            (20_470 + index, random_uuid(random), REPOSITORY_ID, *owner, random_time(random))
            + (CLASS_NAME_IDS["DDMStructure"], 20_460 + index, key, "1.0", key.title(), "display", "ftl")
            + ("<#if Body?? && Body.getData()?has_content>${Body.getData()}</#if>", True)
            for index, key in enumerate(STRUCTURE_KEYS)
        ],
    )
    yield TableRows(
        "journalfolder",
        "folderid uuid_ createdate name groupid companyid userid username parentfolderid treepath status",
        [(*row, REPOSITORY_ID, *owner, 0, f"/{row[0]}/", 0) for row in ids_and_names(ARTICLE_FOLDER_IDS)],
    )
    yield TableRows(
        "mbcategory",
        "categoryid uuid_ createdate name groupid companyid userid username parentcategoryid displaystyle status",
        [(*row, REPOSITORY_ID, *owner, 0, "default", 0) for row in ids_and_names(MESSAGE_CATEGORY_IDS)],
    )
    yield TableRows(
        "assetvocabulary",
        "vocabularyid uuid_ createdate name groupid companyid userid username visibilitytype",
        [(*row, REPOSITORY_ID, *owner, 0) for row in ids_and_names((20_480, 20_481))],
    )
    yield TableRows(
        "assetcategory",
        "categoryid uuid_ createdate name groupid companyid userid username parentcategoryid treepath vocabularyid",
        [
            (*row, REPOSITORY_ID, *owner, 0, f"/{row[0]}/", 20_480 + row[0] % 2)
            for row in ids_and_names(CATEGORY_IDS, words=1)
        ],
    )
    yield TableRows(
        "assettag",
        "tagid uuid_ createdate name groupid companyid userid username assetcount",
        [(*row, REPOSITORY_ID, *owner, 0) for row in ids_and_names(TAG_IDS, words=1)],
    )
    yield TableRows(
        "expandotable",
        "tableid companyid classnameid name",
        [(EXPANDO_TABLE_ID, COMPANY_ID, CLASS_NAME_IDS["User"], "CUSTOM_FIELDS")],
    )
    yield TableRows(
        "expandocolumn",
        "columnid companyid tableid name type_ typesettings",
        [
            (number, COMPANY_ID, EXPANDO_TABLE_ID, name, 15, "index-type=1\nhidden=0\n")
            for number, name in zip(EXPANDO_COLUMN_IDS, ("cost-center", "emergency-contact"), strict=True)
        ],
    )
    yield TableRows(
        "lock_",
        "uuid_ lockid companyid userid createdate classname key_ owner inheritable",
        [(random_uuid(random), 1, *owner[:2], random_time(random), "upgrade", "executor", "node-1", False)],
    )
    yield from _quartz_rows(random)


def counter_rows(scale: LiferayScale, *, next_id: int) -> TableRows:
    """Return Liferay's counters, each above every number in use."""
    return TableRows(
        "counter",
        "name currentid",
        [
            ("com.liferay.counter.kernel.model.Counter", next_id),
            (CLASS_NAMES[CLASS_NAME_IDS["DLFileEntry"]], next_file_name(scale)),
            (f"{CLASS_NAMES[CLASS_NAME_IDS['Layout']]}#{REPOSITORY_ID}#false", next_id),
        ],
    )


def _staff_rows(scale: LiferayScale, random: Random) -> Iterator[TableRows]:
    staff = [(STAFF_FIRST_ID + number, staff_member(scale, number)) for number in range(STAFF)]
    yield TableRows(
        "user_",
        "userid uuid_ companyid createdate modifieddate contactid password_ passwordencrypted passwordreset "
        "reminderqueryquestion reminderqueryanswer screenname emailaddress languageid timezoneid greeting firstname "
        "lastname jobtitle type_ status",
        [
            (number, random_uuid(random), COMPANY_ID, random_time(random), random_time(random), number + 1_000)
            + (password_hash(random), True, False, who.reminder_question, who.reminder_answer, who.screen_name)
            + (who.email_address, "en_US", "UTC", f"Welcome {who.full_name}!", who.first_name, who.last_name)
            + (who.job_title, 1, 0)
            for number, who in staff
        ],
    )
    for table, column, values in (
        ("users_roles", "roleid", (20_100, 20_104)),
        ("users_groups", "groupid", (REPOSITORY_ID, SECOND_REPOSITORY_ID)),
        ("users_orgs", "organizationid", (20_200,)),
        ("users_usergroups", "usergroupid", (20_220, 20_221)),
    ):
        yield TableRows(
            table,
            f"companyid userid {column}",
            [(COMPANY_ID, number, value) for number, _ in staff for value in values],
        )


def _quartz_rows(random: Random) -> Iterator[TableRows]:
    keys = [(_SCHEDULER, job, "liferay/scheduler") for job in _JOBS]
    yield TableRows(
        "quartz_job_details",
        "sched_name job_name job_group job_class_name is_durable is_nonconcurrent is_update_data requests_recovery "
        "job_data",
        [
            (*key, "com.liferay.portal.scheduler.quartz.internal.job.MessageSenderJob", False, True, True, False)
            + (b"\xac\xed\x00\x05sr\x00\x15org.quartz.JobDataMap" + random.randbytes(200),)
            for key in keys
        ],
    )
    yield TableRows(
        "quartz_triggers",
        "sched_name trigger_name trigger_group job_name job_group next_fire_time prev_fire_time priority "
        "trigger_state trigger_type start_time misfire_instr job_data",
        [(*key, *key[1:], 1_767_225_600_000, -1, 5, "WAITING", "CRON", 1_546_300_800_000, 0, b"") for key in keys],
    )
    yield TableRows(
        "quartz_cron_triggers",
        "sched_name trigger_name trigger_group cron_expression time_zone_id",
        [(*key, "0 0/15 * * * ? *", "UTC") for key in keys],
    )
    yield TableRows(
        "quartz_locks", "sched_name lock_name", [(_SCHEDULER, "STATE_ACCESS"), (_SCHEDULER, "TRIGGER_ACCESS")]
    )


def _structure_definition() -> str:
    fields = [
        {"name": name, "type": kind, "dataType": "string", "indexType": "text", "localizable": True, "required": False}
        for name, kind in (("Teaser", "text"), ("Body", "rich_text"), ("Picture", "image"), ("Related", "text"))
    ]
    return json.dumps({"availableLanguageIds": ["en_US", "de_DE"], "defaultLanguageId": "en_US", "fields": fields})
