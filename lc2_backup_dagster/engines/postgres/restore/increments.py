"""PostgreSQL's ``INCREMENTAL.<name>`` files: which blocks of a relation's file changed, and their content.

Source: ``sendFile`` in ``basebackup.c`` and ``pg_combinebackup/reconstruct.c`` of PostgreSQL 17 and 18. All numbers are
four bytes in the server's byte order: magic, number of blocks, truncation length in blocks, block numbers; where there
are blocks, zeros up to a multiple of the page size; then the blocks in the order of their numbers. Blocks below the
truncation length that are not listed stay what they were in the backup before; blocks at or above it exist only where
they are listed, and what lies between is zeros.

A file is put together in place, newest backup first, as ``pg_combinebackup`` looks for each block: what a newer backup
says of a block is settled, and no older one writes it. The backup that holds the file whole comes last and fills in the
rest. So every block is written once, and the checksum of the result is known without reading the file again: from that
of the whole file and from the blocks that were replaced (``crc_difference``).
"""

import os
import struct
from collections.abc import Callable, Iterator
from io import FileIO

from lc2_backup_dagster.engines.postgres.base.backup_manifest import ManifestFile
from lc2_backup_dagster.engines.postgres.base.checksums import Checksum, new_checksum
from lc2_backup_dagster.engines.postgres.restore.crc_difference import CrcDifference
from lc2_backup_dagster.engines.postgres.restore.member_sinks import write_all, write_differing
from lc2_backup_dagster.engines.postgres.restore.page_cache import PageCache
from lc2_backup_dagster.model.errors import IntegrityError

PREFIX = "INCREMENTAL."
# BLCKSZ; servers built with another page size are refused when they are backed up
PAGE_BYTES = 8192
_MAGIC = 0xD3AE1F0D
_FIXED = struct.Struct("=III")
# blocks of one segment file of a relation; configurable at build time only, and never beyond 2^31 / 8 kB in practice
_MAX_BLOCKS = 1 << 26
_STEP_BYTES = 1 << 20


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


