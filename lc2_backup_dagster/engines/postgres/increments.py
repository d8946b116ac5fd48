"""PostgreSQL's ``INCREMENTAL.<name>`` files: which blocks of a relation's file changed, and their content.

Source: ``sendFile`` in ``basebackup.c`` and ``pg_combinebackup/reconstruct.c`` of PostgreSQL 17 and 18. All numbers are
four bytes in the server's byte order: magic, number of blocks, truncation length in blocks, block numbers; where there
are blocks, zeros up to a multiple of the page size; then the blocks in the order of their numbers. Blocks below the
truncation length that are not listed stay what they were in the backup before; blocks at or above it exist only where
they are listed, and what lies between is zeros.

Applied in place, oldest increment first, a file goes through the very states it had at each backup. That yields the
bytes of ``pg_combinebackup``, which looks for each block from the newest backup to the oldest.
"""

import os
import struct
from collections.abc import Callable
from io import FileIO

from lc2_backup_dagster.model.errors import IntegrityError

PREFIX = "INCREMENTAL."
# BLCKSZ; servers built with another page size are refused when they are backed up
PAGE_BYTES = 8192
_MAGIC = 0xD3AE1F0D
_FIXED = struct.Struct("=III")
# blocks of one segment file of a relation; configurable at build time only, and never beyond 2^31 / 8 kB in practice
_MAX_BLOCKS = 1 << 26


def final_path(path: str) -> tuple[str, bool]:
    """Return the path a file of an increment has in the data directory, and whether it holds changed blocks only."""
    folder, slash, name = path.rpartition("/")
    if name.startswith(PREFIX):
        return f"{folder}{slash}{name.removeprefix(PREFIX)}", True
    return path, False


def unchanged_content(blocks: int) -> bytes:
    """Return what an increment holds of a file that did not change and has this many blocks."""
    return _FIXED.pack(_MAGIC, 0, blocks)


UNCHANGED_BYTES = _FIXED.size


class IncrementSink:
    """Takes the content of one ``INCREMENTAL.*`` file and writes its blocks into the file as it was before.

    Args:
        file: open for reading and writing; closed with this sink.
        path: its name, for messages.
        compare: write only blocks that differ from what is there.
    """

    def __init__(self, file: FileIO, path: str, *, compare: bool = False) -> None:
        self._file = file
        self._path = path
        self._compare = compare
        self._head = bytearray()
        self._numbers: tuple[int, ...] = ()
        self._head_bytes = _FIXED.size
        self._count = 0
        self._truncation = 0
        self._began = False
        self._done = 0  # bytes of blocks seen
        self._written = 0
        self._on_close: Callable[[int], None] = lambda written: None

    def tell(self, on_close: Callable[[int], None]) -> None:
        """Have this called with the number of bytes written."""
        self._on_close = on_close

    def write(self, chunk: memoryview, /) -> None:
        """Take the next piece.

        Raises:
            IntegrityError: not an increment.
        """
        while chunk and not self._began:
            taken = min(self._head_bytes - len(self._head), len(chunk))
            self._head += chunk[:taken]
            chunk = chunk[taken:]
            if len(self._head) == self._head_bytes:
                self._read_head()
        while chunk:
            number, inside = divmod(self._done, PAGE_BYTES)
            if number >= len(self._numbers):
                raise IntegrityError(f"the increment of {self._path} goes on after its last block")
            wanted = self._run_bytes(number, len(chunk) + inside) - inside
            piece = chunk[:wanted]
            self._put(piece, self._numbers[number] * PAGE_BYTES + inside)
            self._done += len(piece)
            chunk = chunk[len(piece) :]

    def _read_head(self) -> None:
        if len(self._head) == _FIXED.size:
            magic, count, self._truncation = _FIXED.unpack(self._head)
            if magic != _MAGIC or count > _MAX_BLOCKS or self._truncation > _MAX_BLOCKS:
                raise IntegrityError(f"the increment of {self._path} does not begin as one")
            if count:
                self._head_bytes += 4 * count
                self._head_bytes += -self._head_bytes % PAGE_BYTES
                self._count = count
                return
        else:
            self._numbers = struct.unpack_from(f"={self._count}I", self._head, _FIXED.size)
            if max(self._numbers) >= _MAX_BLOCKS:
                raise IntegrityError(f"the increment of {self._path} names a block beyond every file")
        self._begin()

    def _begin(self) -> None:
        """Cut the file to what may stay of it, and give it its new length."""
        self._began = True
        kept = self._truncation * PAGE_BYTES
        if os.fstat(self._file.fileno()).st_size > kept:
            self._file.truncate(kept)
        blocks = max(self._truncation, max(self._numbers, default=-1) + 1)
        self._file.truncate(blocks * PAGE_BYTES)

    def _run_bytes(self, first: int, limit: int) -> int:
        """Return the length of the run of neighbouring blocks from the first on, up to a limit."""
        numbers, after = self._numbers, first + 1
        while (
            (after - first) * PAGE_BYTES < limit and after < len(numbers) and numbers[after] == numbers[after - 1] + 1
        ):
            after += 1
        return (after - first) * PAGE_BYTES

    def _put(self, piece: memoryview, position: int) -> None:
        if self._compare and piece == memoryview(os.pread(self._file.fileno(), len(piece), position)):
            return
        while piece:
            written = os.pwrite(self._file.fileno(), piece, position)
            self._written += written
            position += written
            piece = piece[written:]

    def close(self) -> None:
        """The content is complete.

        Raises:
            IntegrityError: it ended too early.
        """
        self._file.close()
        if not self._began or self._done != len(self._numbers) * PAGE_BYTES:
            raise IntegrityError(f"the increment of {self._path} ends too early")
        self._on_close(self._written)

    def abandon(self) -> None:
        """Close without complaint."""
        self._file.close()
