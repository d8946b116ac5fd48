"""Folders that come with what lies in them: a choice of files brings the folders on their way. Pure."""

from typing import Generic, TypeVar

_T = TypeVar("_T")


class FoldersAbove(Generic[_T]):
    """Remembers the folders that were left out and lie above what comes next.

    Keys must come as a walk gives them: a folder, whose key ends with a slash, before everything in it, and all of that
    together. Memory grows with depth only.
    """

    def __init__(self) -> None:
        self._above: list[tuple[str, _T]] = []

    def leave_out(self, key: str, folder: _T) -> None:
        """Take a folder that is of no interest by itself."""
        self._forget(key)
        self._above.append((key, folder))

    def of(self, key: str) -> list[_T]:
        """Return the folders above a key that were left out so far, from the top down; each comes once."""
        if not self._above:
            return []
        self._forget(key)
        found = [folder for _, folder in self._above]
        self._above.clear()
        return found

    def _forget(self, key: str) -> None:
        while self._above and not key.startswith(self._above[-1][0]):
            self._above.pop()
