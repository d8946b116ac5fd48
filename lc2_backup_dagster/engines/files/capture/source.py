"""Reading one file of the source: the version that was listed, whole and unmixed, or a clear reason why not."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectReader, ObjectStore
from lc2_backup_dagster.engines.files.capture.byte_rate import ByteRate
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    KeyNotRepresentable,
    ObjectNotFound,
    SourceChanged,
    StoreUnavailable,
)

_T = TypeVar("_T")


class Vanished(Exception):
    """The file is certainly gone. Never leaves this engine."""


class Unreadable(Exception):
    """The source refuses this one file; the message says why. Never leaves this engine."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often things are tried again.

    Attributes:
        unavailable: tries while a store is unavailable (the adapter has retried on its own before).
        changed: tries while a file keeps changing.
        first_pause_seconds: doubled each time, with jitter, so that many clients do not come back at once.
        sleep: waits.
    """

    unavailable: int = 4
    changed: int = 4
    first_pause_seconds: float = 1.0
    sleep: Callable[[float], None] = field(default=time.sleep)

    def through_outages(self, action: Callable[[], _T]) -> _T:
        """Carry out an action, again after a pause while a store is unavailable.

        Raises:
            StoreUnavailable: all tries failed.
        """
        for turn in range(1, self.unavailable):
            try:
                return action()
            except StoreUnavailable:
                self.sleep(self.first_pause_seconds * 2 ** (turn - 1) * (0.5 + random.random()))  # noqa: S311 - jitter
        return action()


class SourceFiles:
    """The source, with its answers sorted into what happened to one file.

    Args:
        store: the source.
        patience: how often things are tried again.
        rate: how fast bytes may be taken from it.
        pinned: exactly the versions that were listed are read: of a file as of a past moment a later version is
            worth nothing, and one that is gone is missing.
    """

    def __init__(
        self, store: ObjectStore, *, patience: Patience, rate: ByteRate | None = None, pinned: bool = False
    ) -> None:
        self.store = store
        self.patience = patience
        self.rate = rate or ByteRate(None)
        self.pinned = pinned

    def version_of(self, info: ObjectInfo) -> str | None:
        """Return the version to ask the store for, or None for the latest."""
        return info.version if self.pinned else None

    def capture(self, info: ObjectInfo, copy: Callable[[ObjectInfo, int], _T]) -> _T:
        """Copy a file; when it changed meanwhile, the version it has now.

        Args:
            info: the version that was listed.
            copy: copies one version; gets the turn, which counts from 0.

        Raises:
            Vanished: gone.
            Unreadable: refused, or it changed at every try.
            StoreUnavailable: all tries failed.
        """
        for turn in range(self.patience.changed):
            wanted, number = info, turn
            try:
                return self.patience.through_outages(lambda: copy(wanted, number))  # noqa: B023 - called at once
            except (SourceChanged, Vanished) as error:
                if self.pinned:
                    raise Unreadable(f"its version {info.version} is not in the source any more") from error
                if isinstance(error, Vanished):
                    raise
                info = self.patience.through_outages(lambda: self.stat(wanted))  # noqa: B023 - called at once
        raise Unreadable(f"it changed during each of {self.patience.changed} tries to copy it")

    def stat(self, info: ObjectInfo) -> ObjectInfo:
        """Return what the source says of a file now.

        Raises:
            Vanished: gone.
            Unreadable: refused.
        """
        try:
            return self.store.stat(info.key, version=self.version_of(info))
        except ObjectNotFound as error:
            raise Vanished from error
        except (AccessDenied, KeyNotRepresentable) as error:
            raise Unreadable(str(error)) from error

    def probe(self, info: ObjectInfo) -> None:
        """Make sure that a file can be opened and read.

        Raises:
            Vanished: gone.
            Unreadable: refused.
        """
        for _ in self.read(info, piece_bytes=1):
            return

    def read(self, info: ObjectInfo, *, piece_bytes: int) -> "FileContent":
        """Return the content of exactly this version, to be iterated once."""
        return FileContent(self.store, info, piece_bytes, self.rate, version=self.version_of(info))


class FileContent:
    """The bytes of one version, in pieces of equal size but for the last; at least one piece.

    Attributes:
        info: the version; content type and metadata are filled in once the first piece was read.
    """

    def __init__(
        self, store: ObjectStore, info: ObjectInfo, piece_bytes: int, rate: ByteRate, *, version: str | None = None
    ) -> None:
        self._store = store
        self._version = version
        self._piece_bytes = piece_bytes
        self._rate = rate
        self.info = info

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces.

        Raises:
            SourceChanged: it is not, or not wholly, the version that was asked for.
            Vanished: gone.
            Unreadable: refused.
        """
        listed = self.info
        try:
            with self._store.open(listed.key, if_match=listed.etag, version=self._version) as reader:
                opened = reader.info
                if opened.size_bytes != listed.size_bytes:
                    raise _changed(listed)
                self.info = _with_facts(listed, opened)
                remaining = listed.size_bytes
                while True:
                    wanted = min(self._piece_bytes, remaining)
                    remaining -= wanted
                    # Yielded without a name: while the piece is sealed, this frame must not keep another copy.
                    yield self._gather(reader, wanted, last=remaining == 0)
                    if remaining == 0:
                        return
        except ObjectNotFound as error:
            raise Vanished from error
        except (AccessDenied, KeyNotRepresentable) as error:
            raise Unreadable(str(error)) from error

    def _gather(self, reader: ObjectReader, wanted: int, *, last: bool) -> bytes:
        chunks: list[bytes] = []
        missing = wanted
        while missing and (chunk := reader.read(missing)):
            self._rate.take(len(chunk))
            chunks.append(chunk)
            missing -= len(chunk)
        if missing:
            raise _changed(self.info)
        if last:
            self._check_end(reader)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _check_end(self, reader: ObjectReader) -> None:
        if reader.read(1):
            raise _changed(self.info)
        if self.info.etag is None:
            # No if-match protects this read: the file must still be what was listed.
            now = self._store.stat(self.info.key, version=self._version)
            if (now.size_bytes, now.modified) != (self.info.size_bytes, self.info.modified):
                raise _changed(self.info)


def _with_facts(listed: ObjectInfo, opened: ObjectInfo) -> ObjectInfo:
    """Keep what was listed (the next listing is compared with it) and add what only opening tells."""
    return ObjectInfo(
        key=listed.key,
        size_bytes=listed.size_bytes,
        modified=listed.modified,
        etag=listed.etag,
        version=listed.version,
        content_type=opened.content_type,
        metadata=opened.metadata,
        tags=opened.tags,
        headers=opened.headers,
        checksum=opened.checksum,
        posix=listed.posix,
    )


def _changed(info: ObjectInfo) -> SourceChanged:
    return SourceChanged(f"{info.key!r} changed between listing and reading", key=info.key)
