"""Configuration of a seeded Drupal that comes in numbers: fields, displays, views, blocks."""

from collections.abc import Iterator, Mapping
from random import Random

from lc2_backup_dagster.demo.seed.drupal_scale import NODE_TYPES
from lc2_backup_dagster.demo.seed.library_plan import random_uuid
from lc2_backup_dagster.demo.seed.php_values import PhpValue

Config = Mapping[str, PhpValue]

_FIELDS = {
    "body": ("text_with_summary", "text", "Body", 1),
    "field_image": ("image", "image", "Image", 1),
    "field_attachments": ("file", "file", "Attachments", -1),
    "field_tags": ("entity_reference", "taxonomy", "Tags", -1),
}
_VIEWS = {
    "archive": "Archive",
    "block_content": "Content blocks",
    "comment": "Comments",
    "comments_recent": "Recent comments",
    "content": "Content",
    "content_recent": "Recent content",
    "files": "Files",
    "frontpage": "Frontpage",
    "glossary": "Glossary",
    "media_events": "Events: what's on",
    "taxonomy_term": "Taxonomy term",
    "user_admin_people": "People",
    "watchdog": "Watchdog",
    "who_s_new": "Who's new",
}
_BLOCKS = """
account_menu breadcrumbs content footer_menu help main_menu messages page_title powered primary_admin_actions
primary_local_tasks search_form_narrow search_form_wide secondary_local_tasks site_branding syndicate
"""


def fields(random: Random) -> Iterator[tuple[str, Config]]:
    """Yield storages of fields, and the fields of each type of node."""
    for name, (kind, module, _, cardinality) in _FIELDS.items():
        settings: PhpValue = (
            {"target_type": "file", "display_field": False, "uri_scheme": "public"}
            if module in ("image", "file")
            else {}
        )
        yield (
            f"field.storage.node.{name}",
            {
                **_head(random, module=[module, "node"]),
                "id": f"node.{name}",
                "field_name": name,
                "entity_type": "node",
                "type": kind,
                "settings": settings,
                "module": module,
                "locked": False,
                "cardinality": cardinality,
                "translatable": True,
                "indexes": {"target_id": ["target_id"]} if module == "image" else {},
                "persist_with_no_fields": name == "body",
                "custom_storage": False,
            },
        )
    for bundle in NODE_TYPES:
        for name, (kind, module, label, _) in _FIELDS.items():
            settings = {}
            if module in ("image", "file"):
                settings = {
                    "file_directory": "[date:custom:Y]-[date:custom:m]",
                    "file_extensions": "png gif jpg jpeg webp" if module == "image" else "pdf docx txt csv zip",
                    "max_filesize": "",
                }
            yield (
                f"field.field.node.{bundle}.{name}",
                {
                    **_head(random, config=[f"field.storage.node.{name}", f"node.type.{bundle}"], module=[module]),
                    "id": f"node.{bundle}.{name}",
                    "field_name": name,
                    "entity_type": "node",
                    "bundle": bundle,
                    "label": label,
                    "description": "",
                    "required": False,
                    "translatable": True,
                    "default_value": [],
                    "default_value_callback": "",
                    "settings": settings,
                    "field_type": kind,
                },
            )


def displays(random: Random) -> Iterator[tuple[str, Config]]:
    """Yield how nodes are shown and edited."""
    modes = {"default": "view", "teaser": "view", "search_index": "view", "form": "form"}
    for bundle in NODE_TYPES:
        for mode, kind in modes.items():
            shown = mode if kind == "view" else "default"
            content: dict[str, PhpValue] = {
                name: {
                    "type": f"{field[1]}_default",
                    "label": "hidden",
                    "settings": {"image_link": "", "image_style": "large"} if field[1] == "image" else {},
                    "third_party_settings": {},
                    "weight": weight,
                    "region": "content",
                }
                for weight, (name, field) in enumerate(_FIELDS.items())
            }
            needed = [f"field.field.node.{bundle}.{name}" for name in _FIELDS] + [f"node.type.{bundle}"]
            yield (
                f"core.entity_{kind}_display.node.{bundle}.{shown}",
                {
                    **_head(random, config=sorted(needed), module=["file", "image", "text", "user"]),
                    "id": f"node.{bundle}.{shown}",
                    "targetEntityType": "node",
                    "bundle": bundle,
                    "mode": shown,
                    "content": content,
                    "hidden": {"langcode": True, "search_api_excerpt": True},
                },
            )


def views(random: Random) -> Iterator[tuple[str, Config]]:
    """Yield lists of content."""
    for name, label in _VIEWS.items():
        filters: PhpValue = {
            "status": {
                "id": "status",
                "table": "node_field_data",
                "field": "status",
                "plugin_id": "boolean",
                "value": "1",
                "group": 1,
                "expose": {"operator": False},
            },
            "langcode": {
                "id": "langcode",
                "table": "node_field_data",
                "value": {"***LANGUAGE_language_content***": "1"},
            },
        }
        default: PhpValue = {
            "id": "default",
            "display_title": "Default",
            "display_plugin": "default",
            "position": 0,
            "display_options": {
                "title": label,
                "pager": {"type": "mini", "options": {"offset": 0, "items_per_page": random.choice((10, 25, 50))}},
                "exposed_form": {"type": "basic", "options": {"submit_button": "Apply", "reset_button": False}},
                "access": {"type": "perm", "options": {"perm": "access content"}},
                "cache": {"type": "tag", "options": {}},
                "empty": {},
                "sorts": {"created": {"id": "created", "table": "node_field_data", "order": "DESC"}},
                "filters": filters,
                "style": {"type": "default"},
                "query": {"type": "views_query", "options": {"query_comment": "", "distinct": False}},
            },
            "cache_metadata": {
                "max-age": -1,
                "contexts": ["languages:language_interface", "url.query_args"],
                "tags": [],
            },
        }
        page: PhpValue = {
            "id": "page_1",
            "display_title": "Page",
            "display_plugin": "page",
            "position": 1,
            "display_options": {"display_extenders": {}, "path": f"admin/content/{name.replace('_', '-')}"},
        }
        yield (
            f"views.view.{name}",
            {
                **_head(random, module=["node", "user"]),
                "id": name,
                "label": label,
                "module": "views",
                "description": f'Lists of "{label}": made by the seed.',
                "tag": "default",
                "base_table": "node_field_data",
                "base_field": "nid",
                "display": {"default": default, "page_1": page},
            },
        )


def blocks(random: Random) -> Iterator[tuple[str, Config]]:
    """Yield the blocks of the site's theme."""
    for weight, name in enumerate(_BLOCKS.split()):
        plugin = f"system_{name}_block" if "menu" not in name else f"system_menu_block:{name.removesuffix('_menu')}"
        yield (
            f"block.block.olivero_{name}",
            {
                **_head(random, module=["system"], theme=["olivero"]),
                "id": f"olivero_{name}",
                "theme": "olivero",
                "region": random.choice(("header", "content_above", "content", "footer_bottom")),
                "weight": weight - 8,
                "provider": None,
                "plugin": plugin,
                "settings": {
                    "id": plugin,
                    "label": name.replace("_", " ").capitalize(),
                    "label_display": "0",
                    "provider": "system",
                },
                "visibility": {},
            },
        )


def _head(random: Random, **needed: list[str]) -> Config:
    dependencies: dict[str, PhpValue] = {kind: list(names) for kind, names in needed.items()}
    return {"uuid": random_uuid(random), "langcode": "en", "status": True, "dependencies": dependencies}
