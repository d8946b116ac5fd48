"""Rows and bytes that do not fit into memory, on local disk.

Scratch files have no name once they are open, so what a killed process leaves is freed by the operating system.
"""

import errno
import json
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from heapq import merge
from itertools import chain
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lc2_backup_dagster.model.errors import StorageFull

Row = list[Any]
"""What is sorted: JSON values, the first one a text, by which is sorted."""

_FIRST = itemgetter(0)
_CHUNK_ROWS = 256


class ScratchFile:
    """An unnamed file that grows at its end and is read anywhere.

    Args:
        folder: where it lies; the system's temporary folder when None.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        with _storage_full(folder):
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by close()
        self._end = 0

    def append(self, data: bytes) -> int:
        """Write at the end and return the offset.

        Raises:
            StorageFull: the disk is full.
        """
        offset, view = self._end, memoryview(data)
        with _storage_full(self._folder):
            while view:
                written = os.pwrite(self._file.fileno(), view, self._end)
                view = view[written:]
                self._end += written
        return offset

    def read(self, offset: int, length: int) -> bytes:
        """Return a range written before."""
        data = os.pread(self._file.fileno(), length, offset)
        while len(data) < length:  # Linux reads at most 2 GiB at once
            data += os.pread(self._file.fileno(), length - len(data), offset + len(data))
        return data

    def clear(self) -> None:
        """Forget everything and free the space."""
        self._file.truncate(0)
        self._end = 0

    def close(self) -> None:
        """Free the space."""
        self._file.close()


class RowSorter:
    """Takes rows in any order and gives them back sorted, in bounded memory; a context manager.

    Rows that come in order are only passed through the disk; rows that do not are sorted in runs and merged. Rows
    with equal first values keep their order of arrival.

    Args:
        folder: where scratch files lie.
        run_rows: rows kept in memory; fewer rows than that never touch the disk.
    """

    def __init__(self, folder: Path | None, *, run_rows: int = 50_000) -> None:
        self._folder = folder
        self._run_rows = run_rows
        self._rows: list[Row] = []
        self._runs: list[list[tuple[int, int]]] = []
        self._file: ScratchFile | None = None
        self._last: str | None = None
        self.ordered = True
        self.count = 0

    def add(self, row: Row) -> None:
        """Take one row.

        Raises:
            StorageFull: the disk is full.
        """
        if self._last is not None and row[0] < self._last:
            self.ordered = False
        self._last = row[0]
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= self._run_rows:
            self._spill()

    def rows(self) -> Iterator[Row]:
        """Return all rows sorted; can be called again, ``add`` cannot."""
        if not self.ordered:
            self._rows.sort(key=_FIRST)
        runs = [self._run(chunks) for chunks in self._runs]
        if self.ordered:
            return chain(*runs, self._rows)
        return merge(*runs, self._rows, key=_FIRST)

    def _spill(self) -> None:
        import zstandard

        if self._file is None:
            self._file = ScratchFile(self._folder)
        if not self.ordered:
            self._rows.sort(key=_FIRST)
        compressor = zstandard.ZstdCompressor(level=1)
        chunks: list[tuple[int, int]] = []
        for start in range(0, len(self._rows), _CHUNK_ROWS):
            text = json.dumps(self._rows[start : start + _CHUNK_ROWS], separators=(",", ":"))
            chunk = compressor.compress(text.encode("ascii"))
            chunks.append((self._file.append(chunk), len(chunk)))
        self._runs.append(chunks)
        self._rows = []

    def _run(self, chunks: list[tuple[int, int]]) -> Iterator[Row]:
        import zstandard

        file = self._file
        assert file is not None
        decompressor = zstandard.ZstdDecompressor()
        for offset, length in chunks:
            yield from json.loads(decompressor.decompress(file.read(offset, length)))

    def close(self) -> None:
        """Free memory and disk."""
        self._rows = []
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _storage_full(folder: Path | None) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = folder or tempfile.gettempdir()
        raise StorageFull(
            f"no space left for the sorted list of files in {place}",
            hint="a scratch folder needs about 100 bytes per file of the library; set another one",
        ) from error
