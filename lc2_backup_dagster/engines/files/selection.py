"""Which files of a backup are meant: all, a prefix, globs, one key. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from lc2_backup_dagster.model.globs import GlobSet

_SPECIAL = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class Selection:
    """A choice of keys.

    Globs match whole keys as in site files (``model/globs.py``: ``*`` crosses slashes). Several globs select what any
    of them matches.

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
        starts = [_SPECIAL.split(glob, maxsplit=1)[0] for glob in self.globs]
        if not starts:
            return self.prefix
        low, high = min(starts), max(starts)
        common = next((place for place, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
        return max(self.prefix, low[:common], key=len)

    def __contains__(self, key: str) -> bool:
        if self.key is not None:
            return key == self.key
        return key.startswith(self.prefix) and (not self.globs or self._globs.match(key))

    @cached_property
    def _globs(self) -> GlobSet:
        return GlobSet(self.globs)
