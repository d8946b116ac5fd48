"""Rows that grow with the database: users with all that tells of them, pages and the settings of what is on them."""
# ruff: noqa: RUF005  rows are added up from groups of columns: as one tuple each value would take a line

import json
from collections.abc import Callable, Iterator
from random import Random

from lc2_backup_dagster.demo.seed.content_plan import ContentPlan
from lc2_backup_dagster.demo.seed.library_plan import random_uuid
from lc2_backup_dagster.demo.seed.liferay_core import EXPANDO_COLUMN_IDS, EXPANDO_TABLE_ID, ROLES
from lc2_backup_dagster.demo.seed.people import Person
from lc2_backup_dagster.demo.seed.prose import Prose
from lc2_backup_dagster.demo.seed.rows import CLASS_NAME_IDS, TableRows, password_hash, random_address, random_time
from lc2_backup_dagster.demo.seed.scale import COMPANY_ID, REPOSITORY_ID, SECOND_REPOSITORY_ID

_PORTLETS = ("com_liferay_journal_content_web_portlet_JournalContentPortlet", "com_liferay_site_navigation_menu_web")


def people_rows(plan: ContentPlan) -> Iterator[TableRows]:
    """Yield users and everything personal."""
    random = plan.random("users")
    roles = [number for number, _, kind in ROLES if kind == 1]

    def rows(make: Callable[[int, Person], tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
        return (make(user_id, who) for user_id, who in plan.users())

    def place(user_id: int, who: Person) -> tuple[object, ...]:
        moment = random_time(random)
        return COMPANY_ID, user_id, who.full_name, moment, moment, CLASS_NAME_IDS["Contact"], user_id + 1

    yield TableRows(
        "user_",
        "userid uuid_ externalreferencecode companyid createdate modifieddate contactid password_ passwordencrypted "
        "reminderqueryquestion reminderqueryanswer screenname emailaddress portraitid languageid timezoneid greeting "
        "comments firstname lastname jobtitle logindate loginip lastlogindate lastloginip failedloginattempts lockout "
        "agreedtotermsofuse emailaddressverified type_ status",
        rows(
            lambda user_id, who: (
                (user_id, random_uuid(random), f"HR-{user_id}", COMPANY_ID, random_time(random), random_time(random))
                + (user_id + 1, password_hash(random), True, who.reminder_question, who.reminder_answer)
                + (who.screen_name, who.email_address, 0, "en_US", "Europe/Berlin", f"Welcome {who.full_name}!", "")
                + (who.first_name, who.last_name, who.job_title, random_time(random), random_address(random))
                + (
                    random_time(random),
                    random_address(random),
                    0,
                    False,
                    True,
                    True,
                    1,
                    5 if random.random() < 0.1 else 0,
                )
            )
        ),
    )
    yield TableRows(
        "contact_",
        "contactid companyid userid username createdate modifieddate classnameid classpk emailaddress firstname "
        "lastname male birthday employeenumber jobtitle",
        rows(
            lambda user_id, who: (
                (user_id + 1, *place(user_id, who), who.email_address, who.first_name, who.last_name, who.male)
                + (who.birthday, f"E{user_id}", who.job_title)
            )
        ),
    )
    common = "companyid userid username createdate modifieddate classnameid classpk uuid_ primary_"
    yield TableRows(
        "emailaddress",
        f"emailaddressid {common} address listtypeid",
        rows(lambda i, who: (i + 2, *place(i, who), random_uuid(random), True, who.email_address, 11_003)),
    )
    yield TableRows(
        "phone",
        f"phoneid {common} number_ listtypeid",
        rows(lambda i, who: (i + 3, *place(i, who), random_uuid(random), True, who.phone_number, 11_006)),
    )
    yield TableRows(
        "address",
        f"addressid {common} city latitude longitude street1 zip",
        rows(
            lambda i, who: (
                (i + 4, *place(i, who), random_uuid(random), True, f"{who.last_name}stadt", random.uniform(47, 55))
                + (random.uniform(6, 15), f"{who.first_name}straße {random.randrange(1, 200)}")
                + (f"{random.randrange(10**5):05}",)
            )
        ),
    )
    yield TableRows("users_roles", "companyid userid roleid", rows(lambda i, _: (COMPANY_ID, i, random.choice(roles))))
    yield TableRows("users_groups", "companyid userid groupid", rows(lambda i, _: (COMPANY_ID, i, REPOSITORY_ID)))
    yield TableRows(
        "users_orgs",
        "companyid userid organizationid",
        rows(lambda i, _: (COMPANY_ID, i, random.randrange(20_200, 20_212))),
    )
    yield TableRows(
        "users_usergroups",
        "companyid userid usergroupid",
        rows(lambda i, _: (COMPANY_ID, i, 20_220 + random.randrange(10))),
    )
    yield TableRows(
        "expandorow", "rowid_ companyid tableid classpk", rows(lambda i, _: (i + 5, COMPANY_ID, EXPANDO_TABLE_ID, i))
    )
    for offset, column in enumerate(EXPANDO_COLUMN_IDS, start=6):
        yield TableRows(
            "expandovalue",
            "valueid companyid tableid columnid rowid_ classnameid classpk data_",
            rows(
                lambda i, who, offset=offset, column=column: (
                    (i + offset, COMPANY_ID, EXPANDO_TABLE_ID, column, i + 5, CLASS_NAME_IDS["User"], i)
                    + (who.phone_number if offset > 6 else f"CC-{random.randrange(10**5)}",)
                )
            ),
        )
    yield TableRows(
        "passwordtracker",
        "passwordtrackerid companyid userid createdate password_",
        rows(lambda i, _: (i + 8, COMPANY_ID, i, random_time(random), password_hash(random))),
    )


def page_rows(plan: ContentPlan) -> Iterator[TableRows]:
    """Yield pages and portlet preferences."""
    random = plan.random("pages")
    prose = Prose(random)
    layouts = plan.ids("layouts")
    yield TableRows(
        "layout",
        "plid uuid_ groupid companyid userid username createdate modifieddate parentplid privatelayout layoutid "
        "parentlayoutid name title description type_ typesettings hidden_ system_ friendlyurl priority status",
        (
            (plid, random_uuid(random), _group(plid), COMPANY_ID, 20_140, "", random_time(random), random_time(random))
            + (0, False, plid, 0, f"<root><Name language-id='en_US'>{prose.title(2)}</Name></root>", "", prose.text(20))
            + ("portlet", _type_settings(random), False, False, f"/{prose.slug(3)}-{plid}", plid % 50, 0)
            for plid in layouts
        ),
    )
    yield TableRows(
        "layoutfriendlyurl",
        "layoutfriendlyurlid uuid_ groupid companyid userid createdate plid privatelayout friendlyurl languageid",
        (
            (plid + 1, random_uuid(random), _group(plid), COMPANY_ID, 20_140, random_time(random), plid, False)
            + (f"/{prose.slug(3)}-{plid}", "en_US")
            for plid in layouts
        ),
    )
    yield TableRows(
        "portletpreferences",
        "portletpreferencesid companyid ownerid ownertype plid portletid",
        (
            (number, COMPANY_ID, 0, 3, random.choice(layouts), f"{random.choice(_PORTLETS)}_INSTANCE_{number:x}")
            for number in plan.ids("preferences")
        ),
    )
    yield TableRows(
        "portletpreferencevalue",
        "portletpreferencevalueid companyid portletpreferencesid index_ largevalue name readonly smallvalue",
        (
            (number + 1 + index, COMPANY_ID, number, 0, large, name, False, small)
            for number in plan.ids("preferences")
            for index, (name, large, small) in enumerate(
                (
                    ("articleId", "", str(random.randrange(10**6))),
                    ("portletSetupTitle_en_US", "", prose.title(3)),
                    ("portletSetupCss", json.dumps({"css": prose.text(60), "borderData": _type_settings(random)}), ""),
                )
            )
        ),
    )


def _group(plid: int) -> int:
    return (REPOSITORY_ID, SECOND_REPOSITORY_ID)[plid // 10 % 2]


def _type_settings(random: Random) -> str:
    columns = (f"column-{n}={random.choice(_PORTLETS)}_INSTANCE_{random.randbytes(6).hex()}," for n in (1, 2))
    return f"layout-template-id=2_columns_ii\nlfr-theme:regular:show-header=true\n{chr(10).join(columns)}\n"
