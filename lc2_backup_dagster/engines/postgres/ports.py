"""What capture and restore ask of their callers: a place to write streams to, a source to read from."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from lc2_backup_dagster.model.errors import StorageFull
from lc2_backup_dagster.repository.parts import Stream, SupportsRead

__all__ = ["CountedSource", "Progress", "Stream", "SupportsRead", "WriteStream", "naming_full_disk", "no_progress"]

# Consumes the source to its end and returns what was stored. Raises when the source raises.
WriteStream = Callable[[str, SupportsRead], Stream]

# Called with the bytes done and, where it can be estimated, the bytes in all.
Progress = Callable[[int, int | None], None]


def no_progress(done_bytes: int, total_bytes: int | None) -> None:
    """Take progress and say nothing."""


class CountedSource:
    """A source that counts and reports what is read from it."""

    def __init__(self, source: SupportsRead, on_progress: Progress, total_bytes: int | None) -> None:
        self._source, self._on_progress, self._total_bytes = source, on_progress, total_bytes
        self.done = 0

    def read(self, size: int, /) -> bytes:
        """Return the next bytes of the source."""
        chunk = self._source.read(size)
        self.done += len(chunk)
        self._on_progress(self.done, self._total_bytes)
        return chunk


@contextmanager
def naming_full_disk(place: Path) -> Generator[None]:
    """Turn "no space left" of the operating system into ``StorageFull`` that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            raise StorageFull(f"no space left in {place}", hint="free space or name another directory") from error
        raise
