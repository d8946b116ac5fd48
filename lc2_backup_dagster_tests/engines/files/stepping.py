"""A store that is looked over at every call: tests act, or let the process die, between any two of them."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectReader, ObjectStore
from lc2_backup_dagster_tests.fakes import Killed


class SteppingStore(PrefixedStore):
    """Another store, key by key, as one process sees it.

    Attributes:
        before: called with the number of the call, its name and its key, before each call. It may raise.
        calls: name and key of the calls that were made, in order.
        ahead: how far the store's clock is ahead of the inner one's.
        dead: whether the process has died; every further call raises ``Killed``.
    """

    def __init__(self, inner: ObjectStore, before: Callable[[int, str, str], None] | None = None) -> None:
        super().__init__(inner, "")
        self.before = before
        self.calls: list[tuple[str, str]] = []
        self.ahead = timedelta()
        self.dead = False
        self._one_at_a_time = threading.RLock()

    def die_at(self, number: int) -> None:
        """Let the process die instead of making the call of that number, the first being 0."""

        def die(current: int, call: str, key: str) -> None:
            if current == number:
                self.dead = True
                raise Killed

        self.before = die

    def _step(self, call: str, key: str) -> None:
        with self._one_at_a_time:
            if self.dead:
                raise Killed
            number = len(self.calls)
            self.calls.append((call, key))
            if self.before:
                self.before(number, call, key)

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> ObjectInfo:
        self._step("put", key)
        return super().put(key, body, create_only=create_only)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        self._step("get", key)
        return super().get(key, start=start, length=length)

    def open(self, key: str, **options: str | None) -> AbstractContextManager[ObjectReader]:
        self._step("open", key)
        return super().open(key, **options)  # type: ignore[arg-type]

    def stat(self, key: str, **options: str | None) -> ObjectInfo:
        self._step("stat", key)
        return super().stat(key, **options)  # type: ignore[arg-type]

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        self._step("list", prefix)
        return super().list(prefix, start_after=start_after)

    def delete(self, keys: Iterable[str]) -> None:
        # One by one: a batch can be cut anywhere.
        for key in keys:
            self._step("delete", key)
            super().delete([key])

    def copy_from(self, source: ObjectStore, source_key: str, key: str, **options: object) -> ObjectInfo:
        self._step("copy", key)
        return super().copy_from(source, source_key, key, **options)  # type: ignore[arg-type]

    def put_stream(
        self, key: str, chunks: Iterable[bytes], *, size_bytes: int, **options: Mapping[str, str] | bool | str | None
    ) -> ObjectInfo:
        self._step("put", key)
        return super().put_stream(key, chunks, size_bytes=size_bytes, **options)  # type: ignore[arg-type]

    def now(self) -> datetime:
        self._step("now", "")
        return super().now() + self.ahead
