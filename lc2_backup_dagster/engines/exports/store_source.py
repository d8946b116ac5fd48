"""A folder of an object store as an export: configuration that an application keeps in a bucket."""

from collections.abc import Callable, Iterator

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore
from lc2_backup_dagster.engines.exports.document import DOCUMENT_LIMIT_BYTES, Document
from lc2_backup_dagster.engines.exports.ports import ExportFacts
from lc2_backup_dagster.model.errors import ExportInvalid, ObjectNotFound, SourceChanged

_CHUNK_BYTES = 1 << 20


class StoreSource:
    """The objects of a store, paths as their keys; an ``ExportSource``.

    Args:
        store: which, keys below its prefix.
        include: says which paths are read; all when None.
        document_limit_bytes: longest object that is read.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        include: Callable[[str], bool] | None = None,
        document_limit_bytes: int = DOCUMENT_LIMIT_BYTES,
    ) -> None:
        self._store = store
        self._include = include
        self._limit_bytes = document_limit_bytes

    def documents(self) -> Iterator[Document]:
        """Yield every object.

        Raises:
            ExportInvalid: one is too long.
            SourceChanged: one vanished, or was replaced, while it was read.
            BackupError: what the store raises.
        """
        for info in self._store.list():
            # Empty objects whose name ends with a slash stand for folders; one with a content is refused, not dropped.
            is_folder = info.key.endswith("/") and not info.size_bytes
            if is_folder or (self._include is not None and not self._include(info.key)):
                continue
            if info.size_bytes > self._limit_bytes:
                raise ExportInvalid(
                    f"{info.key} in {self._store.url} has {info.size_bytes} bytes, more than {self._limit_bytes}",
                    hint="leave it out, or back it up as a file",
                    path=info.key,
                )
            yield Document(info.key, self._read(info))

    def facts(self) -> ExportFacts:
        """Return where the documents come from."""
        return ExportFacts({"source": self._store.url})

    def _read(self, info: ObjectInfo) -> bytes:
        pieces: list[bytes] = []
        try:
            with self._store.open(info.key, if_match=info.etag) as opened:
                while piece := opened.read(_CHUNK_BYTES):
                    pieces.append(piece)
        except ObjectNotFound as error:
            raise SourceChanged(f"{info.key} in {self._store.url} vanished during the export") from error
        content = b"".join(pieces)
        if len(content) != info.size_bytes:
            raise SourceChanged(f"{info.key} in {self._store.url} changed while it was read")
        return content
