"""Which files of a backup are meant: all, a prefix, globs, single keys. Pure."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from lc2_backup_dagster.model.globs import GlobSet

_SPECIAL = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class Selection:
    """A choice of keys.

    Globs match whole keys as in site files (``model/globs.py``: ``*`` crosses slashes). Several globs select what any
    of them matches. Prefix, globs and keys narrow each other.

    Attributes:
        prefix: only keys that begin with it.
        globs: only keys that one of them matches; all when empty.
        keys: only these keys; all when empty.
    """

    prefix: str = ""
    globs: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()

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
        return cls(keys=frozenset([key]))

    @property
    def is_everything(self) -> bool:
        """Whether no file is left out."""
        return self == type(self)()

    @property
    def is_whole_prefix(self) -> bool:
        """Whether every file below the prefix is meant, so that another one there is one too many."""
        return not self.globs and not self.keys

    @cached_property
    def fixed_prefix(self) -> str:
        """Text with which every selected key begins."""
        starts = [_common([_SPECIAL.split(glob, maxsplit=1)[0] for glob in self.globs]), _common(self.keys)]
        return max(self.prefix, *starts, key=len)

    def __contains__(self, key: str) -> bool:
        return (
            key.startswith(self.prefix)
            and (not self.globs or self._globs.match(key))
            and (not self.keys or key in self.keys)
        )

    @cached_property
    def _globs(self) -> GlobSet:
        return GlobSet(self.globs)


def _common(texts: Collection[str]) -> str:
    """Return the text with which all of them begin."""
    if not texts:
        return ""
    low, high = min(texts), max(texts)
    return low[: next((place for place, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))]
