"""Liferay's configuration: portal properties and OSGi configurations, without secrets and without the licence.

Three formats are read. ``*.properties`` and ``*.cfg`` are Java properties: ``key=value``, ``:`` or blanks in place of
``=``, lines that go on behind a backslash, comments with ``#`` or ``!``. ``*.config`` is Felix's typed format:
``key=T"value"``, lists in brackets over several lines. A property whose name looks secret, or whose value shows one (a
password in an address, in an option, in a list), is left out with all its lines; its name is kept for whoever restores.
So is a comment that shows one. Everything else of these formats stays as it is, byte for byte.

Of other documents (``setenv.sh``, ``context.xml``) nothing can be cut out: one that shows a secret is left out whole.
"""

import re
from collections.abc import Iterator

from lc2_backup_dagster.applications.liferay.shown_secrets import markup_shows_secret, shows_secret
from lc2_backup_dagster.engines.exports.redaction import is_secret_name
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

# Not what Python takes for line ends: half of a UTF-8 letter may look like one.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_KEY = re.compile(r"\s*(?P<name>(?:\\.|[^\\\s=:#!])(?:\\.|[^\\\s=:])*)")
_FELIX_KEY = re.compile(r'\s*"?(?P<name>(?:\\.|[^\\="])+?)"?\s*=')
_ESCAPE = re.compile(r"\\(?:u(?P<code>[0-9a-fA-F]{4})|(?P<plain>.))")
_UNREADABLE = "a line that cannot be read"
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
        return _by_form(lowered, content)
    # Java reads properties as Latin-1, people write UTF-8: every byte has a character in Latin-1, and none is lost.
    lines = _LINE.findall(content.decode("latin-1"))
    felix = lowered.endswith(_FELIX)
    kept: list[str] = []
    left_out: list[str] = []
    for group in _felix_groups(lines) if felix else _property_groups(lines):
        text, logical = "".join(group), _logical(group)
        if _is_comment(group):
            secret, name = shows_secret(text), "a comment"
        else:
            read = (_FELIX_KEY if felix else _KEY).match(logical)
            # A line whose name cannot be read is judged by all of it.
            secret = is_secret_name(_plain(read["name"] if read else logical))
            secret = secret or shows_secret(text) or shows_secret(_plain(logical))
            name = _plain(read["name"]).strip() if read else _UNREADABLE
        if secret:
            left_out.append(name)
        else:
            kept.append(text)
    return CleanDocument("".join(kept).encode("latin-1"), tuple(left_out))


def _by_form(path: str, content: bytes) -> CleanDocument:
    """Leave a document of another format out when a secret shows in it: it cannot be cut out of what is not read."""
    text = content.decode("latin-1")
    if shows_secret(text) or (path.endswith(_MARKUP) and markup_shows_secret(text)):
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


def _is_comment(group: list[str]) -> bool:
    return group[0].lstrip()[:1] in ("#", "!", "")


def _logical(group: list[str]) -> str:
    """Return a property as the one line that Java reads."""
    pieces: list[str] = []
    for line in group:
        bare = line.rstrip("\r\n")
        if pieces:
            bare = bare.lstrip(" \t\f")
        pieces.append(bare[:-1] if _goes_on(line) else bare)
    return "".join(pieces)


def _plain(text: str) -> str:
    """Return a text without the escapes of properties: a name that is spelled with them is the same name."""
    return _ESCAPE.sub(lambda found: chr(int(found["code"], 16)) if found["code"] else found["plain"], text)
