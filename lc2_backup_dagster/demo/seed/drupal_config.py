"""The active configuration of a seeded Drupal: about 150 objects and a German collection, as Drupal 10 has them.

Keys stand in the order of Drupal's schema, so that an export reads like a real one. ``uuid`` and hashes are drawn;
everything else is what a site with articles, pages, views, search and two languages has.
"""

import base64
from collections.abc import Iterator, Mapping
from random import Random

from lc2_backup_dagster.demo.seed.drupal_config_entities import blocks, displays, fields, views
from lc2_backup_dagster.demo.seed.drupal_scale import LANGUAGES, NODE_TYPES, VOCABULARIES
from lc2_backup_dagster.demo.seed.library_plan import random_uuid
from lc2_backup_dagster.demo.seed.php_values import PhpValue

DEFAULT_COLLECTION = ""
GERMAN_COLLECTION = "language.de"

Config = Mapping[str, PhpValue]

_MODULES = """
automated_cron big_pipe block block_content breakpoint ckeditor5 comment config config_translation contact contextual
datetime dblog dynamic_page_cache editor field field_ui file filter help history image language link locale
menu_link_content menu_ui node options page_cache path path_alias pathauto pgsql search_api search_api_solr shortcut
system taxonomy text token toolbar update user views_ui
"""
_DATE_FORMATS = {
    "fallback": ("Fallback date format", "D, m/d/Y - H:i", True),
    "html_date": ("HTML Date", "Y-m-d", True),
    "html_datetime": ("HTML Datetime", r"Y-m-d\TH:i:sO", True),
    "html_month": ("HTML Month", "Y-m", True),
    "html_time": ("HTML Time", "H:i:s", True),
    "html_week": ("HTML Week", r"Y-\WW", True),
    "long": ("Default long date", "l, F j, Y - H:i", False),
    "medium": ("Default medium date", "D, m/d/Y - H:i", False),
    "short": ("Default short date", "m/d/Y - H:i", False),
}
_ACTIONS = {
    "node_delete_action": ("node", "Delete content"),
    "node_make_sticky_action": ("node", "Make content sticky"),
    "node_make_unsticky_action": ("node", "Make content unsticky"),
    "node_promote_action": ("node", "Promote content to front page"),
    "node_publish_action": ("node", "Publish content"),
    "node_save_action": ("node", "Save content"),
    "node_unpromote_action": ("node", "Remove content from front page"),
    "node_unpublish_action": ("node", "Unpublish content"),
    "user_block_user_action": ("user", "Block the selected user(s)"),
    "user_unblock_user_action": ("user", "Unblock the selected user(s)"),
    "taxonomy_term_publish_action": ("taxonomy_term", "Publish taxonomy term"),
    "comment_delete_action": ("comment", "Delete comment"),
}
_STYLES = {"thumbnail": 100, "medium": 220, "large": 480, "wide": 1090, "hero": 1920}
_MAILS = {
    "cancel_confirm": "Account cancellation request for [user:display-name] at [site:name]",
    "password_reset": "Replacement login information for [user:display-name] at [site:name]",
    "register_admin_created": "An administrator created an account for you at [site:name]",
    "status_activated": "Account details for [user:display-name] at [site:name] (approved)",
}


def active_configuration(random: Random, *, site_uuid: str) -> dict[tuple[str, str], Config]:
    """Return every configuration object.

    Args:
        random: draws UUIDs and hashes.
        site_uuid: ``uuid`` of ``system.site``; imports of another site's configuration are refused.

    Returns:
        Mapping of ``(collection, name)`` → its value.
    """
    found: dict[tuple[str, str], Config] = {}
    sources = (
        _system(random, site_uuid),
        _formats(random),
        _people(random),
        _structure(random),
        fields(random),
        displays(random),
        views(random),
        blocks(random),
    )
    for source in sources:
        for name, value in source:
            found[DEFAULT_COLLECTION, name] = value
    for name, value in _german():
        found[GERMAN_COLLECTION, name] = value
    return found


