"""How one document differs between two exports, as a person wants to read it. Pure.

JSON and YAML are compared by their keys, other text line by line, anything else by its size. Values that look secret
are hidden in every form.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from lc2_backup_dagster.engines.exports.canonical_json import parse_json
from lc2_backup_dagster.engines.exports.comparing import ChangeKind
from lc2_backup_dagster.engines.exports.document import DocumentKind, kind_of
from lc2_backup_dagster.engines.exports.key_changes import KeyChange, key_changes
from lc2_backup_dagster.engines.exports.redaction import redacted_lines
from lc2_backup_dagster.engines.exports.yaml_document import yaml_tree

MAX_LINES = 20_000
"""Lines of both texts up to which they are compared line by line."""
MAX_LINE_CHARACTERS = 500
_CONTEXT_LINES = 3
_EXACT_LINES = 4000


@dataclass(frozen=True, slots=True)
class DocumentChanges:
    """How a document differs.

    Attributes:
        path: its path.
        kind: how it differs.
        keys: the keys that differ; None where the document has no keys, or does not parse any more.
        lines: a unified diff without line ends, where there are no keys; None where it is no text, or too long.
        note: why there is neither, or None.
    """

    path: str
    kind: ChangeKind
    keys: tuple[KeyChange, ...] | None = None
    lines: tuple[str, ...] | None = None
    note: str | None = None

    def text(self) -> Iterator[str]:
        """Yield lines for a terminal: the path with ``+``, ``-`` or ``~``, and below it what differs."""
        yield f"{_MARKS[self.kind]} {self.path}{f' ({self.note})' if self.note else ''}"
        for change in self.keys or ():
            old, new = change.old or "", change.new or ""
            shown = f"{old} → {new}" if change.kind is ChangeKind.CHANGED else f"{old}{new}"
            yield f"    {_MARKS[change.kind]} {change.key or '(all)'}: {shown}"
        for line in self.lines or ():
            yield f"    {line}"


_MARKS = {ChangeKind.ADDED: "+", ChangeKind.REMOVED: "-", ChangeKind.CHANGED: "~"}


def document_changes(path: str, old: bytes | None, new: bytes | None) -> DocumentChanges:
    """Compare two contents of a document; None where it is not there.

    What does not parse as its ending says is compared as text: a comparison never fails because of a document.
    """
    if old is None or new is None:
        kind = ChangeKind.ADDED if old is None else ChangeKind.REMOVED
        return DocumentChanges(path, kind, note=f"{len(new or old or b'')} bytes")
    keys = _keys(kind_of(path), old, new)
    # Equal trees in other bytes: only the way it is written has changed, which lines show.
    if keys:
        return DocumentChanges(path, ChangeKind.CHANGED, keys=keys)
    try:
        return _line_changes(path, old.decode(), new.decode())
    except UnicodeDecodeError:
        return DocumentChanges(path, ChangeKind.CHANGED, note=f"no text, {len(old)} → {len(new)} bytes")


def _keys(kind: DocumentKind, old: bytes, new: bytes) -> tuple[KeyChange, ...] | None:
    try:
        match kind:
            case DocumentKind.JSON:
                return tuple(key_changes(parse_json(old), parse_json(new)))
            case DocumentKind.YAML:
                return tuple(key_changes(yaml_tree(old), yaml_tree(new)))
            case DocumentKind.OTHER:
                return None
    except (ValueError, RecursionError):
        return None


def _line_changes(path: str, old: str, new: str) -> DocumentChanges:
    olds, news = old.splitlines(), new.splitlines()
    if "\0" in old or "\0" in new:
        return DocumentChanges(path, ChangeKind.CHANGED, note=f"no text, {len(old)} → {len(new)} characters")
    if len(olds) + len(news) > MAX_LINES:
        return DocumentChanges(path, ChangeKind.CHANGED, note=f"too long to compare, {len(olds)} → {len(news)} lines")
    return DocumentChanges(path, ChangeKind.CHANGED, lines=tuple(_unified(olds, news)))


def _unified(olds: list[str], news: list[str]) -> Iterator[str]:
    """Yield a unified diff: found on the lines as they are, shown without secrets.

    ``difflib.unified_diff`` would compare what is shown, and miss a secret that changed.
    """
    # Whether a line holds a secret depends on those around it, so whole texts are redacted.
    old_shown, new_shown = ([_clipped(line) for line in redacted_lines(lines)] for lines in (olds, news))
    # Lines that come again and again are looked at as well, as long as that takes no time.
    exact = len(olds) + len(news) <= _EXACT_LINES
    for group in SequenceMatcher(None, olds, news, autojunk=not exact).get_grouped_opcodes(_CONTEXT_LINES):
        (_, old_from, _, new_from, _), (_, _, old_to, _, new_to) = group[0], group[-1]
        yield f"@@ -{old_from + 1},{old_to - old_from} +{new_from + 1},{new_to - new_from} @@"
        for tag, one, other, one_new, other_new in group:
            if tag == "equal":
                yield from (f" {line}" for line in old_shown[one:other])
                continue
            yield from (f"-{line}" for line in old_shown[one:other])
            yield from (f"+{line}" for line in new_shown[one_new:other_new])


def _clipped(line: str) -> str:
    return line if len(line) <= MAX_LINE_CHARACTERS else f"{line[: MAX_LINE_CHARACTERS - 1]}…"
