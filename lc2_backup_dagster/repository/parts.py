"""Streams cut into parts: compressed, encrypted, hashed, put and read back, several in flight, in bounded memory.

A stream has no length known in advance and no producer that could be asked twice. So every part is one object,
put whole: a failed put is repeated from memory, and nothing like a multipart completion can lie about the rest.
"""

import random
import re
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import AlreadyExists, PartCorrupt, StoreUnavailable
from lc2_backup_dagster.repository.canonical import sha256
from lc2_backup_dagster.repository.layout import part_key
from lc2_backup_dagster.repository.sealing import Sealer

_TRIES = 5
_STREAM_NAME = re.compile(r"(?!manifest\.json$|journal$)[a-z0-9][a-z0-9._-]{0,62}")
_SAMPLED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How streams are written.

    Attributes:
        part_bytes: length of a part before compression.
        in_flight: parts sealed and put at once; memory is about five times ``part_bytes`` for each.
        read_back_all: whether every part is read back and decoded before the commit, or one in ten and the first.
    """

    part_bytes: int = 8 * 1024 * 1024
    in_flight: int = 3
    read_back_all: bool = True


DEFAULT_OPTIONS = WriteOptions()


class SupportsRead(Protocol):
    """Anything with ``read``; it may return fewer bytes than asked for, and none only at its end."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One sealed object.

    Attributes:
        plain_bytes: length before compression.
        stored_bytes: length of the object.
        plain_sha256: hex SHA-256 before compression.
        stored_sha256: hex SHA-256 of the object.
    """

    plain_bytes: int
    stored_bytes: int
    plain_sha256: str
    stored_sha256: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A named sequence of parts below a backup's folder."""

    name: str
    parts: tuple[Part, ...]

    @property
    def plain_bytes(self) -> int:
        """Length of the whole stream before compression."""
        return sum(part.plain_bytes for part in self.parts)

    @property
    def stored_bytes(self) -> int:
        """Length of all stored parts."""
        return sum(part.stored_bytes for part in self.parts)


def put_sealed(store: ObjectStore, sealer: Sealer, key: str, plain: bytes, *, check: bool = True) -> Part:
    """Seal, write and read back one object; repeated while the store is unavailable, up to five times.

    Args:
        store: where to.
        sealer: the site's sealer.
        key: the object's key.
        plain: its content.
        check: whether it is read back.

    After it returns the object was read back, decrypted, decompressed and compared (L-21). An object that is there
    already is accepted only when it holds the same plain bytes.

    Raises:
        PartCorrupt: what the store gives back is not what was put.
        StoreUnavailable: five tries failed.
    """
    part, stored = _seal(sealer, key, plain)
    for attempt in range(_TRIES):
        try:
            try:
                store.put(key, stored)
            except AlreadyExists:
                # A repeated put whose first answer was lost, or a file part that an ended attempt left behind.
                return _read_back(store, sealer, key, plain=plain, part=part, stored=None)
            if not check:
                return part
            return _read_back(store, sealer, key, plain=plain, part=part, stored=stored)
        except StoreUnavailable:
            if attempt == _TRIES - 1:
                raise
            time.sleep(min(8.0, 0.25 * 2**attempt) * (0.5 + random.random()))  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")


def _seal(sealer: Sealer, key: str, plain: bytes) -> tuple[Part, bytes]:
    stored = sealer.seal(plain, key=key)
    return Part(len(plain), len(stored), sha256(plain), sha256(stored)), stored


def _read_back(store: ObjectStore, sealer: Sealer, key: str, *, plain: bytes, part: Part, stored: bytes | None) -> Part:
    """Fetch an object just written and prove it by its bytes, stored and decoded: both are still in memory.

    Comparing bytes says more than comparing their hashes, and costs a tenth.

    Args:
        store: where it was written.
        sealer: opens it.
        key: the object's key.
        plain: what it must decode to.
        part: what was promised of it.
        stored: what was put, or None when somebody else has put it before.

    Raises:
        PartCorrupt: it is not what was put.
    """
    found = store.get(key)
    if stored is not None and found != stored:
        raise PartCorrupt(f"{key} in {store.url} was stored with other bytes than were sent", key=key)
    if sealer.unseal(found, key=key, key_id=sealer.key_id) != plain:
        raise PartCorrupt(f"{key} in {store.url} does not decode to what was sent", key=key)
    return part if stored is not None else Part(len(plain), len(found), part.plain_sha256, sha256(found))


class StreamWriter:
    """Cuts what is written into parts and stores them, some at once; a context manager.

    Leaving it normally waits for the last part; leaving it by an exception lets running puts end and keeps nothing
    promised: the objects are garbage of an attempt that never commits.

    Args:
        store: the repository's store.
        sealer: the site's sealer.
        prefix: the backup's folder.
        name: the stream's name.
        options: sizes and checks.
        on_part: called after each part, from worker threads.
    """

    def __init__(
        self,
        store: ObjectStore,
        sealer: Sealer,
        *,
        prefix: str,
        name: str,
        options: WriteOptions = DEFAULT_OPTIONS,
        on_part: Callable[[Part], None] | None = None,
    ) -> None:
        if not _STREAM_NAME.fullmatch(name):
            raise ValueError(f"'{name}' is not a stream's name: lower-case letters, digits, '.', '_' and '-'")
        self._store = store
        self._sealer = sealer
        self._prefix = prefix
        self._name = name
        self._on_part = on_part
        self._options = options
        self._waiting: list[bytes] = []  # joined once, when they are a part: growing a buffer costs as much as SHA-256
        self._waiting_bytes = 0
        self._running: deque[Future[Part]] = deque()
        self._parts: list[Part] = []
        self._count = 0
        self._pool = ThreadPoolExecutor(options.in_flight, thread_name_prefix=f"part-{name}")
        self._stream: Stream | None = None

    @property
    def stream(self) -> Stream:
        """The finished stream; only after the writer was left without an error."""
        if self._stream is None:
            raise RuntimeError("the stream is not finished")
        return self._stream

    def write(self, data: bytes) -> None:
        """Take bytes; blocks while too many parts are in flight.

        Raises:
            BackupError: an earlier part failed for good.
        """
        room = self._options.part_bytes - self._waiting_bytes
        while len(data) >= room:
            self._waiting.append(data[:room])
            self._cut()
            data = data[room:]
            room = self._options.part_bytes
        if data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._waiting or self._count == 0:  # an empty stream has one empty part: it can be told from none
                    self._cut()
                while self._running:
                    self._collect()
                self._stream = Stream(self._name, tuple(self._parts))
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _cut(self) -> None:
        while len(self._running) >= self._options.in_flight:
            self._collect()
        plain = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        self._running.append(self._pool.submit(self._put, self._count, plain))
        self._count += 1

    def _collect(self) -> None:
        self._parts.append(self._running.popleft().result())

    def _put(self, number: int, plain: bytes) -> Part:
        check = self._options.read_back_all or number == 0 or random.random() < _SAMPLED_SHARE  # noqa: S311
        part = put_sealed(self._store, self._sealer, part_key(self._prefix, self._name, number), plain, check=check)
        if self._on_part:
            self._on_part(part)
        return part
