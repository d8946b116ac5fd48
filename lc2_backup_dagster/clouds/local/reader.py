"""An open file as an object that is read forward."""

import os

from lc2_backup_dagster.clouds.local.errors import translated
from lc2_backup_dagster.clouds.local.sparse import extent_at, has_holes
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.errors import SourceChanged

Identity = tuple[int, int, int]


def identity(status: os.stat_result) -> Identity:
    """Return what changes when somebody writes into an open file: time of the content, and size."""
    return (status.st_mtime_ns, status.st_size, status.st_ino)


class FileReader:
    """Reads one open file and notices at its end whether it changed meanwhile.

    Holes are not read from disk: what lies in them is known.

    Args:
        file: descriptor, closed by who opened it.
        info: what was said of the file when it was opened.
        status: of the file at that time.
        url: the store, for messages.
    """

    def __init__(self, file: int, info: ObjectInfo, status: os.stat_result, url: str) -> None:
        self.file = file
        self._info = info
        self._expected = identity(status)
        self._url = url
        self._position = 0
        # The extent that the position is in, and whether it is a hole; a file without holes is one extent.
        self._hole, self._extent_end = False, 0 if has_holes(status) else info.size_bytes

    @property
    def info(self) -> ObjectInfo:
        """What the file system said when the file was opened."""
        return self._info

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, empty only at the end.

        Raises:
            SourceChanged: at the end, if the file was written to since it was opened.
        """
        wanted = min(size, self._info.size_bytes - self._position)
        chunk = self._next(wanted) if wanted > 0 else b""
        self._position += len(chunk)
        if len(chunk) < wanted or self._position == self._info.size_bytes:
            self.check_unchanged()
        return chunk

    def read_range(self, start: int, length: int) -> bytes:
        """Return a range whole, short only at the end of the file."""
        wanted = max(min(length, self._info.size_bytes - start), 0)
        pieces: list[bytes] = []
        while wanted:
            piece = self._pread(wanted, start)
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
            wanted -= len(piece)
        self.check_unchanged()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def check_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened.

        Raises:
            SourceChanged: it was.
        """
        if identity(os.fstat(self.file)) != self._expected:
            raise SourceChanged(
                f"read '{self._info.key}' in {self._url}: it was written to while it was read", key=self._info.key
            )

    def _next(self, wanted: int) -> bytes:
        if self._position == self._extent_end:
            with translated("read", self._url, self._info.key):
                self._hole, self._extent_end = extent_at(self.file, self._position, self._info.size_bytes)
        wanted = min(wanted, self._extent_end - self._position)
        return bytes(wanted) if self._hole else self._pread(wanted, self._position)

    def _pread(self, size: int, start: int) -> bytes:
        with translated("read", self._url, self._info.key):
            # Linux returns at most 2 GiB at once; larger wishes are served in turns.
            return os.pread(self.file, min(size, 1 << 30), start)
