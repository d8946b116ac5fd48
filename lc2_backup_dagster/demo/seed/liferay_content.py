"""Rows that grow with the database: web content, messages, and what people leave behind; large objects."""
# ruff: noqa: RUF005  rows are added up from groups of columns: as one tuple each value would take a line

import json
import math
from collections.abc import Iterator
from random import Random

from lc2_backup_dagster.demo.seed.content_plan import ContentPlan
from lc2_backup_dagster.demo.seed.library_plan import random_uuid
from lc2_backup_dagster.demo.seed.liferay_core import ARTICLE_FOLDER_IDS, MESSAGE_CATEGORY_IDS, STRUCTURE_KEYS, TAG_IDS
from lc2_backup_dagster.demo.seed.liferay_people import page_rows, people_rows
from lc2_backup_dagster.demo.seed.people import invent_person
from lc2_backup_dagster.demo.seed.prose import Prose, TextEntropy, measure
from lc2_backup_dagster.demo.seed.rows import CLASS_NAME_IDS, CLASS_NAMES, TableRows, random_address, random_time
from lc2_backup_dagster.demo.seed.scale import COMPANY_ID, REPOSITORY_ID, STAFF, LiferayScale


def content_rows(plan: ContentPlan) -> Iterator[TableRows]:
    """Yield the rows of every table that grows, in constant memory."""
    yield from people_rows(plan)
    yield from page_rows(plan)
    yield from _articles(plan)
    yield from _messages(plan)
    yield from _traces(plan)
    if plan.scale.incompressible_bytes:
        yield TableRows("acme_attachment", "attachmentid name content", _attachments(plan))


def article_content(random: Random, prose: Prose) -> str:
    """Return one article's content as Liferay 7 stores it: XML with the fields of its structure in two languages."""
    fields: list[str] = []
    for name, kind, text in (
        ("Teaser", "text", prose.text(random.randrange(15, 40))),
        ("Body", "rich_text", _rich_text(random, prose)),
        ("Picture", "image", _document_link(random, prose)),
    ):
        fields.append(
            f'\t<dynamic-element index="0" index-type="text" instance-id="{random.randbytes(4).hex()}" '
            f'name="{name}" type="{kind}">\n\t\t<dynamic-content language-id="en_US"><![CDATA[{text}]]>'
            f'</dynamic-content>\n\t\t<dynamic-content language-id="de_DE"><![CDATA[]]></dynamic-content>\n'
            f"\t</dynamic-element>\n"
        )
    return (
        '<?xml version="1.0"?>\n\n<root available-locales="en_US,de_DE" default-locale="en_US" version="1.0">\n'
        f"{''.join(fields)}</root>"
    )


def article_entropy(scale: LiferayScale, *, articles: int = 600) -> TextEntropy:
    """Measure the content of the first articles of a database of this scale: its text's published entropy."""
    random = ContentPlan.of(scale).random("article content")
    prose = Prose(random)
    return measure(article_content(random, prose) for _ in range(articles))


def import_payload(plan: ContentPlan, number: int) -> bytes:
    """Return the content of one large object: users as JSON lines, as a batch import receives them."""
    random = plan.random(f"import {number}")
    people = (invent_person(random, random.randrange(10**6)) for _ in range(random.randrange(40, 400)))
    return "".join(
        json.dumps({"alternateName": p.screen_name, "emailAddress": p.email_address, "jobTitle": p.job_title}) + "\n"
        for p in people
    ).encode()


def _rich_text(random: Random, prose: Prose) -> str:
    words = min(int(random.lognormvariate(math.log(300), 0.8)), 20_000) + 20
    parts = [f'<h2 id="section-{prose.slug(2)}">{prose.title(4)}</h2>']
    while words > 0:
        length = min(words, random.randrange(30, 120))
        parts.append(
            f'<p class="component-paragraph text-break" data-lfr-editable-type="rich-text">{prose.text(length)}</p>'
        )
        words -= length
        if random.random() < 0.15:
            parts.append(
                f'<ul class="list-unstyled mb-3"><li><a href="/web/intranet/{prose.slug(3)}" target="_self">'
                f"{prose.title(3)}</a></li></ul>"
            )
        if random.random() < 0.1:
            parts.append(
                f'<picture data-fileentryid="{random.randrange(50_000, 86_000)}"><img alt="{prose.title(2)}" '
                f'src="/documents/{REPOSITORY_ID}/0/{prose.slug(2)}.jpg/{random_uuid(random)}?t=16093{random.randrange(10**8)}"'
                " /></picture>"
            )
    return "\n".join(parts)