def hashed(random: Random) -> Config:
    """Return what Drupal notes of an object's origin in a module."""
    return {"default_config_hash": base64.urlsafe_b64encode(random.randbytes(32)).decode().rstrip("=")}


def _system(random: Random, site_uuid: str) -> Iterator[tuple[str, Config]]:
    yield (
        "system.site",
        {
            "_core": hashed(random),
            "langcode": "en",
            "uuid": site_uuid,
            "name": "Harbour City Library",
            "mail": "web@library.example",
            "slogan": "Books, people & places: since 1887",
            "page": {"403": "", "404": "/not-found", "front": "/node/1"},
            "admin_compact_mode": False,
            "weight_select_max": 100,
            "default_langcode": "en",
            "mail_notification": None,
        },
    )
    yield (
        "core.extension",
        {
            "_core": hashed(random),
            "module": {**dict.fromkeys(_MODULES.split(), 0), "views": 10, "standard": 1000},
            "theme": {"claro": 0, "olivero": 0},
            "profile": "standard",
        },
    )
    simple: dict[str, dict[str, PhpValue]] = {
        "automated_cron.settings": {"interval": 10800},
        "core.menu.static_menu_link_overrides": {"definitions": {}},
        "dblog.settings": {"row_limit": 1000},
        "field.settings": {"purge_batch_size": 50},
        "file.settings": {
            "description": {"type": "textfield", "length": 128},
            "icon": {"directory": "core/modules/file/icons"},
            "make_unused_managed_files_temporary": True,
            "filename_sanitization": {
                "transliterate": False,
                "replace_whitespace": False,
                "replace_non_alphanumeric": False,
                "deduplicate_separators": False,
                "lowercase": False,
                "replacement_character": "-",
            },
        },
        "filter.settings": {"fallback_format": "plain_text", "always_show_fallback_choice": False},
        "image.settings": {"preview_image": "core/modules/image/sample.png", "allow_insecure_derivatives": False},
        "language.negotiation": {
            "session": {"parameter": "language"},
            "url": {"source": "path_prefix", "prefixes": {"en": "", "de": "de"}, "domains": {"en": "", "de": ""}},
            "selected_langcode": "site_default",
        },
        "language.types": {
            "all": ["language_interface", "language_content", "language_url"],
            "configurable": ["language_interface"],
            "negotiation": {"language_interface": {"enabled": {"language-url": -8}, "method_weights": {}}},
        },
        "locale.settings": {
            "cache_strings": True,
            "translate_english": False,
            "javascript": {"directory": "languages"},
            "translation": {"use_source": "remote_and_local", "path": "sites/default/files/translations"},
        },
        "menu_ui.settings": {"override_parent_selector": False},
        "node.settings": {"use_admin_theme": True},
        "pathauto.settings": {"separator": "-", "max_length": 100, "punctuation": {"hyphen": 1}, "case": True},
        "system.action.settings": {"recursion_limit": 35},
        "system.cron": {"threshold": {"requirements_warning": 172800, "requirements_error": 1209600}, "logging": True},
        "system.date": {
            "first_day": 1,
            "country": {"default": "DE"},
            "timezone": {"default": "Europe/Berlin", "user": {"configurable": True, "default": 0, "warn": False}},
        },
        "system.file": {
            "allow_insecure_uploads": False,
            "default_scheme": "public",
            "temporary_maximum_age": 21600,
        },
        "system.image": {"toolkit": "gd"},
        "system.image.gd": {"jpeg_quality": 75},
        "system.logging": {"error_level": "hide"},
        "system.mail": {"interface": {"default": "php_mail"}, "mailer_dsn": {"scheme": "sendmail", "host": "default"}},
        "system.maintenance": {
            "message": "@site is currently under maintenance. We should be back shortly.\nThank you for your patience."
        },
        "system.performance": {
            "cache": {"page": {"max_age": 900}},
            "css": {"preprocess": True, "gzip": True},
            "fast_404": {
                "enabled": True,
                "paths": r"/\.(?:txt|png|gif|jpe?g|css|js|ico)$/i",
                "html": "<!DOCTYPE html>",
            },
            "js": {"preprocess": True, "gzip": True},
            "stale_file_threshold": 2592000,
        },
        "system.rss": {"items": {"view_mode": "rss"}},
        "system.theme": {"admin": "claro", "default": "olivero"},
        "system.theme.global": {
            "favicon": {"mimetype": "image/vnd.microsoft.icon", "path": "", "url": "", "use_default": True},
            "features": {"comment_user_picture": True, "favicon": True, "node_user_picture": False},
            "logo": {"path": "", "url": "", "use_default": True},
        },
        "taxonomy.settings": {"maintain_index_table": True, "override_selector": False, "terms_per_page_admin": 100},
        "text.settings": {"default_summary_length": 600},
        "update.settings": {"check": {"disabled_extensions": False, "interval_days": 1}, "fetch": {"url": ""}},
        "views.settings": {"display_extenders": [], "sql_signature": False, "ui": {"show": {"advanced_column": False}}},
    }
    for name, value in simple.items():
        yield name, {"_core": hashed(random), **value}


