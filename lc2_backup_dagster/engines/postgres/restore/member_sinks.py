"""Take the content of one member of a base backup: a new file, an existing one that is compared, a label, a proof.

No close waits for the disk; the restore does once, for everything.
"""

import os
from collections.abc import Callable
from io import FileIO
from typing import Protocol

from lc2_backup_dagster.engines.postgres.base.backup_manifest import ManifestFile
from lc2_backup_dagster.engines.postgres.base.checksums import Checksum
from lc2_backup_dagster.engines.postgres.restore.page_cache import PageCache
from lc2_backup_dagster.model.errors import IntegrityError

_COMPARED_BYTES = 64 * 1024


def write_all(file: FileIO, piece: memoryview, position: int) -> int:
    """Write a piece at a position; return how many bytes were written: all."""
    left = piece
    while left:
        written = os.pwrite(file.fileno(), left, position)
        position += written
        left = left[written:]
    return len(piece)


def write_differing(file: FileIO, piece: memoryview, position: int) -> int:
    """Write what of a piece is not in the file already; return how many bytes were written."""
    written = 0
    while piece:
        step, piece = piece[:_COMPARED_BYTES], piece[_COMPARED_BYTES:]
        if bytes(step) != os.pread(file.fileno(), len(step), position):  # views are compared item by item
            written += write_all(file, step, position)
        position += len(step)
    return written


def _ignore(written: int) -> None:
    pass


class Sink(Protocol):
    """Takes a member's content; tells at its close how many bytes it wrote."""

    def tell(self, on_close: Callable[[int], None]) -> None:
        """Have this called with the number of bytes written, at the close."""
        ...

    def write(self, chunk: memoryview, /) -> None:
        """Take the next piece."""
        ...

    def close(self) -> None:
        """The content is complete."""
        ...

    def abandon(self) -> None:
        """Close without complaint, and without believing the content."""
        ...


class NewFile:
    """A file that was just created.

    Args:
        file: open for writing; closed with this sink.
        cache: what is told of every piece written.
    """

    def __init__(self, file: FileIO, cache: PageCache | None = None) -> None:
        self._file = file
        self._cache = cache
        self._written = 0
        self._on_close: Callable[[int], None] = _ignore

    def tell(self, on_close: Callable[[int], None]) -> None:
        """Have this called with the number of bytes written."""
        self._on_close = on_close

    def write(self, chunk: memoryview, /) -> None:
        """Append a piece."""
        self._written += write_all(self._file, chunk, self._written)
        if self._cache is not None:
            self._cache.wrote(self._file.fileno(), self._written)

    def close(self) -> None:
        """Close it."""
        if self._cache is not None:
            self._cache.finished(self._file.fileno(), self._written)
        self._file.close()
        self._on_close(self._written)

    def abandon(self) -> None:
        """Close it."""
        self._file.close()


class ComparedFile:
    """A file that may hold the right bytes already; only pieces that differ are written.

    Args:
        file: open for reading and writing; closed with this sink.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._position = 0
        self._written = 0
        self._on_close: Callable[[int], None] = _ignore

    def tell(self, on_close: Callable[[int], None]) -> None:
        """Have this called with the number of bytes written."""
        self._on_close = on_close

    def write(self, chunk: memoryview, /) -> None:
        """Compare a piece with what is there, and write what differs."""
        self._written += write_differing(self._file, chunk, self._position)
        self._position += len(chunk)

    def close(self) -> None:
        """Cut off what lies behind the content."""
        self._file.truncate(self._position)
        self._file.close()
        self._on_close(self._written)

    def abandon(self) -> None:
        """Close it."""
        self._file.close()


class LabelFile:
    """A small file whose content is rewritten before it is stored.

    Args:
        file: the new file; closed with this sink.
        rewrite: makes the stored content of the member's.
    """

    def __init__(self, file: FileIO, rewrite: Callable[[bytes], bytes]) -> None:
        self._file = NewFile(file)
        self._rewrite = rewrite
        self._content = bytearray()
        self._on_close: Callable[[int], None] = _ignore

    def tell(self, on_close: Callable[[int], None]) -> None:
        """Have this called with the number of bytes written."""
        self._on_close = on_close

    def write(self, chunk: memoryview, /) -> None:
        """Take a piece."""
        self._content += chunk

    def close(self) -> None:
        """Write it."""
        self._file.tell(self._on_close)
        self._file.write(memoryview(self._rewrite(bytes(self._content))))
        self._file.close()

    def abandon(self) -> None:
        """Close it."""
        self._file.abandon()


class Checked:
    """Proves the content while another sink takes it.

    Args:
        sink: takes it.
        checksum: just begun.
        promised: what the manifest says.
    """

    def __init__(self, sink: Sink, checksum: Checksum, promised: ManifestFile) -> None:
        self._sink = sink
        self._checksum = checksum
        self._promised = promised

    def tell(self, on_close: Callable[[int], None]) -> None:
        """Have this called with the number of bytes written."""
        self._sink.tell(on_close)

    def write(self, chunk: memoryview, /) -> None:
        """Take a piece."""
        self._checksum.update(chunk)
        self._sink.write(chunk)

    def close(self) -> None:
        """Believe the content.

        Raises:
            IntegrityError: it is not what the manifest promises.
        """
        self._sink.close()
        if self._checksum.hexdigest() != self._promised.checksum:
            raise IntegrityError(
                f"the base backup's content of {self._promised.path} is not what its manifest promises: "
                f"{self._promised.algorithm} {self._checksum.hexdigest()}, promised {self._promised.checksum}"
            )

    def abandon(self) -> None:
        """Close it."""
        self._sink.abandon()