def _document_link(random: Random, prose: Prose) -> str:
    title, uuid = prose.title(3), random_uuid(random)
    return json.dumps(
        {"alt": title, "groupId": str(REPOSITORY_ID), "name": title, "title": title, "type": "document", "uuid": uuid}
    )


def _articles(plan: ContentPlan) -> Iterator[TableRows]:
    random, contents = plan.random("articles"), plan.random("article content")
    prose, content_prose = Prose(random), Prose(contents)
    articles = plan.ids("articles")
    yield TableRows(
        "journalarticleresource",
        "resourceprimkey uuid_ groupid companyid articleid",
        ((number, random_uuid(random), REPOSITORY_ID, COMPANY_ID, str(number)) for number in articles),
    )
    yield TableRows(
        "journalarticle",
        "id_ uuid_ resourceprimkey groupid companyid userid username createdate modifieddate folderid classnameid "
        "classpk treepath articleid version urltitle content ddmstructurekey ddmtemplatekey defaultlanguageid "
        "displaydate indexable smallimage status statusbyuserid statusdate",
        (
            (number + 1, random_uuid(random), number, REPOSITORY_ID, COMPANY_ID, 20_140 + number % STAFF, "")
            + (random_time(random), random_time(random), folder, 0, 0, f"/{folder}/", str(number))
            + (1.0 + random.randrange(30) / 10, f"{prose.slug(4)}-{number}", article_content(contents, content_prose))
            + (structure, structure, "en_US", random_time(random), True, False, 0, 20_140, random_time(random))
            for number in articles
            for folder, structure in ((random.choice(ARTICLE_FOLDER_IDS), random.choice(STRUCTURE_KEYS)),)
        ),
    )
    yield TableRows(
        "journalarticlelocalization",
        "articlelocalizationid companyid articlepk title description languageid",
        ((number + 2, COMPANY_ID, number + 1, prose.title(6), prose.text(30), "en_US") for number in articles),
    )
    yield TableRows(
        "assetentry",
        "entryid groupid companyid userid username createdate modifieddate classnameid classpk classuuid classtypeid "
        "listable visible publishdate mimetype title description summary priority",
        (
            (number + 3, REPOSITORY_ID, COMPANY_ID, 20_140, "", random_time(random), random_time(random))
            + (CLASS_NAME_IDS["JournalArticle"], number, random_uuid(random), 20_460, True, True, random_time(random))
            + ("text/html", prose.title(6), "", prose.text(30), 0.0)
            for number in articles
        ),
    )
    yield TableRows(
        "assetentries_assettags",
        "companyid entryid tagid",
        ((COMPANY_ID, number + 3, tag) for number in articles for tag in random.sample(TAG_IDS, 2)),
    )
    yield TableRows(
        "assetentryassetcategoryrel",
        "assetentryassetcategoryrelid companyid assetentryid assetcategoryid priority",
        ((number + 4, COMPANY_ID, number + 3, random.randrange(20_500, 20_560), 0) for number in articles),
    )


def _messages(plan: ContentPlan) -> Iterator[TableRows]:
    random = plan.random("messages")
    prose = Prose(random)
    threads, users = plan.ids("threads"), plan.ids("users")
    yield TableRows(
        "mbthread",
        "threadid uuid_ groupid companyid userid createdate modifieddate categoryid rootmessageid title lastpostdate "
        "priority question status",
        (
            (number, random_uuid(random), REPOSITORY_ID, COMPANY_ID, random.choice(users), random_time(random))
            + (random_time(random), MESSAGE_CATEGORY_IDS[number % len(MESSAGE_CATEGORY_IDS)], number + 1)
            + (prose.title(5), random_time(random), 0.0, False, 0)
            for number in threads
        ),
    )
    yield TableRows(
        "mbmessage",
        "messageid uuid_ groupid companyid userid username createdate modifieddate classnameid classpk categoryid "
        "threadid rootmessageid parentmessageid subject urlsubject body format anonymous answer status",
        (
            (number + 1 + reply, random_uuid(random), REPOSITORY_ID, COMPANY_ID, random.choice(users), "")
            + (random_time(random), random_time(random), CLASS_NAME_IDS["MBMessage"], 0)
            + (MESSAGE_CATEGORY_IDS[number % len(MESSAGE_CATEGORY_IDS)], number, number + 1, number + 1 if reply else 0)
            + (prose.title(4)[:75], f"{prose.slug(4)}-{number + reply}", prose.html(random.randrange(20, 300)))
            + ("html", False, False, 0)
            for number in threads
            for reply in range(5)
        ),
    )


