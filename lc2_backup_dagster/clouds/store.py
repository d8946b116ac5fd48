"""The object-store port: what the service needs of any store, and what a store may offer beyond it.

Adapters live in one folder per cloud and translate every foreign exception into ``model.errors``:

* a 404 on a key is ``ObjectNotFound``, on a bucket ``BucketNotFound``;
* a 403 or 401 is ``AccessDenied``, never absence; a 5xx, 429 or time-out that outlasts the adapter's own retries
  is ``StoreUnavailable``, never absence and never success (L-28);
* ``ENOSPC`` and quota errors are ``StorageFull``;
* an error body inside a 200 answer is an error (L-6).

An adapter is safe to use from several threads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from lc2_backup_dagster.model.errors import ConfigurationError

HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language")
"""Names of what a store says of a content to browsers beyond its type, as ``ObjectInfo.headers`` holds them."""


class _Asked:
    """A yes or no of a dataclass that may be given as a question, which is asked whenever somebody wants to know."""

    def __set_name__(self, kind: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: object | None, kind: type | None = None) -> bool:
        if owner is None:
            return False  # the field's default
        fact: bool | Callable[[], bool] = owner.__dict__[self._name]
        return fact if isinstance(fact, bool) else fact()

    def __set__(self, owner: object, fact: bool | Callable[[], bool]) -> None:
        owner.__dict__[self._name] = fact


@dataclass(frozen=True, repr=False)
class StoreCapabilities:
    """What a store can do beyond the required operations.

    Attributes:
        ordered_listing: ``list`` promises ascending byte order of the UTF-8 keys. Readers that merge still check.
        server_side_copy: ``copy_from`` works when ``can_copy_from`` says so.
        user_metadata: content type and user metadata of an object are kept.
        versions: the store keeps older versions of keys (the bucket has versioning on). May be given as a function,
            which asks the store when somebody wants to know; it raises ``StoreUnavailable`` rather than guess.
        max_key_bytes: longest key in UTF-8 bytes.
        max_segment_bytes: longest piece between two slashes, or None for no limit.
        posix: links and folders are listed too, everything with its ``PosixFacts``, and all of it can be written
            (``clouds.posix.PosixStore``).
    """

    ordered_listing: bool
    server_side_copy: bool
    user_metadata: bool
    versions: _Asked = _Asked()
    max_key_bytes: int = 1024
    max_segment_bytes: int | None = None
    posix: bool = False


class PosixKind(StrEnum):
    """What lies at a path of a file system. All but the last are persisted in files manifests."""

    FILE = "f"
    SYMLINK = "l"
    DIRECTORY = "d"
    SPECIAL = "s"
    """A pipe, socket or device. It has no content that could be kept: it is listed so that it can be named."""


@dataclass(frozen=True, slots=True)
class PosixFacts:
    """What a POSIX file system says of a path beyond size and time.

    Attributes:
        kind: what it is. Links are never followed.
        mode: permission bits with setuid, setgid and sticky; of a link whatever the system says.
        uid: number of the owner.
        gid: number of the group.
        user: name of the owner where its machine knows one, or None.
        group: name of the group, or None.
        target: where a link leads, as it is written there; bytes that are not UTF-8 as lone surrogates. None otherwise.
        nanoseconds: of the time of the last write, beyond its whole microseconds; 0 to 999.
    """

    kind: PosixKind
    mode: int
    uid: int
    gid: int
    user: str | None = None
    group: str | None = None
    target: str | None = None
    nanoseconds: int = 0


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of one object.

    Attributes:
        key: the whole key, not escaped.
        size_bytes: length of the content.
        modified: the store's own time of the last write, UTC.
        etag: opaque token that changes with the content, or None. Never called a checksum of the content.
        version: version id, or None where the store has none.
        content_type: only from ``stat`` and ``open``; None when the store has none.
        metadata: user metadata; only from ``stat`` and ``open``.
        checksum: ``algorithm:value`` as the store gives it (for example ``sha256:…`` in hex), or None.
        encryption: how the store says it encrypts the object at rest (``AES256``, ``aws:kms``), or None.
        encryption_key_id: the store's id of that key, or None.
        tags: the store's tags of the object; only from ``stat`` and ``open``. Empty also where reading them is not
            allowed, which the store then logs once.
        headers: those of ``HEADERS`` that the object has, names in lower case; only from ``stat`` and ``open``.
        posix: from stores with the capability ``posix``. Then the key of a folder ends with a slash; links and folders
            have size 0 and no etag.
    """

    key: str
    size_bytes: int
    modified: datetime
    etag: str | None = None
    version: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    checksum: str | None = None
    encryption: str | None = None
    encryption_key_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    posix: PosixFacts | None = None

    @property
    def kind(self) -> PosixKind:
        """What it is; a file wherever the store knows nothing else."""
        return PosixKind.FILE if self.posix is None else self.posix.kind


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One of the versions of a key.

    Attributes:
        info: what a listing says of it; ``version`` is always set. A delete marker has size 0 and no etag.
        is_delete_marker: the key was deleted at that moment and has no content.
        is_latest: it is what the key is now.
    """

    info: ObjectInfo
    is_delete_marker: bool
    is_latest: bool


@dataclass(frozen=True, slots=True)
class Throttling:
    """How often a store asked its clients to slow down.

    Attributes:
        requests: answers that said so.
        seconds: waited because of them, summed over threads.
    """

    requests: int = 0
    seconds: float = 0.0

    def since(self, before: "Throttling") -> "Throttling":
        """Return what was added to an earlier count."""
        return Throttling(self.requests - before.requests, self.seconds - before.seconds)


class ObjectReader(Protocol):
    """An open object, read forward once, in bounded memory."""

    @property
    def info(self) -> ObjectInfo:
        """What the store said when the object was opened."""
        ...

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, empty only at the end. A short transfer raises ``StoreUnavailable``."""
        ...