def _formats(random: Random) -> Iterator[tuple[str, Config]]:
    for name, (label, pattern, locked) in _DATE_FORMATS.items():
        head: Config = {"uuid": random_uuid(random), "langcode": "en", "status": True, "dependencies": {}}
        yield f"core.date_format.{name}", {**head, "id": name, "label": label, "locked": locked, "pattern": pattern}
    for name, tags in (("basic_html", "<a href hreflang> <em> <strong> <blockquote cite>"), ("full_html", "")):
        html: PhpValue = {"allowed_html": tags, "filter_html_help": False, "filter_html_nofollow": False}
        yield (
            f"filter.format.{name}",
            {
                "uuid": random_uuid(random),
                "langcode": "en",
                "status": True,
                "dependencies": {"module": ["editor"]},
                "name": name.replace("_html", " HTML").title(),
                "format": name,
                "weight": 0 if name == "basic_html" else 2,
                "filters": {
                    "filter_html": {
                        "id": "filter_html",
                        "provider": "filter",
                        "status": bool(tags),
                        "weight": -10,
                        "settings": html,
                    }
                },
            },
        )
    for name, width in _STYLES.items():
        effect = random_uuid(random)
        data: PhpValue = {"width": width, "height": None if name == "wide" else width, "upscale": False}
        scale: PhpValue = {"uuid": effect, "id": "image_scale", "weight": 0, "data": data}
        head = {"uuid": random_uuid(random), "langcode": "en", "status": True, "dependencies": {}}
        label = f"{name.title()} ({width}×{width})"
        yield f"image.style.{name}", {**head, "name": name, "label": label, "effects": {effect: scale}}
    for name, (kind, label) in _ACTIONS.items():
        head = {
            "uuid": random_uuid(random),
            "langcode": "en",
            "status": True,
            "dependencies": {"module": [kind.removesuffix("_term")]},
        }
        more: Config = {"id": name, "label": label, "type": kind, "plugin": name, "configuration": {}}
        yield f"system.action.{name}", {**head, **more}