class ChangedFile:
    """A file that increments changed, while it is put together. Sinks of its backups are used newest first.

    Memory is one bit for each block.

    Args:
        path: its name, for messages.
        compare: the file may hold other content already; only what differs is written.

    Attributes:
        size_bytes: length of the result, known from the newest increment on.
    """

    def __init__(self, path: str, *, compare: bool = False) -> None:
        self.path = path
        self.compare = compare
        self.size_bytes = 0
        self._settled: bytearray | None = None
        self._open_blocks = 0  # from here on newer backups have settled every block, as their own or as zeros

    @property
    def open_bytes(self) -> int:
        """Length that older backups may have a say in; behind it is what increments wrote, and zeros."""
        return self._open_blocks * PAGE_BYTES

    def settle(self, truncation: int, numbers: tuple[int, ...]) -> list[tuple[int, int | None]]:
        """Take what an increment says of the file.

        Args:
            truncation: its truncation length in blocks.
            numbers: the blocks it holds.

        Returns:
            Runs of its blocks, in their order: bytes, and the position to write them to, or None to pass over them.
        """
        if self._settled is None:
            blocks = max(truncation, max(numbers, default=-1) + 1)
            self.size_bytes = blocks * PAGE_BYTES
            self._settled = bytearray(blocks + 7 >> 3)
            self._open_blocks = blocks
        settled, end = self._settled, self._open_blocks
        runs: list[tuple[int, int | None]] = []
        begin, last, wanted = 0, -1, False  # the run under way: first block, last block, whether it is written
        for number in numbers:
            byte, bit = number >> 3, 1 << (number & 7)
            writes = number < end and not settled[byte] & bit
            if writes:
                settled[byte] |= bit
            if last >= 0 and (writes != wanted or number != last + 1):
                runs.append(((last + 1 - begin) * PAGE_BYTES, begin * PAGE_BYTES if wanted else None))
                begin = number
            elif last < 0:
                begin = number
            last, wanted = number, writes
        if last >= 0:
            runs.append(((last + 1 - begin) * PAGE_BYTES, begin * PAGE_BYTES if wanted else None))
        self._open_blocks = min(end, truncation)
        return runs

    def settled_runs(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield what increments wrote between two positions: pairs of begin and end, ascending."""
        settled = self._settled or b""
        since: int | None = None
        for number in range(begin // PAGE_BYTES, -(-end // PAGE_BYTES)):
            if settled[number >> 3] >> (number & 7) & 1:
                since = number if since is None else since
            elif since is not None:
                yield max(begin, since * PAGE_BYTES), number * PAGE_BYTES
                since = None
        if since is not None:
            yield max(begin, since * PAGE_BYTES), end


class IncrementSink:
    """Takes the content of one ``INCREMENTAL.*`` file and writes the blocks that no newer increment has settled.

    Args:
        file: open for reading and writing; closed with this sink.
        changed: the file as far as it is known.
    """

    def __init__(self, file: FileIO, changed: ChangedFile) -> None:
        self._file = file
        self._changed = changed
        self._head = bytearray()
        self._head_bytes = _FIXED.size
        self._count = 0
        self._truncation = 0
        self._runs: Iterator[tuple[int, int | None]] | None = None  # None until the head is complete
        self._left = 0  # bytes of the run under way still to come
        self._position: int | None = None
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
        while chunk and self._runs is None:
            taken = min(self._head_bytes - len(self._head), len(chunk))
            self._head += chunk[:taken]
            chunk = chunk[taken:]
            if len(self._head) == self._head_bytes:
                self._read_head()
        while chunk:
            if not self._left and not self._next_run():
                raise IntegrityError(f"the increment of {self._changed.path} goes on after its last block")
            piece = chunk[: self._left]
            self._left -= len(piece)
            chunk = chunk[len(piece) :]
            if self._position is not None:
                put = write_differing if self._changed.compare else write_all
                self._written += put(self._file, piece, self._position)
                self._position += len(piece)

    def _read_head(self) -> None:
        numbers: tuple[int, ...] = ()
        if len(self._head) == _FIXED.size:
            magic, count, self._truncation = _FIXED.unpack(self._head)
            if magic != _MAGIC or count > _MAX_BLOCKS or self._truncation > _MAX_BLOCKS:
                raise IntegrityError(f"the increment of {self._changed.path} does not begin as one")
            if count:
                self._head_bytes += 4 * count
                self._head_bytes += -self._head_bytes % PAGE_BYTES
                self._count = count
                return
        else:
            numbers = struct.unpack_from(f"={self._count}I", self._head, _FIXED.size)
            if max(numbers) >= _MAX_BLOCKS:
                raise IntegrityError(f"the increment of {self._changed.path} names a block beyond every file")
        self._runs = iter(self._changed.settle(self._truncation, numbers))
        self._head.clear()
        if os.fstat(self._file.fileno()).st_size != self._changed.size_bytes:
            self._file.truncate(self._changed.size_bytes)

    def _next_run(self) -> bool:
        run = next(self._runs, None) if self._runs is not None else None
        if run is None:
            return False
        self._left, self._position = run
        return True

    def close(self) -> None:
        """The content is complete.

        Raises:
            IntegrityError: it ended too early.
        """
        self._file.close()
        if self._runs is None or self._left or self._next_run():
            raise IntegrityError(f"the increment of {self._changed.path} ends too early")
        self._on_close(self._written)

    def abandon(self) -> None:
        """Close without complaint."""
        self._file.close()


class UnderlyingSink:
    """Takes the content of a file that newer increments changed, and fills in what they have not settled.

    Args:
        file: as the increments left it, open for reading and writing; closed with this sink.
        changed: what they settled.
        promised: what the manifest says of the content, which is proven elsewhere; None if nobody asks for the result.
        on_result: called at the close with size and checksum of the file.
        cache: what is told of every piece written.
    """

    def __init__(
        self, file: FileIO, changed: ChangedFile, *, promised: ManifestFile | None = None,
        on_result: Callable[[int, str | None], None] | None = None, cache: PageCache | None = None,
    ) -> None:  # fmt: skip
        self._file = file
        self._changed = changed
        self._on_result = on_result
        self._cache = cache
        self._position = 0
        self._written = 0
        self._on_close: Callable[[int], None] = lambda written: None
        # Where only blocks were replaced, their difference is all that has to be summed up.
        self._known: str | None = None
        self._checksum: Checksum | None = None
        if promised is not None:
            same_length = promised.size == changed.size_bytes == changed.open_bytes
            if promised.algorithm == "CRC32C" and same_length:
                self._known = promised.checksum
            else:
                self._checksum = new_checksum(promised.algorithm)
        self._difference = CrcDifference()

    def tell(self, on_close: Callable[[int], None]) -> None:
        """Have this called with the number of bytes written."""
        self._on_close = on_close

    def write(self, chunk: memoryview, /) -> None:
        """Take the next piece; what an increment cut off is passed over."""
        chunk = chunk[: max(0, self._changed.open_bytes - self._position)]
        if chunk:
            self._fill(chunk)

    def _fill(self, piece: memoryview, *, is_hole: bool = False) -> None:
        begin = at = self._position
        self._position += len(piece)
        for since, until in self._changed.settled_runs(begin, self._position):
            self._put(piece[at - begin : since - begin], at, is_hole=is_hole)
            self._keep(piece[since - begin : until - begin], since)
            at = until
        self._put(piece[at - begin :], at, is_hole=is_hole)
        if self._cache is not None:
            self._cache.wrote(self._file.fileno(), self._position)

    def _put(self, piece: memoryview, position: int, *, is_hole: bool) -> None:
        if self._changed.compare:
            self._written += write_differing(self._file, piece, position)
        elif not is_hole:
            self._written += write_all(self._file, piece, position)
        if self._checksum is not None:
            self._checksum.update(piece)

    def _keep(self, piece: memoryview, position: int) -> None:
        if self._known is None and self._checksum is None:
            return
        settled = os.pread(self._file.fileno(), len(piece), position)
        if len(settled) != len(piece):
            raise IntegrityError(f"{self._changed.path} became shorter while it was written")
        if self._known is not None:
            self._difference.replaced(position, bytes(piece), settled)
        elif self._checksum is not None:
            self._checksum.update(settled)

    def close(self) -> None:
        """Add what lies behind the content: blocks of increments, and zeros."""
        while missing := self._changed.size_bytes - self._position:
            self._fill(memoryview(bytes(min(_STEP_BYTES, missing))), is_hole=True)
        if self._cache is not None:
            self._cache.finished(self._file.fileno(), self._position)
        self._file.close()
        self._on_close(self._written)
        if self._on_result is not None:
            self._on_result(self._position, self._result())

    def _result(self) -> str | None:
        if self._known is not None:
            return self._difference.applied_to(self._known, size_bytes=self._position)
        return self._checksum.hexdigest() if self._checksum is not None else None

    def abandon(self) -> None:
        """Close without complaint."""
        self._file.close()
