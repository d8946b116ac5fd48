"""A site's archived WAL as a recovering server asks for it: segments, the last partial one, history files."""

from collections.abc import Iterable
from functools import cached_property

from lc2_backup_dagster.model.errors import PartMissing
from lc2_backup_dagster.operations.wal.coverage import WalCoverage
from lc2_backup_dagster.repository.wal.names import is_segment_name, parse_segment

_HISTORY = ".history"


class ArchivedWalSource:
    """Serves exactly the WAL of a coverage, however the archive grows or shrinks meanwhile.

    Args:
        coverage: what there is.
        segment_bytes: size of a segment; the partial one at the end is filled up with zeros, as on a server.
    """

    def __init__(self, coverage: WalCoverage, *, segment_bytes: int) -> None:
        self._coverage = coverage
        self._archive = coverage.archive
        self._segment_bytes = segment_bytes
        self._partial = dict([coverage.partial]) if coverage.partial else {}

    @cached_property
    def _order(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._names)}

    @cached_property
    def _names(self) -> list[str]:
        return [*self._coverage.segments, *self._partial]

    def fetch(self, name: str) -> bytes | None:
        """Return a segment or history file, None for what the coverage does not have.

        Raises:
            PartMissing: the coverage has it and it is gone: WAL was deleted during the recovery.
            PartCorrupt: it is damaged.
        """
        if name.endswith(_HISTORY):
            return self._archive.history(int(name.removesuffix(_HISTORY), 16))
        if name in self._partial:
            return self._until_end(name, self._archive.read_partial(name, self._partial[name]))
        if name in self._order:
            return self._until_end(name, self._archive.read_segment(name))
        return self._earlier(name) if is_segment_name(name) else None

    def _until_end(self, name: str, content: bytes) -> bytes:
        """Cut off what lies behind the end of the coverage: the old timeline may go on where the way has left it."""
        timeline, begins = parse_segment(name, self._segment_bytes)
        end = self._coverage.end
        if timeline == end.timeline and begins < end.value:
            content = content[: end.value - begins]
        return content.ljust(self._segment_bytes, b"\0")

    def _earlier(self, name: str) -> bytes | None:
        """Return a segment from before the coverage: redo begins at the backup's start, the coverage at its end.

        The backup holds these segments itself, so one that is not archived is no loss.
        """
        if self._names and name[8:] >= self._names[0][8:]:
            return None
        try:
            return self._archive.read_segment(name)
        except PartMissing:
            return None

    def upcoming(self, name: str) -> Iterable[str]:
        """Yield the segments that are replayed after this one."""
        if name in self._order:
            yield from self._names[self._order[name] + 1 :]