def _traces(plan: ContentPlan) -> Iterator[TableRows]:
    """What people leave behind: permissions, audit events, notifications, visits."""
    random = plan.random("traces")
    prose = Prose(random)
    users, articles, names = plan.ids("users"), plan.ids("articles"), list(CLASS_NAMES.values())
    yield TableRows(
        "resourcepermission",
        "resourcepermissionid companyid name scope primkey primkeyid roleid ownerid actionids viewactionid",
        (
            (number, COMPANY_ID, "com.liferay.journal.model.JournalArticle", 4, str(article), article)
            + (20_101 + index % 2, 0 if index % 2 == 0 else 20_140, 1 if index % 2 == 0 else 127, True)
            for index, number in enumerate(plan.ids("permissions"))
            for article in (articles[index // 2 % len(articles)],)
        ),
    )
    yield TableRows(
        "audit_auditevent",
        "auditeventid companyid userid username createdate eventtype classname classpk message clienthost clientip "
        "servername serverport sessionid additionalinfo",
        (
            (
                number,
                COMPANY_ID,
                random.choice(users),
                "",
                random_time(random),
                random.choice(("LOGIN", "UPDATE", "VIEW")),
            )
            + (random.choice(names), str(random.choice(articles)), prose.text(6), "", random_address(random))
            + ("intranet.example.com", 443, random.randbytes(16).hex().upper(), json.dumps({"reason": prose.text(8)}))
            for number in plan.ids("events")
        ),
    )
    yield TableRows(
        "systemevent",
        "systemeventid groupid companyid userid createdate classnameid classpk classuuid type_ extradata",
        (
            (number + 1, REPOSITORY_ID, COMPANY_ID, 20_140, random_time(random), CLASS_NAME_IDS["JournalArticle"])
            + (random.choice(articles), random_uuid(random), 1, json.dumps({"title": prose.title(4)}))
            for number in plan.ids("events")[::4]
        ),
    )
    yield TableRows(
        "usernotificationevent",
        "usernotificationeventid uuid_ companyid userid type_ timestamp deliverytype delivered payload archived",
        (
            (number, random_uuid(random), COMPANY_ID, random.choice(users), "com_liferay_journal_web_portlet")
            + (
                1_546_300_800_000 + number,
                10_002,
                True,
                json.dumps({"title": prose.title(5), "url": prose.slug(4)}),
                False,
            )
            for number in plan.ids("notifications")
        ),
    )
    yield TableRows(
        "acme_visit",
        "visitid companyid userid plid visited duration path details price client score campaign_code",
        (_visit(number, users, articles, random, prose) for number in range(1, plan.count("visits") + 1)),
    )


def _visit(number: int, users: range, articles: range, random: Random, prose: Prose) -> tuple[object, ...]:
    # Awkward on purpose: quotes and backslashes in arrays, zones, intervals, real and exact numbers, addresses.
    details = {"agent": prose.title(3), "depth": random.randrange(9), "tags": [prose.slug(1), "\u00fc \\ \"'"]}
    return (
        (number, COMPANY_ID, random.choice(users), random.choice(articles), f"{random_time(random)}+01")
        + (f"{random.randrange(1, 3_000)} seconds", [prose.slug(2), f'"{prose.slug(1)}\\'], json.dumps(details))
        + (
            f"{random.randrange(10**6) / 1e4:.4f}",
            random_address(random),
            random.random(),
            random.choice(("", "A&B", None)),
        )
    )


def _attachments(plan: ContentPlan) -> Iterator[tuple[object, ...]]:
    random = plan.random("attachments")
    left = plan.scale.incompressible_bytes
    number = 0
    while left > 0:
        size = min(left, 256 * 1024)
        yield number, f"scan-{number}.bin", random.randbytes(size)
        left -= size
        number += 1
