"""Globs over object keys: many patterns compiled into one regular expression.

The whole key is matched, case-sensitively, by these rules (``docs/site-file.md`` repeats them for users):

* ``*`` stands for any run of characters, none included, **slashes too** (``*/thumbnails/*`` matches at any depth);
* ``?`` stands for exactly one character;
* ``[abc]``, ``[a-z]`` stand for one of these characters, ``[!abc]`` for one that is none of them;
* ``{number}`` stands for a whole run of digits ``0-9``;
* everything else stands for itself; ``[*]``, ``[?]``, ``[[]`` and ``[{]`` are the literal characters.

Matching time is linear in the length of the key for each star: pieces between stars are matched as atomic groups,
so a hostile pattern such as ``*a*a*a*a*b`` cannot make a run hang.
"""

import re
from collections.abc import Iterable

from lc2_backup_dagster.model.errors import ConfigurationError

_NUMBER = "{number}"
_NUMBER_PATTERN = r"(?<![0-9])[0-9]+(?![0-9])"


class GlobSet:
    """A set of globs asked together; an empty set matches nothing.

    Args:
        patterns: the globs, in any order.

    Raises:
        ConfigurationError: a pattern is empty or malformed; the message quotes it.
    """

    __slots__ = ("_match", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(dict.fromkeys(patterns))
        alternatives = "|".join(glob_to_regex(pattern) for pattern in self.patterns)
        self._match = re.compile(f"(?:{alternatives})", re.DOTALL).fullmatch if self.patterns else None

    def match(self, key: str) -> bool:
        """Say whether any of the globs matches the whole key."""
        return self._match is not None and self._match(key) is not None

    def __repr__(self) -> str:
        return f"GlobSet({self.patterns!r})"


class FileSelection:
    """Which keys of a file source belong to its backup.

    A key is selected when it matches an include (or none are given) and no exclude: excludes win.

    Args:
        includes: globs; empty means every key.
        excludes: globs.
    """

    __slots__ = ("excludes", "includes")

    def __init__(self, *, includes: Iterable[str] = (), excludes: Iterable[str] = ()) -> None:
        self.includes = GlobSet(includes)
        self.excludes = GlobSet(excludes)

    def selects(self, key: str) -> bool:
        """Say whether a key is backed up."""
        if self.includes.patterns and not self.includes.match(key):
            return False
        return not self.excludes.match(key)


def glob_to_regex(pattern: str) -> str:
    """Translate one glob into a regular expression for ``fullmatch`` with ``re.DOTALL``.

    Raises:
        ConfigurationError: the pattern is empty, a bracket is not closed, or a range runs backwards.
    """
    if not pattern:
        raise ConfigurationError("a glob is empty", hint="write * to match every key")
    pieces: list[list[str]] = [[]]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "*":
            pieces.append([])
        elif character == "?":
            pieces[-1].append(".")
        elif character == "[":
            text, position = _bracket(pattern, position)
            pieces[-1].append(text)
            continue
        elif pattern.startswith(_NUMBER, position):
            pieces[-1].append(_NUMBER_PATTERN)
            position += len(_NUMBER)
            continue
        else:
            pieces[-1].append(re.escape(character))
        position += 1
    return _joined(["".join(piece) for piece in pieces])


def _joined(pieces: list[str]) -> str:
    """Join what stands between stars.

    A piece between two stars may take its first place in the key and never give it back (every piece has one
    possible end for each beginning, and a later beginning never ends earlier), hence the atomic groups.
    """
    first, *rest = pieces
    if not rest:
        return first
    *middle, last = rest
    atoms = "".join(f"(?>.*?{piece})" for piece in middle if piece)
    return f"{first}{atoms}.*{last}"


def _bracket(pattern: str, start: int) -> tuple[str, int]:
    """Translate the bracket that opens at ``start``; return it and the position behind it."""
    inside = start + 1
    negated = pattern[inside : inside + 1] == "!"
    if negated:
        inside += 1
    end = pattern.find("]", inside + 1)  # a "]" that stands first is literal
    if end < 0:
        raise ConfigurationError(
            f"the glob '{pattern}' has a '[' that is not closed", hint="write [[] for a literal bracket"
        )
    members = pattern[inside:end]
    parts: list[str] = []
    position = 0
    while position < len(members):
        if members[position + 1 : position + 2] == "-" and position + 2 < len(members):
            low, high = members[position], members[position + 2]
            if low > high:
                raise ConfigurationError(
                    f"the glob '{pattern}' has the range {low}-{high}, which runs backwards",
                    hint=f"write {high}-{low}",
                )
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
            position += 3
        else:
            # re.escape leaves characters alone that a class could read as set operators (&&, ||, ~~).
            parts.append(re.escape(members[position]) if members[position] not in "&|~" else f"\\{members[position]}")
            position += 1
    return f"[{'^' if negated else ''}{''.join(parts)}]", end + 1
