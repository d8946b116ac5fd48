"""Unpack the archives of a chain in several lanes: pieces of them at once, one backup after the other.

The newest backup comes first (``increments``). A lane that has nothing left to do in one backup fetches the beginning
of the next, and waits until the last piece of the one before is written. The first lane that breaks stops the others.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass

from lc2_backup_dagster.engines.postgres.base.tar_index import TarScanner
from lc2_backup_dagster.engines.postgres.ports import Progress, SupportsRead
from lc2_backup_dagster.engines.postgres.restore.tar_ranges import TarRange
from lc2_backup_dagster.engines.postgres.restore.unpack import Unpacking
from lc2_backup_dagster.model.errors import IntegrityError

LANES = 3
# Parts are asked for as a whole: cutting them here copies nothing.
_READ_BYTES = 1 << 24
_STEP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """What one lane unpacks at a time.

    Attributes:
        number: of the backup in its chain, the full one is 0.
        prefix: path of the archive's tablespace in the cluster.
        size_bytes: how much it is, or 0 where nobody knows.
        open: opens it.
        within: which range of the archive it is, or None for the whole.
    """

    number: int
    prefix: str
    size_bytes: int
    open: Callable[[], AbstractContextManager[SupportsRead]]
    within: TarRange | None = None


def unpack_in_lanes(
    backups: Iterable[Sequence[Piece]], unpacking: Unpacking, *, total_bytes: int | None, on_progress: Progress
) -> None:
    """Unpack everything.

    Args:
        backups: the pieces of each backup, in the order in which the backups are to be unpacked.
        unpacking: where to.
        total_bytes: of all pieces, if known.
        on_progress: called after every chunk, one call at a time.

    Raises:
        BackupError: the first error of any lane.
    """
    lanes = _Lanes(unpacking, total_bytes, on_progress)
    with ThreadPoolExecutor(LANES, thread_name_prefix="restore") as pool:
        try:
            before = _Turn(0)
            running: list[Future[None]] = []
            for pieces in backups:
                turn = _Turn(len(pieces))
                # The longest first: what is left when lanes run out of work is short.
                for piece in sorted(pieces, key=lambda each: each.size_bytes, reverse=True):
                    running.append(pool.submit(lanes.unpack, piece, turn, before))
                before = turn
            for each in as_completed(running):
                each.result()
        except BaseException:
            lanes.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(slots=True)
class _Turn:
    """One backup's: over when none of its pieces is left."""

    left: int


class _Lanes:
    """What the lanes share."""

    def __init__(self, unpacking: Unpacking, total_bytes: int | None, on_progress: Progress) -> None:
        self._unpacking = unpacking
        self._total_bytes, self._on_progress = total_bytes, on_progress
        self._done_bytes = 0
        self._counting = threading.Lock()
        self._news = threading.Condition()
        self._broken = False

    def unpack(self, piece: Piece, turn: _Turn, before: _Turn) -> None:
        """Unpack a piece when the turn before its own is over; return early when another lane broke."""
        try:
            self._unpack(piece, before)
        except BaseException:
            self.stop()
            raise
        with self._news:
            turn.left -= 1
            self._news.notify_all()

    def stop(self) -> None:
        """Let every lane end."""
        with self._news:
            self._broken = True
            self._news.notify_all()

    def _unpack(self, piece: Piece, before: _Turn) -> None:
        if self._broken:
            return
        within = piece.within
        with piece.open() as source, self._unpacking.lane(number=piece.number, prefix=piece.prefix) as lane:
            is_whole = within is None or (within.start == 0 and within.is_last)
            scanner = TarScanner(lane.member, start=within.start if within else 0, whole=is_whole)
            chunk = source.read(_READ_BYTES)
            with self._news:
                self._news.wait_for(lambda: self._broken or not before.left)
            while chunk and not self._broken:
                for at in range(0, len(chunk), _STEP_BYTES):
                    step = memoryview(chunk)[at : at + _STEP_BYTES]
                    scanner.feed(step)
                    self._count(len(step))
                chunk = source.read(_READ_BYTES)
            if self._broken:
                return
        if within is None or within.is_last:
            scanner.finish()
        else:
            scanner.finish_between_members()
        if within is not None and scanner.position != within.end:
            raise IntegrityError(f"the archive ends at byte {scanner.position}, not at {within.end}")

    def _count(self, count: int) -> None:
        with self._counting:
            self._done_bytes += count
            self._on_progress(self._done_bytes, self._total_bytes)
