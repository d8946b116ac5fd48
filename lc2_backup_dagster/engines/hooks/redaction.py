"""Leaves secrets out of a command's output while it comes: values that are known, wherever the chunks are cut.

What only *looks* like a secret is judged line by line, by rules that the caller hands in (``Redaction.lines``): engines
do not know each other, and there shall be one set of rules.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

HIDDEN = "‹hidden›"
_HIDDEN_BYTES = HIDDEN.encode()
# A line of a secret of several lines, or another spelling of one: shorter ones would hide harmless words.
_SHORTEST_PIECE = 6


def _as_they_are(lines: Sequence[str]) -> Iterator[str]:
    return iter(lines)


def _no_name(_name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Redaction:
    """What of an output must not be shown.

    Attributes:
        values: secrets; hidden wherever they stand, as they are and in the spellings that programs print.
        lines: takes lines that follow each other and yields them without what looks like a secret.
        secret_name: whether a variable's value is a secret, by the variable's name.
    """

    values: frozenset[str] = field(default=frozenset(), repr=False)
    lines: Callable[[Sequence[str]], Iterator[str]] = _as_they_are
    secret_name: Callable[[str], bool] = _no_name

    def knowing(self, values: Iterable[str]) -> "Redaction":
        """Return the same with further secrets."""
        return Redaction(self.values | frozenset(values), self.lines, self.secret_name)

    def text(self, text: str) -> str:
        """Return a whole text without secrets."""
        known = ValueFilter(self.values)
        shown = (known.feed(text.encode("utf-8", "replace")) + known.end()).decode("utf-8", "replace")
        return "\n".join(self.lines(shown.split("\n")))


def spellings(value: str) -> set[bytes]:
    """Return how a secret may stand in an output: as it is, quoted for an address or in JSON, in Base64, by lines."""
    if not value:
        return set()
    pieces = {value, value.strip()} - {""}
    longer = {quote(value), quote(value, safe=""), json.dumps(value)[1:-1], *value.splitlines()}
    longer.add(base64.b64encode(value.encode("utf-8", "replace")).decode().rstrip("="))
    pieces |= {piece for piece in longer if len(piece.strip()) >= _SHORTEST_PIECE}
    return {piece.encode("utf-8", "replace") for piece in pieces}


class ValueFilter:
    """Replaces secrets in a stream of bytes. What may be the beginning of one is held back until more is known.

    Args:
        values: the secrets.
    """

    def __init__(self, values: Iterable[str]) -> None:
        # The longest first: one secret may contain another.
        self._values = sorted({spelt for value in values for spelt in spellings(value)}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(value) for value in self._values))
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take what came, and return what may be shown of it and of what was held back."""
        if not self._values:
            return chunk
        text = self._held + chunk
        cut = self._outside(text, len(text) - max(_overlap(text, value) for value in self._values))
        self._held = text[cut:]
        return self._hide(text[:cut])

    def end(self) -> bytes:
        """Return what was held back; nothing follows it."""
        text, self._held = self._held, b""
        return self._hide(text)

    def _outside(self, text: bytes, cut: int) -> int:
        """Move a cut to the front of every secret that it would go through."""
        moved = True
        while moved:
            moved = False
            for value in self._values:
                found = text.find(value, max(0, cut - len(value) + 1), cut + len(value) - 1)
                if 0 <= found < cut:
                    cut, moved = found, True
        return cut

    def _hide(self, text: bytes) -> bytes:
        # Looking for each is many times faster than one pattern of all, and mostly there is none.
        if any(value in text for value in self._values):
            return self._pattern.sub(_HIDDEN_BYTES, text)
        return text


def _overlap(text: bytes, value: bytes) -> int:
    """Return how much of a text's end is the beginning of a secret that is not complete."""
    for length in range(min(len(value) - 1, len(text)), 0, -1):
        if text.endswith(value[:length]):
            return length
    return 0
