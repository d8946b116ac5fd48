"""Whether a secret shows in a text: by its form, or behind a name that looks secret, wherever in a line that stands.

When in doubt one does: what is left out is told, and what was stored cannot be taken back.
"""

import re

from lc2_backup_dagster.engines.exports.redaction import NAMED_VALUE, is_secret_name, redacted

_TAG = re.compile(r"<(?P<tag>[A-Za-z_][^<>]{0,4000})>(?P<text>[^<]{0,200})")
_ATTRIBUTE = re.compile(r"""([\w:.\-]{1,200})\s{0,20}=\s{0,20}["']([^"']*)["']""", re.ASCII)
_NAMING = ("name", "key", "id")
# The secret itself is elsewhere.
_PLACEHOLDER = re.compile(r"\$(?:\{[\w.:\-]*\}|\[[\w.:\-]*\]|\w+)")


def shows_secret(text: str) -> bool:
    """Say whether a secret shows in a text of any kind."""
    return redacted(text) != text or any(
        is_secret_name(found["name"]) and not _is_placeholder(found["value"]) for found in NAMED_VALUE.finditer(text)
    )


def markup_shows_secret(text: str) -> bool:
    """Say whether an element of XML holds a secret: in an attribute, as its text, or as the value of what it names."""
    for found in _TAG.finditer(text):
        element = re.split(r"[\s/]", found["tag"], maxsplit=1)[0]
        attributes = dict(_ATTRIBUTE.findall(found["tag"]))
        if any(is_secret_name(name) and _is_value(value) for name, value in attributes.items()):
            return True
        names = [element, *(attributes.get(each, "") for each in _NAMING)]
        if any(map(is_secret_name, names)) and (_is_value(found["text"]) or _is_value(attributes.get("value", ""))):
            return True
    return False


def _is_value(text: str) -> bool:
    return bool(text.strip()) and not _is_placeholder(text.strip())


def _is_placeholder(value: str) -> bool:
    return _PLACEHOLDER.fullmatch(value) is not None
