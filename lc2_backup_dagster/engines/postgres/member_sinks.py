"""Take the content of one member of a base backup: a new file, an existing one that is compared, a label, a proof.

No close waits for the disk; the restore does once, for everything.
"""

import os
from collections.abc import Callable
from io import FileIO
from typing import Protocol

from lc2_backup_dagster.engines.postgres.backup_manifest import ManifestFile
from lc2_backup_dagster.engines.postgres.checksums import Checksum
from lc2_backup_dagster.model.errors import IntegrityError


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
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._written = 0
        self._on_close: Callable[[int], None] = _ignore

    def tell(self, on_close: Callable[[int], None]) -> None:
        """Have this called with the number of bytes written."""
        self._on_close = on_close

    def write(self, chunk: memoryview, /) -> None:
        """Append a piece."""
        self._written += len(chunk)
        while chunk:
            chunk = chunk[self._file.write(chunk) :]

    def close(self) -> None:
        """Close it."""
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

    _STEP_BYTES = 64 * 1024

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
        while chunk:
            piece = chunk[: self._STEP_BYTES]
            if piece != memoryview(os.pread(self._file.fileno(), len(piece), self._position)):
                done = os.pwrite(self._file.fileno(), piece, self._position)
                self._written += done
            else:
                done = len(piece)
            self._position += done
            chunk = chunk[done:]

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
