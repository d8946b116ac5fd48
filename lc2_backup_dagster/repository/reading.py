"""Streams read back: parts fetched ahead, proven, decrypted and decompressed, in bounded memory."""

from bisect import bisect_right
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
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


def read_sealed(
    store: ObjectStore, sealer: Sealer, key: str, part: Part, *, key_id: str | None, prove_plain: bool = True
) -> bytes:
    """Fetch, prove and open one object.

    Args:
        store: the repository's store.
        sealer: the site's sealer.
        key: where the object lies.
        part: what the manifest promises of it.
        key_id: the data key of the backup.
        prove_plain: compute the SHA-256 of the plain bytes too. Only a caller that proves the content by checksums of
            its own may leave it out. The stored bytes are proven either way, by their SHA-256 and where they are
            encrypted by the cipher, which binds them to their key; that they decode to what was compressed, by the
            checksum of the zstd frame; and the length. What is left to the caller is a manifest that promises one
            thing of the stored bytes and another of the plain ones.

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
    if len(plain) != part.plain_bytes or (prove_plain and sha256(plain) != part.plain_sha256):
        raise PartCorrupt(f"{key} decodes to other bytes than the manifest promises", key=key)
    return plain


class StoredStream:
    """A stream where it lies, to be read whole or in ranges. Safe to use from several threads.

    Args:
        store: the repository's store.
        sealer: the site's sealer.
        prefix: the backup's folder.
        stream: what the manifest says of it.
        key_id: the data key of the backup.
    """

    def __init__(self, store: ObjectStore, sealer: Sealer, *, prefix: str, stream: Stream, key_id: str | None) -> None:
        self._store = store
        self._sealer = sealer
        self._prefix = prefix
        self._key_id = key_id
        self._ends = list(accumulate(part.plain_bytes for part in stream.parts))
        self.stream = stream

    def begin_of(self, part: int) -> int:
        """Return where a part begins in the stream."""
        return self._ends[part] - self.stream.parts[part].plain_bytes

    def open(
        self, *, start: int = 0, end: int | None = None, prove_plain: bool = True, ahead: int = PARTS_AHEAD
    ) -> "StreamReader":
        """Return a reader, to be left with ``close`` or ``with``; only parts that hold the range are fetched.

        Args:
            start: the first byte to read.
            end: the byte to end before, or None for the stream's end.
            prove_plain: see ``read_sealed``.
            ahead: parts fetched at once; each takes its plain size in memory.

        Raises:
            ValueError: the stream ends before the range does.
        """
        length = self._ends[-1] if self._ends else 0
        if not 0 <= start <= (length if end is None else end) <= length:
            raise ValueError(f"stream {self.stream.name} has {length} bytes, no range {start} to {end}")
        wanted: list[tuple[int, slice]] = []
        for number in range(bisect_right(self._ends, start) if start else 0, len(self._ends)):
            begin = self.begin_of(number)
            if end is not None and max(begin, start) >= end:
                break
            wanted.append((number, slice(max(0, start - begin), None if end is None else end - begin)))
        return StreamReader(self, wanted, prove_plain=prove_plain, ahead=ahead)

    def read_part(self, number: int, *, prove_plain: bool = True) -> bytes:
        """Fetch, prove and open one part."""
        key = part_key(self._prefix, self.stream.name, number)
        part = self.stream.parts[number]
        return read_sealed(self._store, self._sealer, key, part, key_id=self._key_id, prove_plain=prove_plain)


class StreamReader:
    """Reads parts of a stream forward, a few ahead; a context manager with a file's ``read``. Made by ``StoredStream``.

    Args:
        source: the stream.
        parts: numbers of the parts to read, and what of each.
        prove_plain: see ``read_sealed``.
        ahead: parts fetched at once.
    """

    def __init__(self, source: StoredStream, parts: list[tuple[int, slice]], *, prove_plain: bool, ahead: int) -> None:
        self._source = source
        self._prove_plain = prove_plain
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(ahead, thread_name_prefix=f"read-{source.stream.name}")
        self._waiting = deque(parts)
        self._running: deque[tuple[Future[bytes], slice]] = deque()
        self._current: bytes | memoryview = b""

    @property
    def stream(self) -> Stream:
        """What the manifest says of the stream."""
        return self._source.stream

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes (everything when negative), empty only at the end.

        A part that is asked for as a whole is handed out without copying it.

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
                number, wanted = self._waiting.popleft()
                fetched = self._pool.submit(self._source.read_part, number, prove_plain=self._prove_plain)
                self._running.append((fetched, wanted))
            if not self._running:
                return b""
            self._current = self._next()
        if isinstance(self._current, bytes) and len(self._current) <= size:
            whole, self._current = self._current, b""
            return whole
        current = memoryview(self._current)
        self._current = current[size:]
        return bytes(current[:size])

    def _next(self) -> bytes | memoryview:
        fetched, wanted = self._running.popleft()
        part = fetched.result()
        return part if wanted.start == 0 and wanted.stop is None else memoryview(part)[wanted]

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
