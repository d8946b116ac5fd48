"""Streams read back: parts fetched ahead, proven, decrypted and decompressed, in bounded memory."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import ObjectNotFound, PartCorrupt, PartMissing
from lc2_backup_dagster.repository.canonical import sha256
from lc2_backup_dagster.repository.layout import part_key
from lc2_backup_dagster.repository.parts import Part, Stream
from lc2_backup_dagster.repository.sealing import Sealer

PARTS_AHEAD = 3
"""Parts that are fetched while the one before is read."""


def read_sealed(store: ObjectStore, sealer: Sealer, key: str, part: Part, *, key_id: str | None) -> bytes:
    """Fetch, prove and open one object.

    Raises:
        PartMissing: certainly absent.
        PartCorrupt: other bytes than the manifest promises; the message names the key.
    """
    try:
        stored = store.get(key)
    except ObjectNotFound as error:
        raise PartMissing(f"{key} is gone from {store.url}", hint="run lc2-backup verify", key=key) from error
    if len(stored) != part.stored_bytes or sha256(stored) != part.stored_sha256:
        raise PartCorrupt(
            f"{key} in {store.url} is damaged: {len(stored)} bytes with SHA-256 {sha256(stored)[:12]}…, "
            f"promised {part.stored_bytes} bytes with {part.stored_sha256[:12]}…",
            hint="restore another recovery point; run lc2-backup verify to learn what else is damaged",
            key=key,
        )
    plain = sealer.unseal(stored, key=key, key_id=key_id)
    if sha256(plain) != part.plain_sha256:
        raise PartCorrupt(f"{key} decodes to other bytes than the manifest promises", key=key)
    return plain


class StreamReader:
    """Reads a stream forward, a few parts ahead; a context manager with a file's ``read``.

    Args:
        store: the repository's store.
        sealer: the site's sealer.
        prefix: the backup's folder.
        stream: what the manifest says of it.
        key_id: the data key of the backup.
        first_part: number of the part to begin with.
        ahead: parts fetched at once; each takes its plain size in memory.
    """

    def __init__(
        self,
        store: ObjectStore,
        sealer: Sealer,
        *,
        prefix: str,
        stream: Stream,
        key_id: str | None,
        first_part: int = 0,
        ahead: int = PARTS_AHEAD,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._prefix = prefix
        self.stream = stream
        self._key_id = key_id
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(ahead, thread_name_prefix=f"read-{stream.name}")
        self._waiting = deque(list(enumerate(stream.parts))[first_part:])
        self._running: deque[Future[bytes]] = deque()
        self._current = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes (everything when negative), empty only at the end.

        Raises:
            PartMissing: a part is gone.
            PartCorrupt: a part is damaged.
        """
        if size < 0:
            pieces: list[bytes] = []
            while piece := self.read(1 << 20):
                pieces.append(piece)
            return b"".join(pieces)
        while not len(self._current):
            while self._waiting and len(self._running) < self._ahead:
                number, part = self._waiting.popleft()
                self._running.append(self._pool.submit(self._part, number, part))
            if not self._running:
                return b""
            self._current = memoryview(self._running.popleft().result())
        taken = bytes(self._current[:size])
        self._current = self._current[size:]
        return taken

    def _part(self, number: int, part: Part) -> bytes:
        key = part_key(self._prefix, self.stream.name, number)
        return read_sealed(self._store, self._sealer, key, part, key_id=self._key_id)

    def close(self) -> None:
        """Stop fetching."""
        self._waiting.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
