"""The bytes of stored files, proven while they are read."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future

from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, FileEntry, Nothing, Parts
from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.ports import SiteObjects
from lc2_backup_dagster.model.errors import ObjectNotFound, PartCorrupt, PartMissing

_PIECE_BYTES = 8 * 1024 * 1024
_BUNDLES_KEPT = 4


class StoredContents:
    """Reads contents for several threads; neighbours in a bundle share one fetch.

    Args:
        repository: where the contents are.
    """

    def __init__(self, repository: SiteObjects) -> None:
        self._repository = repository
        self._bundles: OrderedDict[str, Future[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def pieces(self, entry: FileEntry, *, exact: bool = False) -> Iterator[bytes]:
        """Yield the content in pieces of at most 8 MiB; the last one only after all of it was proven.

        Args:
            entry: the file.
            exact: read a copy made by the store only while it has the etag it was given then.

        Raises:
            SourceChanged: ``exact``, and the copy has another etag.
            PartMissing: a stored object is gone; the message names it.
            PartCorrupt: a stored object, or the content put together, is not what the manifest promises.
        """
        if isinstance(entry.location, Nothing):
            return
        digest, count = hashlib.sha256(), 0
        held: bytes | None = None
        for piece in self._raw(entry, exact=exact):
            digest.update(piece)
            count += len(piece)
            if held is not None:
                yield held
            held = piece
        key = entry.stored_objects(self._repository.site)[0][0]
        if count != entry.size_bytes:
            raise PartCorrupt(
                f"{key} in {self._repository.store.url} holds {count} bytes for {entry.key!r}, "
                f"promised {entry.size_bytes}",
                key=key,
            )
        if entry.sha256 is not None and digest.hexdigest() != entry.sha256:
            raise PartCorrupt(
                f"{key} in {self._repository.store.url} holds other bytes for {entry.key!r} than its SHA-256 promises",
                key=key,
            )
        if held:
            yield held

    def _raw(self, entry: FileEntry, *, exact: bool) -> Iterator[bytes]:
        where = entry.location
        if isinstance(where, Copied):
            yield from self._copied(entry, where, exact=exact)
        elif isinstance(where, Bundled):
            yield self._bundle(where)[where.offset : where.offset + where.length]
        elif isinstance(where, Parts):
            yield from self._parts(entry, where)

    def _parts(self, entry: FileEntry, where: Parts) -> Iterator[bytes]:
        for key, part in entry.stored_objects(self._repository.site):
            assert part is not None
            yield self._repository.read_sealed(key, part, key_id=where.key_id)

    def _copied(self, entry: FileEntry, where: Copied, *, exact: bool) -> Iterator[bytes]:
        key = object_key(self._repository.site, where.identity)
        store = self._repository.store
        try:
            with store.open(key, if_match=where.etag if exact else None) as reader:
                while piece := reader.read(_PIECE_BYTES):
                    yield piece
        except ObjectNotFound as error:
            raise PartMissing(
                f"{key} with {entry.key!r} is gone from {store.url}", hint="run lc2-backup verify", key=key
            ) from error

    def _bundle(self, where: Bundled) -> bytes:
        mine = Future[bytes]()
        with self._lock:
            shared = self._bundles.setdefault(where.identity, mine)
            self._bundles.move_to_end(where.identity)
            if len(self._bundles) > _BUNDLES_KEPT:
                self._bundles.popitem(last=False)
        if shared is not mine:
            return shared.result()
        try:
            plain = self._repository.read_sealed(
                object_key(self._repository.site, where.identity), where.part, key_id=where.key_id
            )
        except BaseException as error:
            mine.set_exception(error)
            with self._lock:  # an outage must not be remembered as the bundle's state
                if self._bundles.get(where.identity) is mine:
                    del self._bundles[where.identity]
            raise
        mine.set_result(plain)
        return plain
