"""A stored export, read back: its index, one document, or all of them; every document is proven by its hash."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lc2_backup_dagster.engines.exports.comparing import ExportChange, diff_exports
from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.engines.exports.document_changes import DocumentChanges, document_changes
from lc2_backup_dagster.engines.exports.index import INDEX_STREAM, TAR_STREAM, IndexEntry, Readable, read_index
from lc2_backup_dagster.engines.exports.stored_parts import StoredParts, proven
from lc2_backup_dagster.model.errors import ExportCorrupt, RecoveryPointNotFound
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.site import SiteRepository

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredExport:
    """An export in a repository.

    Attributes:
        repository: the site's part of the repository.
        manifest: of a committed backup of the component ``configuration``.
    """

    repository: SiteRepository
    manifest: Manifest

    @property
    def name(self) -> str:
        """What it is called in messages: the backup's id."""
        return self.manifest.backup_id

    def entries(self) -> Iterator[IndexEntry]:
        """Yield the index, ascending by path.

        Raises:
            ExportCorrupt: it is none.
            PartCorrupt: a part is damaged.
            PartMissing: a part is gone.
        """
        with self.repository.open_stream(self.manifest, INDEX_STREAM) as reader:
            yield from read_index(reader, name=self.name)

    def find(self, path: str) -> IndexEntry:
        """Return where a document stands; reads the index up to it.

        Raises:
            RecoveryPointNotFound: the export has no such document.
        """
        for entry in self.entries():
            if entry.path == path:
                return entry
        raise RecoveryPointNotFound(f"export {self.name} has no document {path}", backup_id=self.name)

    def read(self, entry: IndexEntry) -> bytes:
        """Return the content of one document, fetching only the parts that hold it.

        Raises:
            ExportCorrupt: it is not what the index promises.
        """
        return StoredParts(self.repository, self.manifest, TAR_STREAM).document(entry)

    def documents(self, wanted: Callable[[str], bool] | None = None) -> Iterator[Document]:
        """Yield documents, ascending by path, reading the tar once from front to back.

        Args:
            wanted: says which paths; all when None.

        Raises:
            ExportCorrupt: a document is not what the index promises.
        """
        with self.repository.open_stream(self.manifest, TAR_STREAM) as reader:
            tar = _Forward(reader, self.name)
            for entry in self.entries():
                if wanted is None or wanted(entry.path):
                    tar.skip_to(entry.offset)
                    yield Document(entry.path, proven(tar.read(entry.size_bytes), entry, self.name))

    def changes_since(self, older: "StoredExport") -> Iterator[ExportChange]:
        """Yield what differs from an older export, from the two indexes alone."""
        yield from diff_exports(older.entries(), self.entries())

    def document_changes_since(
        self, older: "StoredExport", *, wanted: Callable[[str], bool] = lambda path: True
    ) -> Iterator[DocumentChanges]:
        """Yield what differs from an older export, with the keys or lines that differ; reads what changed only.

        Args:
            older: the other export.
            wanted: says which paths are looked at.
        """
        olds, news = (StoredParts(each.repository, each.manifest, TAR_STREAM) for each in (older, self))
        for change in self.changes_since(older):
            if not wanted(change.path):
                continue
            old = olds.document(change.old) if change.old is not None else None
            new = news.document(change.new) if change.new is not None else None
            yield document_changes(change.path, old, new)


class _Forward:
    """Reads a stream forward, passing over what is not wanted."""

    def __init__(self, source: Readable, name: str) -> None:
        self._source, self._name = source, name
        self._position = 0

    def skip_to(self, offset: int) -> None:
        while self._position < offset:
            self._next(min(_CHUNK_BYTES, offset - self._position))

    def read(self, size: int) -> bytes:
        pieces: list[bytes] = []
        missing = size
        while missing:
            piece = self._next(min(_CHUNK_BYTES, missing))
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _next(self, size: int) -> bytes:
        piece = self._source.read(size)
        if not piece:
            raise ExportCorrupt(f"the tar of export {self._name} ends at byte {self._position}, before its index does")
        self._position += len(piece)
        return piece
