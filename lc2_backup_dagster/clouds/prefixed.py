"""A view of a store below a prefix, for a restore target like ``bucket/some/prefix``."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

from lc2_backup_dagster.clouds.posix import PosixStore, posix_store
from lc2_backup_dagster.clouds.store import (
    ObjectInfo,
    ObjectReader,
    ObjectStore,
    ObjectVersion,
    PosixFacts,
    PosixKind,
    StoreCapabilities,
    Throttling,
)


def unwrapped(store: ObjectStore, key: str = "") -> tuple[ObjectStore, str]:
    """Return the real store behind any views of it, and the key as that store knows it."""
    while isinstance(store, PrefixedStore):
        store, key = store.inner, store.prefix + key
    return store, key


class PrefixedStore:
    """Every key of the view is the inner store's key without the prefix.

    Args:
        inner: the whole store.
        prefix: text in front of every key, usually ending with a slash.
    """

    def __init__(self, inner: ObjectStore, prefix: str) -> None:
        self.inner = inner
        self.prefix = prefix

    @property
    def url(self) -> str:
        """Where this is, for messages."""
        return f"{self.inner.url}, below '{self.prefix}'"

    @property
    def capabilities(self) -> StoreCapabilities:
        """What the inner store can do, with the room for a key shortened by the prefix."""
        inner = self.inner.capabilities
        room = inner.max_key_bytes - len(self.prefix.encode("utf-8", "surrogateescape"))
        return replace(inner, versions=lambda: inner.versions, max_key_bytes=room)

    @property
    def throttling(self) -> Throttling:
        """How often the inner store asked to slow down."""
        return self.inner.throttling

    def check(self, *, write: bool) -> None:
        """Prove that the inner store can be listed, and written when ``write``."""
        self.inner.check(write=write)

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> ObjectInfo:
        """Write one object whole."""
        return self._relative(self.inner.put(self.prefix + key, body, create_only=create_only))

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
        """Write one object of any size in bounded memory."""
        stored = self.inner.put_stream(
            self.prefix + key,
            chunks,
            size_bytes=size_bytes,
            create_only=create_only,
            content_type=content_type,
            metadata=metadata,
            tags=tags,
            headers=headers,
        )
        return self._relative(stored)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the content or a range of it."""
        return self.inner.get(self.prefix + key, start=start, length=length)

    def open(
        self, key: str, *, if_match: str | None = None, version: str | None = None
    ) -> AbstractContextManager[ObjectReader]:
        """Open an object for reading forward; its ``info`` carries the inner store's key."""
        return self.inner.open(self.prefix + key, if_match=if_match, version=version)

    def stat(self, key: str, *, version: str | None = None) -> ObjectInfo:
        """Return what the store says of an object."""
        return self._relative(self.inner.stat(self.prefix + key, version=version))

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects below the prefix, with keys relative to it."""
        after = None if start_after is None else self.prefix + start_after
        for found in self.inner.list(self.prefix + prefix, start_after=after):
            if found.kind is PosixKind.DIRECTORY and found.key == self.prefix:
                continue  # the root of the view; like that of a store it is no part of it
            yield self._relative(found)

    def list_unordered(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below the prefix in any order, with keys relative to it."""
        for found in self.inner.list_unordered(self.prefix + prefix):
            yield self._relative(found)

    def list_versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        """Yield every version below the prefix, with keys relative to it."""
        for found in self.inner.list_versions(self.prefix + prefix):
            yield replace(found, info=self._relative(found.info))

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects in batches."""
        self.inner.delete(self.prefix + key for key in keys)

    def can_copy_from(self, source: ObjectStore) -> bool:
        """Say whether the inner store can copy out of the store behind ``source``."""
        return self.inner.can_copy_from(source)

    def copy_from(
        self,
        source: ObjectStore,
        source_key: str,
        key: str,
        *,
        size_bytes: int,
        if_match: str | None = None,
        version: str | None = None,
    ) -> ObjectInfo:
        """Copy an object inside the store."""
        copied = self.inner.copy_from(
            source, source_key, self.prefix + key, size_bytes=size_bytes, if_match=if_match, version=version
        )
        return self._relative(copied)

    def now(self) -> datetime:
        """Return the store's own time in UTC."""
        return self.inner.now()

    def ids_of(self, facts: PosixFacts, /) -> tuple[int, int]:
        """Return the numbers that owner and group have on the machine of the inner store."""
        return self._posix.ids_of(facts)

    def attainable(self, facts: PosixFacts, /) -> PosixFacts:
        """Return what a file or link would have of the facts if this process wrote it now."""
        return self._posix.attainable(facts)

    def dressed(self, facts: PosixFacts, modified: datetime) -> "PrefixedStore":
        """Return the same view, whose writes give files these facts and this time."""
        return PrefixedStore(self._posix.dressed(facts, modified), self.prefix)

    def put_link(self, key: str, facts: PosixFacts, *, modified: datetime, create_only: bool) -> ObjectInfo:
        """Make a symbolic link."""
        made = self._posix.put_link(self.prefix + key, facts, modified=modified, create_only=create_only)
        return self._relative(made)

    def make_folder(self, key: str, *, take_over: bool) -> bool:
        """Make a folder that only this process may enter until ``finish_folder``."""
        return self._posix.make_folder(self.prefix + key, take_over=take_over)

    def finish_folder(self, key: str, facts: PosixFacts, *, modified: datetime) -> ObjectInfo:
        """Give a folder its owner, mode and time."""
        return self._relative(self._posix.finish_folder(self.prefix + key, facts, modified=modified))

    @property
    def _posix(self) -> PosixStore:
        inner = posix_store(self.inner)
        if inner is None:
            raise TypeError(f"{self.inner.url} holds neither links nor folders; look at its capability 'posix' first")
        return inner

    def _relative(self, found: ObjectInfo) -> ObjectInfo:
        return replace(found, key=found.key.removeprefix(self.prefix))