def _people(random: Random) -> Iterator[tuple[str, Config]]:
    permissions = {
        "anonymous": ["access content", "use text format restricted_html"],
        "authenticated": ["access content", "post comments", "use text format basic_html"],
        "content_editor": ["access content overview", "create article content", "edit any page content"],
        "administrator": [],
    }
    for weight, (role, allowed) in enumerate(permissions.items()):
        yield (
            f"user.role.{role}",
            {
                "uuid": random_uuid(random),
                "langcode": "en",
                "status": True,
                "dependencies": {},
                "id": role,
                "label": role.replace("_", " ").capitalize(),
                "weight": weight,
                "is_admin": role == "administrator",
                "permissions": allowed,
            },
        )
    mails: dict[str, PhpValue] = {
        name: {"body": f"[user:display-name],\n\n{subject}.\n\n--  [site:name] team", "subject": subject}
        for name, subject in _MAILS.items()
    }
    yield "user.mail", {"_core": hashed(random), "langcode": "en", **mails}
    yield "user.flood", {"_core": hashed(random), "uid_only": False, "ip_limit": 50, "ip_window": 3600}
    settings: Config = {
        "anonymous": "Anonymous",
        "verify_mail": True,
        "notify": {"cancel_confirm": True, "password_reset": True},
        "register": "visitors_admin_approval",
        "cancel_method": "user_cancel_block",
        "password_reset_timeout": 86400,
        "password_strength": True,
    }
    yield "user.settings", {"_core": hashed(random), "langcode": "en", **settings}


def _structure(random: Random) -> Iterator[tuple[str, Config]]:
    def head(*modules: str) -> Config:
        needed: PhpValue = {"module": list(modules)} if modules else {}
        return {"uuid": random_uuid(random), "langcode": "en", "status": True, "dependencies": needed}

    for name, label in NODE_TYPES.items():
        yield (
            f"node.type.{name}",
            {
                **head("menu_ui"),
                "third_party_settings": {"menu_ui": {"available_menus": ["main"], "parent": "main:"}},
                "name": label,
                "type": name,
                "description": f"Use <em>{label.lower()}s</em> for content of the library's website.",
                "help": None,
                "new_revision": True,
                "preview_mode": 1,
                "display_submitted": name == "article",
            },
        )
        pattern = {"id": name, "label": label, "type": "canonical_entities:node", "pattern": f"{name}/[node:title]"}
        yield f"pathauto.pattern.{name}", {**head("node"), **pattern, "selection_criteria": {}, "weight": -5}
    for name, label in VOCABULARIES.items():
        more: Config = {"name": label, "vid": name, "description": None, "weight": 0, "new_revision": False}
        yield f"taxonomy.vocabulary.{name}", {**head(), **more}
    for name, label in (*LANGUAGES.items(), ("und", "Not specified"), ("zxx", "Not applicable")):
        locked = name not in LANGUAGES
        more = {"id": name, "label": label, "direction": "ltr", "weight": 2 * locked, "locked": locked}
        yield f"language.entity.{name}", {**head(), **more}
    for name in ("account", "admin", "footer", "main", "tools"):
        more = {"id": name, "label": name.title(), "description": f"Links of the {name} menu.", "locked": True}
        yield f"system.menu.{name}", {**head(), **more}
    server: Config = {"id": "solr", "name": "Solr", "backend": "search_api_solr", "backend_config": {"retry": 3}}
    yield "search_api.server.solr", {**head("search_api"), **server}
    index: Config = {"id": "content", "name": "Content", "server": "solr", "options": {"cron_limit": 50, "boost": 1.5}}
    yield "search_api.index.content", {**head("search_api", "node"), **index}


def _german() -> Iterator[tuple[str, Config]]:
    yield "system.site", {"name": "Stadtbücherei am Hafen", "slogan": "Bücher, Menschen & Orte: seit 1887"}
    yield "node.type.article", {"name": "Artikel", "description": "Für „Neuigkeiten“ und Berichte."}
    yield "node.type.page", {"name": "Einfache Seite"}
    yield "views.view.content", {"label": "Inhalt", "display": {"default": {"display_options": {"title": "Inhalt"}}}}
    yield "user.role.administrator", {"label": "Verwalter"}
    yield "user.mail", {"password_reset": {"subject": "Neue Anmeldung für [user:display-name] bei [site:name]"}}
