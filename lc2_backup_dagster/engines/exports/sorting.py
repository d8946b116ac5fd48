"""Documents in the order of their paths, whatever order they come in: they wait on local disk, not in memory.

Contents lie compressed in one file. Their paths lie in a temporary SQLite table beside it, which sorts more of them
than fit into memory and finds those that come twice. What a killed process leaves lies in the caller's scratch folder.
"""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from types import TracebackType
from typing import Self

from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.model.errors import ExportInvalid, StorageFull
from lc2_backup_dagster.repository.canonical import sha256

_TABLE = """
CREATE TABLE document (
    path BLOB PRIMARY KEY,  -- UTF-8: blobs are compared byte by byte
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL
) WITHOUT ROWID
"""
# What is lost with the process is worth nothing, so neither a journal nor waiting for the disk is needed.
_UNSAFE = ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA temp_store = FILE")


@dataclass(frozen=True, slots=True)
class SortedDocument:
    """A document in its place.

    Attributes:
        path: its path; greater than the one before, by UTF-8 bytes.
        content: its bytes.
        sha256: their SHA-256.
    """

    path: str
    content: bytes
    sha256: str


class DocumentSorter:
    """Takes documents in any order and gives them back sorted; a context manager that frees its space.

    Args:
        scratch: folder for the files; the system's own when None.
    """

    def __init__(self, scratch: Path | None) -> None:
        import zstandard

        self._place = scratch or Path(gettempdir())
        with self._naming_full_disk():
            self._folder = TemporaryDirectory(prefix="lc2-export-", dir=scratch)
            folder = Path(self._folder.name)
            self._contents = (folder / "contents").open("w+b")
            self._table = sqlite3.connect(folder / "documents.sqlite", isolation_level=None)
            for statement in (*_UNSAFE, _TABLE, "BEGIN"):
                self._table.execute(statement)
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._decompressor = zstandard.ZstdDecompressor()
        self.count = 0
        self.size_bytes = 0

    def add(self, document: Document) -> None:
        """Take a document.

        Raises:
            ExportInvalid: its path came before.
            StorageFull: the disk is full.
        """
        stored = self._compressor.compress(document.content)
        row = (
            document.path.encode(), sha256(document.content), len(document.content), self._contents.tell(), len(stored),
        )  # fmt: skip
        with self._naming_full_disk():
            try:
                self._table.execute("INSERT INTO document VALUES (?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise ExportInvalid(
                    f"the export holds {document.path} twice", hint="its source must name each document once"
                ) from None
            self._contents.write(stored)
        self.count += 1
        self.size_bytes += len(document.content)

    def sorted(self) -> Iterator[SortedDocument]:
        """Yield all documents by the bytes of their paths; nothing may be added any more.

        Raises:
            ExportInvalid: a path is both a document and a folder of documents, which no directory can hold.
        """
        with self._naming_full_disk():
            self._contents.flush()
        shorter: list[str] = []  # earlier paths that the current one begins with; they follow each other directly
        rows = self._table.execute("SELECT path, sha256, offset, length FROM document ORDER BY path")
        for raw, digest, offset, length in rows:
            path = bytes(raw).decode()
            while shorter and not path.startswith(shorter[-1]):
                shorter.pop()
            for above in shorter:
                if path.startswith(f"{above}/"):
                    raise ExportInvalid(f"the export holds {above} as a document and as the folder of {path}")
            shorter.append(path)
            self._contents.seek(offset)
            yield SortedDocument(path, self._decompressor.decompress(self._contents.read(length)), digest)

    @contextmanager
    def _naming_full_disk(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (ENOSPC, EDQUOT):
                raise
            raise StorageFull(
                f"no space left for the export in {self._place}", hint="free space or name another scratch directory"
            ) from error
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
                raise
            raise StorageFull(
                f"no space left for the export in {self._place}", hint="free space or name another scratch directory"
            ) from error

    def close(self) -> None:
        """Free the disk."""
        self._table.close()
        self._contents.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
