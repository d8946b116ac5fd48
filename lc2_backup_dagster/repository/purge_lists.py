"""What a purge writes down before it deletes anything: the list of dead identities, and that it has finished.

The list is a sealed stream of its own folder, created before the ``purge`` record; the record names its parts with
their hashes. So whoever goes on with a purge deletes exactly what was decided, and a list that no record names means
nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import AlreadyExists
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository import canonical, layout
from lc2_backup_dagster.repository.parts import Part, Stream, StreamWriter
from lc2_backup_dagster.repository.reading import StoredStream, StreamReader
from lc2_backup_dagster.repository.sealing import Sealer

CONTENTS = "contents"
"""Name of the stream that lists the identities."""

_BATCH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PurgeList:
    """A list that was written.

    Attributes:
        purge_id: names its folder.
        key_id: the data key it is sealed with, or None.
        stream: its parts.
        count: how many lines it has.
    """

    purge_id: str
    key_id: str | None
    stream: Stream
    count: int

    def body(self) -> dict[str, Any]:
        """Return what the ``purge`` record says of the list."""
        parts = [
            [part.plain_bytes, part.stored_bytes, part.plain_sha256, part.stored_sha256] for part in self.stream.parts
        ]
        return {"key_id": self.key_id, "parts": parts, "count": self.count}

    @classmethod
    def from_body(cls, purge_id: str, body: dict[str, Any]) -> Self:
        """Read what a ``purge`` record says of its list."""
        stream = Stream(CONTENTS, tuple(Part(*part) for part in body["parts"]))
        return cls(purge_id, body["key_id"], stream, body["count"])


class PurgeLists:
    """The lists of one site's purges.

    Args:
        store: the repository's store.
        sealer: seals and opens the lists.
        site: whose.
    """

    def __init__(self, store: ObjectStore, sealer: Sealer, site: SiteId) -> None:
        self._store = store
        self._sealer = sealer
        self._site = site

    def write(self, purge_id: str, lines: Iterable[bytes]) -> PurgeList:
        """Write a list and read it back; nothing is dead before a ``purge`` record names it.

        Args:
            purge_id: a new one.
            lines: the lines, each with its line feed.
        """
        count, waiting = 0, bytearray()
        prefix = layout.purge_prefix(self._site, purge_id)
        with StreamWriter(self._store, self._sealer, prefix=prefix, name=CONTENTS) as writer:
            for line in lines:
                count += 1
                waiting += line
                if len(waiting) >= _BATCH_BYTES:
                    writer.write(bytes(waiting))
                    waiting.clear()
            writer.write(bytes(waiting))
        return PurgeList(purge_id, self._sealer.key_id, writer.stream, count)

    def open(self, listed: PurgeList) -> StreamReader:
        """Return a reader of a list, to be left with ``close`` or ``with``."""
        prefix = layout.purge_prefix(self._site, listed.purge_id)
        return StoredStream(self._store, self._sealer, prefix=prefix, stream=listed.stream, key_id=listed.key_id).open()

    def finish(self, purge_id: str) -> None:
        """Note that everything a purge listed is deleted; idempotent."""
        body = canonical.encode({"format": layout.FORMAT_VERSION, "purge_id": purge_id})
        try:
            self._store.put(layout.purge_finished_key(self._site, purge_id), body)
        except AlreadyExists:
            return  # another process went on with the same purge

    def finished(self) -> set[str]:
        """Return the ids of the purges that have finished."""
        prefix = layout.purges_prefix(self._site)
        keys = (found.key.removeprefix(prefix) for found in self._store.list(prefix))
        return {key.removesuffix("/finished.json") for key in keys if key.endswith("/finished.json")}
