"""A retailer's content model and content, shaped as Bloomreach's management APIs give them out. The same for one seed.

Plain JSON values. Which of them are asked for where, and under which versions, is the server's matter
(``demo.servers.bloomreach``).
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from lc2_backup_dagster.demo.seed.prose import Prose

Json = dict[str, Any]

CHANNEL_IDS = ("retail-en", "retail-de")
_SECTIONS = ("banners", "news", "products", "stores")
_CONTENT_TYPES = {
    "banners": "retail:banner",
    "news": "retail:news",
    "products": "retail:product",
    "stores": "retail:store",
}


@dataclass(slots=True)
class BloomreachContent:
    """Everything that one Bloomreach environment holds.

    Attributes:
        content_types: name → content type, of the main project (``core``).
        channels: id → channel.
        layouts: channel id → name → layout; likewise ``routes`` and ``menus``.
        component_groups: channel id → group → component name → component.
        items: path → document, page, resource bundle or folder, as a line of an export.
        history: path → earlier versions of the item, oldest first.
    """

    content_types: dict[str, Json] = field(default_factory=dict[str, Json])
    channels: dict[str, Json] = field(default_factory=dict[str, Json])
    layouts: dict[str, dict[str, Json]] = field(default_factory=dict[str, dict[str, Json]])
    routes: dict[str, dict[str, Json]] = field(default_factory=dict[str, dict[str, Json]])
    menus: dict[str, dict[str, Json]] = field(default_factory=dict[str, dict[str, Json]])
    component_groups: dict[str, dict[str, dict[str, Json]]] = field(
        default_factory=dict[str, dict[str, dict[str, Json]]]
    )
    items: dict[str, Json] = field(default_factory=dict[str, Json])
    history: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])


def retail_content(*, documents: int = 40, seed: str = "bloomreach retail") -> BloomreachContent:
    """Return a site with two channels, seven content types and so many documents in each channel."""
    random = Random(seed)
    prose = Prose(random)
    content = BloomreachContent(content_types=_content_types())
    for channel_id in CHANNEL_IDS:
        _add_channel(content, channel_id)
        _add_folders(content, channel_id)
        for number in range(documents):
            section = _SECTIONS[number % len(_SECTIONS)]
            _add_document(content, channel_id, section, number, prose, random)
        _add_page(content, channel_id)
    _add_labels(content)
    return content


def edit(content: BloomreachContent, day: int) -> list[str]:
    """Change what editors change on a day: one news item in three versions, a new one, one gone, a field, a route.

    Returns:
        the kinds of resources that changed: ``items``, and ``content_types`` or ``routes``.
    """
    random = Random(f"edits of day {day}")
    prose = Prose(random)
    news = sorted(path for path, item in content.items.items() if item.get("contentType") == "retail:news")
    edited = news[day % len(news)]
    content.history.setdefault(edited, []).append(_version(content, edited, day))
    _set_field(content.items[edited], "introduction", prose.text(20))
    fresh = f"{edited.rpartition('/')[0]}/announcement-of-day-{day}"
    content.items[fresh] = _document(
        fresh, "retail:news", f"Announcement of day {day}", {"introduction": prose.text(15), "body": prose.html(60)}
    )
    if len(news) > 2:
        gone = news[(day + 1) % len(news)]
        del content.items[gone]
        content.history.pop(gone, None)
    if day % 2:
        fields = content.content_types["retail:product"]["fields"]
        fields.append(_field(f"attribute{day}", "String"))
        return ["items", "content_types"]
    route = content.routes[CHANNEL_IDS[0]]["news"]
    route["layout"] = "wide" if route["layout"] == "article" else "article"
    return ["items", "routes"]


def write_news(content: BloomreachContent, number: int) -> None:
    """Let an editor rewrite one news item, add a note, and take the note before that one away again."""
    prose = Prose(Random(f"news {number}"))
    news = sorted(path for path, item in content.items.items() if item.get("contentType") == "retail:news")
    edited = news[number % len(news)]
    _set_field(content.items[edited], "introduction", prose.text(20))
    folder = f"/content/documents/{CHANNEL_IDS[0]}/news"
    note = f"{folder}/note-{number}"
    content.items[note] = _document(note, "retail:news", f"Note {number}", {"introduction": prose.text(15)})
    content.items.pop(f"{folder}/note-{number - 1}", None)


def _field(name: str, kind: str, **more: Any) -> Json:
    return {
        "name": name,
        "type": kind,
        "required": False,
        "multiple": False,
        "presentation": {"caption": name.capitalize(), "layoutColumn": 1},
        **more,
    }


def _type(name: str, kind: str, *fields: Json) -> Json:
    caption = name.partition(":")[2].capitalize()
    presentation = {"displayName": caption, "layout": "left", "caption": caption}
    return {"name": name, "type": kind, "presentation": presentation, "fields": list(fields), "system": None}


def _content_types() -> dict[str, Json]:
    title = _field("title", "String", required=True, validations={"maxLength": 120})
    types = [
        _type("retail:seo", "FieldGroup", _field("metaTitle", "String"), _field("metaDescription", "Text")),
        _type("retail:price", "FieldGroup", _field("amount", "Number", required=True), _field("currency", "String")),
        _type(
            "retail:banner", "Document", title, _field("content", "RichText"), _field("image", "Link"),
            _field("cta", "String"), _field("link", "Link"),
        ),
        _type(
            "retail:news", "Document", title, _field("introduction", "Text"), _field("body", "RichText"),
            _field("date", "Date"), _field("seo", "FieldGroup", fieldGroupType="retail:seo"),
        ),
        _type(
            "retail:product", "Document", title, _field("sku", "String", required=True),
            _field("price", "FieldGroup", fieldGroupType="retail:price"), _field("images", "Link", multiple=True),
        ),
        _type(
            "retail:store", "Document", title, _field("address", "Text"),
            _field("openingHours", "String", multiple=True),
        ),
        _type("retail:labels", "Document", title, _field("keys", "String", multiple=True)),
    ]  # fmt: skip
    return {each["name"]: each for each in types}


def _add_channel(content: BloomreachContent, channel_id: str) -> None:
    locale = {"retail-en": "en_GB", "retail-de": "de_DE"}[channel_id]
    content.channels[channel_id] = {
        "id": channel_id,
        "name": f"Retail {locale[:2]}",
        "branch": None,
        "branchOf": None,
        "contentRootPath": f"/content/documents/{channel_id}",
        "locale": locale,
        "devices": ["phone", "tablet"],
        "defaultDevice": None,
        "responseHeaders": None,
        "cdnHost": "https://cdn.retail.example",
        "parameters": {
            "spaUrl": "https://www.retail.example",
            "smDomainKey": "retail",
            "searchApiKey": "not-for-a-diff",
        },
    }
    content.layouts[channel_id] = {
        name: {
            "name": name,
            "type": "abstract" if name == "base" else "page",
            "label": name.capitalize(),
            "extends": None if name == "base" else "base",
            "hidden": name == "base",
            "components": [{"name": area, "ctype": "Container", "xtype": "hst.nomarkup"} for area in areas],
        }
        for name, areas in {
            "base": ("top", "bottom"), "article": ("main", "aside"), "wide": ("main",), "search": ("main", "facets"),
        }.items()
    }  # fmt: skip
    content.routes[channel_id] = {
        name: {"name": name, "relativeContentPath": path, "layout": layout, "matches": match, "roles": []}
        for name, path, layout, match in [
            ("root", "pages/home", "base", "/"),
            ("news", "news/${1}", "article", "/news/_any_"),
            ("products", "products/${1}", "wide", "/products/_any_"),
            ("search", None, "search", "/search"),
        ]
    }
    content.menus[channel_id] = {
        name: {"name": name, "items": [{"name": item.capitalize(), "link": {"type": "SITEMAPITEM", "link": item}}
                                       for item in items]}
        for name, items in {"main": ("news", "products", "stores"), "footer": ("imprint", "privacy")}.items()
    }  # fmt: skip
    content.component_groups[channel_id] = {
        "base": {name: _component("base", name) for name in ("Container", "Menu")},
        "retail": {name: _component("retail", name) for name in ("Banner", "NewsList", "ProductGrid", "StoreFinder")},
    }


def _component(group: str, name: str) -> Json:
    return {
        "id": f"{group}/{name}",
        "extends": "base/Component",
        "hidden": False,
        "system": group == "base",
        "ctype": name,
        "label": name,
        "fieldGroups": [{"name": "content", "fields": ["document", "limit"]}],
        "parameters": [
            {"name": "document", "valueType": "string", "required": True, "config": {"type": "contentpath"}},
            {"name": "limit", "valueType": "integer", "required": False, "defaultValue": "10"},
        ],
    }


def _add_folders(content: BloomreachContent, channel_id: str) -> None:
    root = f"/content/documents/{channel_id}"
    for path in (root, *(f"{root}/{section}" for section in (*_SECTIONS, "pages"))):
        content.items[path] = {
            "type": "folder",
            "path": path,
            "displayName": path.rpartition("/")[2].capitalize(),
            "allowedDocumentTypes": sorted(set(_CONTENT_TYPES.values())),
        }


def _add_document(
    content: BloomreachContent, channel_id: str, section: str, number: int, prose: Prose, random: Random
) -> None:
    name = f"{_CONTENT_TYPES[section].partition(':')[2]}-{number:04}"
    path = f"/content/documents/{channel_id}/{section}/{name}"
    fields: Json = {
        "banners": {"content": prose.html(30), "cta": prose.text(3)},
        "news": {"introduction": prose.text(25), "body": prose.html(200)},
        "products": {"sku": f"{random.randrange(10**8):08}", "price": f"{random.randrange(100, 99999) / 100:.2f}"},
        "stores": {"address": prose.text(8), "openingHours": "Mo–Sa 09:00–20:00"},
    }[section]
    content.items[path] = _document(path, _CONTENT_TYPES[section], prose.text(5), fields)


def _document(path: str, content_type: str, title: str, fields: Json) -> Json:
    return {
        "type": "document",
        "contentType": content_type,
        "name": path.rpartition("/")[2],
        "displayName": title,
        "path": path,
        "fields": [{"name": name, "value": [value]} for name, value in {"title": title, **fields}.items()],
    }


def _add_page(content: BloomreachContent, channel_id: str) -> None:
    path = f"/content/documents/{channel_id}/pages/home"
    banners = [each for each in content.items if each.startswith(f"/content/documents/{channel_id}/banners/")]
    content.items[path] = {
        "type": "page",
        "path": path,
        "name": "home",
        "displayName": "Home",
        "layout": "base",
        "containers": [
            {"name": "top", "components": [{"definition": "retail/Banner", "parameters": {"document": banners[0]}}]}
        ],
    }


def _add_labels(content: BloomreachContent) -> None:
    path = "/content/documents/administration/labels/checkout"
    content.items[path] = {
        "type": "resourcebundle",
        "path": path,
        "name": "checkout",
        "displayName": "Checkout",
        "keys": ["pay", "cancel"],
        "values": {"default": ["Pay", "Cancel"], "de": ["Bezahlen", "Abbrechen"]},
    }


def _version(content: BloomreachContent, path: str, day: int) -> Json:
    number = len(content.history.get(path, [])) + 1
    return {
        "version": f"1.{number}",
        "createdAt": f"2026-11-{day % 28 + 1:02}T08:00:00Z",
        "item": {**content.items[path], "fields": [dict(each) for each in content.items[path]["fields"]]},
    }


def _set_field(item: Json, name: str, value: str) -> None:
    for each in item["fields"]:
        if each["name"] == name:
            each["value"] = [value]
            return
    item["fields"].append({"name": name, "value": [value]})
