"""Liferay's configuration: portal properties and OSGi configurations, without secrets and without the licence.

Three formats are read. ``*.properties`` and ``*.cfg`` are Java properties: ``key=value``, ``:`` or blanks in place of
``=``, lines that go on behind a backslash, comments with ``#`` or ``!``. ``*.config`` is Felix's typed format:
``key=T"value"``, lists in brackets over several lines. A property whose name looks secret, or whose value shows one (a
password in an address), is left out with all its lines; its name is kept for whoever restores. Everything else of these
formats stays as it is, byte for byte.
"""

import re
from collections.abc import Iterator

from lc2_backup_dagster.engines.exports.redaction import is_secret_name, redacted
from lc2_backup_dagster.model.application import CleanDocument

EXCLUDED = (
    # Activation keys, wherever Liferay looks for them or keeps what it made of them; add-ons.
    "*activation-key*.xml",
    "license/*",
    "*/license/*",
    "*.li",
    "*.lpkg",
    # Keys and key stores.
    "*.jks",
    "*.keystore",
    "*.p12",
    "*.pfx",
    "*.key",
    "*.pem",
)
"""Globs of what is never part of the configuration."""

_PROPERTIES = (".properties", ".cfg")
_FELIX = ".config"
_MARKUP = (".xml",)

_KEY = re.compile(r"\s*(?P<name>(?:\\.|[^\\\s=:#!])(?:\\.|[^\\\s=:])*)")
_FELIX_KEY = re.compile(r'\s*"?(?P<name>[\w.\-\[\]/:$~ ]+?)"?\s*=')
_LICENCE = re.compile(rb"<licen[sc]e\b|<key>[0-9a-f]{16,}</key>")


def without_secrets(path: str, content: bytes) -> CleanDocument:
    """Return a document of Liferay's configuration as it may be stored.

    Args:
        path: relative path; its ending tells the format.
        content: as it was read.
    """
    lowered = path.lower()
    if lowered.endswith(_MARKUP) and _LICENCE.search(content):
        return CleanDocument(None, ("licence",))
    if not lowered.endswith((*_PROPERTIES, _FELIX)):
        return _by_form(content)
    # Java reads properties as Latin-1, people write UTF-8: every byte has a character in Latin-1, and none is lost.
    lines = content.decode("latin-1").splitlines(keepends=True)
    kept: list[str] = []
    left_out: list[str] = []
    for group in _felix_groups(lines) if lowered.endswith(_FELIX) else _property_groups(lines):
        name = _name(group, felix=lowered.endswith(_FELIX))
        text = "".join(group)
        if name is not None and (is_secret_name(name) or redacted(text) != text):
            left_out.append(name)
        elif name is None and redacted(text) != text:
            left_out.append("a comment")
        else:
            kept.append(text)
    return CleanDocument("".join(kept).encode("latin-1"), tuple(left_out))


def _by_form(content: bytes) -> CleanDocument:
    """Leave a document of another format out when a secret shows in it: it cannot be cut out of what is not read."""
    text = content.decode("latin-1")
    if redacted(text) != text:
        return CleanDocument(None, ("the whole document: a secret shows in it",))
    return CleanDocument(content)


def _property_groups(lines: list[str]) -> Iterator[list[str]]:
    """Yield each property, comment or blank line with the lines that it goes on over."""
    group: list[str] = []
    for line in lines:
        group.append(line)
        comment = len(group) == 1 and line.lstrip()[:1] in ("#", "!", "")
        if comment or not _goes_on(line):
            yield group
            group = []
    if group:
        yield group


def _goes_on(line: str) -> bool:
    bare = line.rstrip("\r\n")
    return (len(bare) - len(bare.rstrip("\\"))) % 2 == 1


def _felix_groups(lines: list[str]) -> Iterator[list[str]]:
    """Yield each property with the lines of its list; a list ends at the bracket that closes it, outside of quotes."""
    group: list[str] = []
    state = _Brackets()
    for line in lines:
        group.append(line)
        if len(group) > 1 or line.lstrip()[:1] not in ("#", ""):
            state.read(line)
        if not state.open and not _goes_on(line):
            yield group
            group = []
    if group:
        yield group


class _Brackets:
    """Whether a value of Felix's format is still open."""

    def __init__(self) -> None:
        self._quoted = False
        self._depth = 0

    @property
    def open(self) -> bool:
        return self._quoted or self._depth > 0

    def read(self, line: str) -> None:
        escaped = False
        for character in line:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                self._quoted = not self._quoted
            elif not self._quoted:
                self._depth += (character in "[(") - (character in "])")


def _name(group: list[str], *, felix: bool) -> str | None:
    first = group[0]
    if not first.strip() or first.lstrip()[:1] in ("#", "!"):
        return None
    match = (_FELIX_KEY if felix else _KEY).match(first)
    # A line whose name cannot be read is judged by all of it.
    return match["name"] if match else first.strip()[:80]
