"""Documents out of the middle of a stored tar: only the parts that hold them are fetched, and none twice in a row.

Documents that are read in the order of their paths, as a comparison does, mostly lie in the part that was read last.
"""

from bisect import bisect_right
from itertools import accumulate

from lc2_backup_dagster.engines.exports.index import IndexEntry
from lc2_backup_dagster.model.errors import ExportCorrupt
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.canonical import sha256
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.site import SiteRepository


class StoredParts:
    """Reads one stream of a backup anywhere; holds one part of it. Not to be used from several threads.

    Args:
        repository: the site's part of the repository.
        manifest: of the backup.
        name: of the stream.
    """

    def __init__(self, repository: SiteRepository, manifest: Manifest, name: str) -> None:
        self._repository = repository
        self._backup_id = manifest.backup_id
        self._prefix = layout.backup_prefix(repository.site, manifest.component, manifest.backup_id)
        self._key_id = manifest.encryption.key_id if manifest.encryption else None
        self._stream = manifest.stream(name)
        self._begins = [0, *accumulate(part.plain_bytes for part in self._stream.parts)]
        self._held: tuple[int, bytes] | None = None

    def document(self, entry: IndexEntry) -> bytes:
        """Return the content of one document.

        Raises:
            ExportCorrupt: it is not what the index promises.
            PartMissing: a part is gone.
            PartCorrupt: a part is damaged.
        """
        if entry.offset + entry.size_bytes > self._begins[-1]:
            raise ExportCorrupt(f"{entry.path} of export {self._backup_id} lies outside of its tar")
        pieces: list[bytes] = []
        offset, missing = entry.offset, entry.size_bytes
        while missing:
            number = bisect_right(self._begins, offset) - 1
            piece = self._part(number)[offset - self._begins[number] :][:missing]
            pieces.append(piece)
            offset += len(piece)
            missing -= len(piece)
        return proven(b"".join(pieces), entry, self._backup_id)

    def _part(self, number: int) -> bytes:
        if self._held is None or self._held[0] != number:
            key = layout.part_key(self._prefix, self._stream.name, number)
            part = self._stream.parts[number]
            self._held = number, self._repository.read_sealed(key, part, key_id=self._key_id)
        return self._held[1]


def proven(content: bytes, entry: IndexEntry, name: str) -> bytes:
    """Return a content that is what the index promises.

    Raises:
        ExportCorrupt: it is not.
    """
    if len(content) != entry.size_bytes or sha256(content) != entry.sha256:
        raise ExportCorrupt(f"{entry.path} of export {name} is not what its index promises")
    return content
