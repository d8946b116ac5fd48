"""Which files of a backup are meant: all, a prefix, globs, one key. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

_GLOB = re.compile(r"\*\*|\*|\?|[^*?]+")
_MEANING = {"**": r"(?s:.*)", "*": r"[^/]*", "?": r"[^/]"}


@dataclass(frozen=True)
class Selection:
    """A choice of keys.

    Globs match whole keys: ``*`` is any text without a slash, ``**`` any text, ``?`` one character but a slash;
    everything else stands for itself. Several globs select what any of them matches.

    Attributes:
        prefix: only keys that begin with it.
        globs: only keys that one of them matches; all when empty.
        key: only this key.
    """

    prefix: str = ""
    globs: tuple[str, ...] = ()
    key: str | None = None

    @classmethod
    def everything(cls) -> Self:
        """Select all files."""
        return cls()

    @classmethod
    def below(cls, prefix: str) -> Self:
        """Select the files whose key begins with a prefix."""
        return cls(prefix=prefix)

    @classmethod
    def matching(cls, globs: Sequence[str]) -> Self:
        """Select the files that any of the globs matches."""
        return cls(globs=tuple(globs))

    @classmethod
    def only(cls, key: str) -> Self:
        """Select one file."""
        return cls(key=key)

    @property
    def is_everything(self) -> bool:
        """Whether no file is left out."""
        return self == type(self)()

    @cached_property
    def fixed_prefix(self) -> str:
        """Text with which every selected key begins."""
        if self.key is not None:
            return self.key
        starts = [re.split(r"[*?]", glob, maxsplit=1)[0] for glob in self.globs]
        if not starts:
            return self.prefix
        low, high = min(starts), max(starts)
        common = next((place for place, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
        return max(self.prefix, low[:common], key=len)

    def __contains__(self, key: str) -> bool:
        if self.key is not None:
            return key == self.key
        return key.startswith(self.prefix) and (not self.globs or self._pattern.fullmatch(key) is not None)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{_regex(glob)})" for glob in self.globs))


def _regex(glob: str) -> str:
    return "".join(_MEANING.get(piece) or re.escape(piece) for piece in _GLOB.findall(glob))
