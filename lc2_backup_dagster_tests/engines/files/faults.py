"""Sources and stores that misbehave in one way each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.errors import AccessDenied, StoreUnavailable
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock


class Unordered(MemoryStore):
    """Lists folder-wise, as SeaweedFS does: ``a``, ``a/b``, ``a-b``."""

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        return iter(sorted(super().list(prefix, start_after=start_after), key=lambda found: found.key.split("/")))


class Troubled(MemoryStore):
    """Asks ``trouble(key)`` before an object is opened, copied or asked for; it may raise or change the store."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__(clock, url="memory://source")
        self.trouble: Callable[[str], None] = lambda key: None
        self.check_fails = False

    def check(self, *, write: bool) -> None:
        if self.check_fails:
            raise AccessDenied("the credentials have ended")

    @contextmanager
    def open(self, key: str, **conditions: str | None) -> Iterator[Any]:
        self.trouble(key)
        with super().open(key, **conditions) as reader:
            yield reader

    def find_for_copy(self, key: str) -> None:
        self.trouble(key)


class CopyingFrom(MemoryStore):
    """A destination whose server-side copies meet the source's troubles."""

    def copy_from(self, source: Any, source_key: str, key: str, **options: Any) -> ObjectInfo:
        if isinstance(source, Troubled):
            source.find_for_copy(source_key)
        return super().copy_from(source, source_key, key, **options)


class Outage:
    """Is unavailable for the first ``times`` calls."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, key: str) -> None:
        if self.left:
            self.left -= 1
            raise StoreUnavailable(f"{key}: slow down")