@runtime_checkable
class ObjectStore(Protocol):
    """One bucket (or directory), all keys relative to it."""

    @property
    def url(self) -> str:
        """Where this is, for messages, without secrets (``s3://bucket at http://…``, ``file:///…``)."""
        ...

    @property
    def capabilities(self) -> StoreCapabilities:
        """What this store can do beyond the required operations."""
        ...

    @property
    def throttling(self) -> Throttling:
        """How often the store asked this object to slow down so far; it did, and tried again."""
        ...

    def check(self, *, write: bool) -> None:
        """Prove that the bucket exists and can be listed, and written when ``write``.

        Raises:
            BucketNotFound: it does not exist.
            AccessDenied: wrong credentials or a missing right; the message names the operation.
            StoreUnavailable: it cannot be reached.
        """
        ...

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> ObjectInfo:
        """Write one object whole; after it returns the bytes are durable.

        Raises:
            AlreadyExists: ``create_only`` and the key is taken. Decided by the store, atomically.
        """
        ...

    def put_stream(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        size_bytes: int,
        create_only: bool = True,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write one object of any size in bounded memory; nothing is visible until all of it is.

        Args:
            key: the object.
            chunks: its content.
            size_bytes: length of the content.
            create_only: refuse a taken key.
            content_type: kept like all below where the store has ``user_metadata``, left out elsewhere.
            metadata: user metadata.
            tags: the store's tags of the object.
            headers: some of ``HEADERS``.

        Raises:
            AlreadyExists: ``create_only`` and the key is taken.
            SourceChanged: the chunks do not add up to ``size_bytes``; nothing is left behind.
        """
        ...

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the content, or the range of ``length`` bytes from ``start`` (short only at the end).

        Raises:
            ObjectNotFound: certainly absent.
        """
        ...

    def open(
        self, key: str, *, if_match: str | None = None, version: str | None = None
    ) -> AbstractContextManager[ObjectReader]:
        """Open an object for reading forward.

        Args:
            key: the object.
            if_match: the etag it must still have.
            version: the version to open, as ``list_versions`` names it; the latest when None.

        Raises:
            ObjectNotFound: certainly absent, or that version is a delete marker.
            SourceChanged: it no longer has the etag ``if_match``.
            ConfigurationError: a version is named and the store keeps none.
        """
        ...

    def stat(self, key: str, *, version: str | None = None) -> ObjectInfo:
        """Return what the store says of an object, with content type, metadata, tags and headers.

        Raises:
            ObjectNotFound: certainly absent, or that version is a delete marker.
            ConfigurationError: a version is named and the store keeps none.
        """
        ...

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        """Yield every object whose key begins with ``prefix``, page by page, in the store's own order.

        Args:
            prefix: text that need not end at a slash.
            start_after: yield only keys that are greater in byte order.
        """
        ...

    def list_unordered(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield what ``list`` yields in any order, asking for several pages at once where the store allows it."""
        ...

    def list_versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        """Yield every version of every key that begins with ``prefix``, delete markers too, in the store's own order.

        Raises:
            ConfigurationError: the store keeps no versions.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects in batches; keys that are absent already are no error (L-7)."""
        ...

    def can_copy_from(self, source: "ObjectStore") -> bool:
        """Say whether ``copy_from`` can copy out of that store without moving bytes through this process."""
        ...

    def copy_from(
        self,
        source: "ObjectStore",
        source_key: str,
        key: str,
        *,
        size_bytes: int,
        if_match: str | None = None,
        version: str | None = None,
    ) -> ObjectInfo:
        """Copy an object inside the store, in several parts where it must: content type, metadata, tags, headers too.

        The caller has made sure that ``key`` is free (stores have no create-only copy in common).

        Args:
            source: a store that ``can_copy_from`` says yes to.
            source_key: the object there.
            key: of the copy.
            size_bytes: size of the source as listed.
            if_match: the etag that the source must still have.
            version: the version of the source to copy; the latest when None.

        Raises:
            ObjectNotFound: the source is certainly absent, or that version is a delete marker.
            SourceChanged: the source no longer has the etag ``if_match``.
            ConfigurationError: a version is named and the source keeps none.
        """
        ...

    def now(self) -> datetime:
        """Return the store's own time in UTC (leases are judged by it, never by the clock of this machine)."""
        ...


def refuse_version(url: str, version: str | None) -> None:
    """Raise if a version is named; for stores that keep none.

    Raises:
        ConfigurationError: it is.
    """
    if version is not None:
        raise no_versions(url)


def no_versions(url: str) -> ConfigurationError:
    """Return the error of a store that is asked for versions and keeps none."""
    return ConfigurationError(f"{url} keeps no versions of its objects", hint="turn versioning on in the bucket")
