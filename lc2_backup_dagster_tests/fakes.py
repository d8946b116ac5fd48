"""In-memory stand-ins of the ports, and a store that dies at a chosen write."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO

from lc2_backup_dagster.clouds.store import (
    ObjectInfo,
    ObjectStore,
    ObjectVersion,
    StoreCapabilities,
    Throttling,
    no_versions,
    refuse_version,
)
from lc2_backup_dagster.model.errors import AlreadyExists, ObjectNotFound, SourceChanged


class SetClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime | None = None) -> None:
        self.time = now or datetime(2026, 11, 23, 2, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def move(self, **delta: float) -> None:
        self.time += timedelta(**delta)


class _Reader:
    def __init__(self, info: ObjectInfo, body: bytes) -> None:
        self.info = info
        self._file = BytesIO(body)

    def read(self, size: int, /) -> bytes:
        return self._file.read(size)


class MemoryStore:
    """An object store in a dictionary, with its own clock."""

    capabilities = StoreCapabilities(ordered_listing=True, server_side_copy=True, user_metadata=True)

    def __init__(self, clock: SetClock | None = None, *, url: str = "memory://test") -> None:
        self.clock = clock or SetClock()
        self.url = url
        self.objects: dict[str, tuple[bytes, ObjectInfo]] = {}
        self.lock = threading.Lock()

    @property
    def throttling(self) -> Throttling:
        return Throttling()

    def check(self, *, write: bool) -> None:
        return None

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> ObjectInfo:
        return self._write(key, bytes(body), create_only, None, {})

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
        body = b"".join(chunks)
        if len(body) != size_bytes:
            raise SourceChanged(f"{key}: {len(body)} bytes came, {size_bytes} were announced")
        facts = {"metadata": dict(metadata or {}), "tags": dict(tags or {}), "headers": dict(headers or {})}
        return self._write(key, body, create_only, content_type, facts)

    def _write(
        self, key: str, body: bytes, create_only: bool, content_type: str | None, facts: Mapping[str, dict[str, str]]
    ) -> ObjectInfo:
        with self.lock:
            if create_only and key in self.objects:
                raise AlreadyExists(f"{key} exists", key=key)
            info = ObjectInfo(
                key=key,
                size_bytes=len(body),
                modified=self.clock.now(),
                etag=hashlib.md5(body).hexdigest(),
                content_type=content_type,
                encryption="AES256",
                **facts,
            )
            self.objects[key] = (body, info)
            return info

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        body, _ = self._find(key)
        return body[start:] if length is None else body[start : start + length]

    @contextmanager
    def open(self, key: str, *, if_match: str | None = None, version: str | None = None) -> Iterator[_Reader]:
        body, info = self._version(key, version)
        if if_match is not None and info.etag != if_match:
            raise SourceChanged(f"{key} changed", key=key)
        yield _Reader(info, body)

    def stat(self, key: str, *, version: str | None = None) -> ObjectInfo:
        return self._version(key, version)[1]

    def _version(self, key: str, version: str | None) -> tuple[bytes, ObjectInfo]:
        refuse_version(self.url, version)
        return self._find(key)

    def _find(self, key: str) -> tuple[bytes, ObjectInfo]:
        with self.lock:
            if key not in self.objects:
                raise ObjectNotFound(f"{key} does not exist", key=key)
            return self.objects[key]

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        with self.lock:
            found = sorted((key for key in self.objects if key.startswith(prefix)), key=str.encode)
            infos = [self.objects[key][1] for key in found]
        for info in infos:
            if start_after is None or info.key.encode() > start_after.encode():
                yield info

    def list_unordered(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self.list(prefix)

    def list_versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        raise no_versions(self.url)

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            with self.lock:
                self.objects.pop(key, None)

    def can_copy_from(self, source: ObjectStore) -> bool:
        return isinstance(source, MemoryStore)

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
        assert isinstance(source, MemoryStore)
        body, info = source._version(source_key, version)
        if if_match is not None and info.etag != if_match:
            raise SourceChanged(f"{source_key} changed", key=source_key)
        facts = {"metadata": dict(info.metadata), "tags": dict(info.tags), "headers": dict(info.headers)}
        return self._write(key, body, False, info.content_type, facts)

    def now(self) -> datetime:
        return self.clock.now()


class Killed(BaseException):
    """The process died here: nothing after it runs, not even an abort."""


class DyingStore(MemoryStore):
    """Lets ``writes_left`` writes through; then every call raises ``Killed``, as if the process had died."""

    def __init__(self, clock: SetClock | None = None) -> None:
        super().__init__(clock)
        self.writes_left: int | None = None
        self.writes = 0
        self.after: Callable[[], None] | None = None

    def _write(self, *args: object) -> ObjectInfo:
        self._alive()
        if self.writes_left is not None:
            if self.writes_left == 0:
                self.writes_left = -1
                raise Killed
            self.writes_left -= 1
        self.writes += 1
        return super()._write(*args)  # type: ignore[arg-type]

    def _find(self, key: str) -> tuple[bytes, ObjectInfo]:
        self._alive()
        return super()._find(key)

    def delete(self, keys: Iterable[str]) -> None:
        self._alive()
        super().delete(keys)

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        self._alive()
        return super().list(prefix, start_after=start_after)

    def _alive(self) -> None:
        if self.writes_left == -1:
            raise Killed

    def revive(self) -> None:
        """Start a new process over the same objects."""
        self.writes_left = None
