"""A bucket as one change sees it: files are written at once and noted, deletions wait until the rows are committed."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore
from lc2_backup_dagster.demo.live.journal import FileChange
from lc2_backup_dagster.model.errors import ObjectNotFound

_CHUNK_BYTES = 1 << 20


class StagedStore(PrefixedStore):
    """The store of one change.

    Args:
        inner: the bucket.
        announce: told each key and the SHA-256 of what it holds (None: nothing) before the key is written.
    """

    def __init__(self, inner: ObjectStore, announce: Callable[[str, str | None], None]) -> None:
        super().__init__(inner, "")
        self._announce = announce
        self._changes: dict[str, FileChange] = {}

    @property
    def changes(self) -> Mapping[str, FileChange]:
        """What the change did so far; what it deletes is still there."""
        return self._changes

    @property
    def deleted(self) -> list[str]:
        """The keys that it deletes."""
        return [key for key, each in self._changes.items() if each.after is None]

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> ObjectInfo:
        """Write one object whole, now."""
        self._begin(key, create_only=create_only)
        info = super().put(key, body, create_only=create_only)
        self._note(key, hashlib.sha256(body).hexdigest())
        return info

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
        """Write one object, now."""
        self._begin(key, create_only=create_only)
        digest = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            for chunk in chunks:
                digest.update(chunk)
                yield chunk

        info = super().put_stream(
            key,
            hashed(),
            size_bytes=size_bytes,
            create_only=create_only,
            content_type=content_type,
            metadata=metadata,
            tags=tags,
            headers=headers,
        )
        self._note(key, digest.hexdigest())
        return info

    def delete(self, keys: Iterable[str]) -> None:
        """Note that objects shall go; ``carry_out`` deletes them."""
        for key in keys:
            before = self._changes[key].before if key in self._changes else content_of(self.inner, key)
            self._changes[key] = FileChange(before, None)

    def carry_out(self) -> None:
        """Delete what shall go."""
        self.inner.delete(self.deleted)

    def _begin(self, key: str, *, create_only: bool) -> None:
        if key not in self._changes:
            before = None if create_only else content_of(self.inner, key)
            self._announce(key, before)
            self._changes[key] = FileChange(before, None)

    def _note(self, key: str, digest: str) -> None:
        self._changes[key] = FileChange(self._changes[key].before, digest)


def content_of(store: ObjectStore, key: str) -> str | None:
    """Return the SHA-256 of an object's content, None where there is no such object."""
    digest = hashlib.sha256()
    try:
        with store.open(key) as reader:
            while chunk := reader.read(_CHUNK_BYTES):
                digest.update(chunk)
    except ObjectNotFound:
        return None
    return digest.hexdigest()
