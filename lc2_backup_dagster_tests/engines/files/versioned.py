"""A source that keeps versions, as a bucket with versioning does."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectVersion, StoreCapabilities
from lc2_backup_dagster.model.errors import ObjectNotFound
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock


class Versioned(MemoryStore):
    """Keeps every version of every key until ``forget`` removes one.

    Attributes:
        keeping: whether versioning is on; off (suspended), a write replaces the version that was written so before.
        shuffled: whether versions are listed in no order.
        whole_seconds: whether times are told in whole seconds, as S3 does.
        listed: how often all versions were listed.
    """

    capabilities = StoreCapabilities(ordered_listing=True, server_side_copy=True, user_metadata=True, versions=True)

    def __init__(self, clock: SetClock) -> None:
        super().__init__(clock, url="memory://source")
        self.keeping = True
        self.shuffled = False
        self.whole_seconds = False
        self.listed = 0
        self._kept: list[tuple[ObjectVersion, bytes]] = []
        self._count = 0

    def _write(self, *args: Any) -> ObjectInfo:
        info = super()._write(*args)
        info = replace(info, version=self._next_id(), modified=self._time())
        body = self.objects[info.key][0]
        self.objects[info.key] = (body, info)
        self._keep(ObjectVersion(info, False, True), body)
        return info

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            if key in self.objects:
                del self.objects[key]
                marker = ObjectInfo(key, 0, self._time(), version=self._next_id())
                self._keep(ObjectVersion(marker, True, True), b"")

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        # As S3: a plain listing tells no versions.
        for found in super().list(prefix, start_after=start_after):
            yield replace(found, version=None)

    def list_versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        self.listed += 1
        found = [
            replace(each, info=replace(each.info, content_type=None, metadata={}, encryption=None))
            for each, _ in reversed(self._kept)
            if each.info.key.startswith(prefix)
        ]
        if self.shuffled:
            random.Random(len(found)).shuffle(found)
        else:
            found.sort(key=lambda each: each.info.key.encode("utf-8", "surrogateescape"))
        return iter(found)

    def forget(self, key: str, version: str) -> None:
        """Remove a noncurrent version for ever, as a lifecycle rule does."""
        self._kept = [
            (each, body)
            for each, body in self._kept
            if each.is_latest or (each.info.key, each.info.version) != (key, version)
        ]

    def forget_replaced_before(self, moment: datetime) -> None:
        """Remove every version, and marker, that was replaced before a moment, as a rule by age does."""
        following: dict[str, datetime] = {}
        kept: list[tuple[ObjectVersion, bytes]] = []
        for each, body in reversed(self._kept):
            replaced = following.get(each.info.key)
            following[each.info.key] = each.info.modified
            if replaced is None or replaced >= moment:
                kept.append((each, body))
        self._kept = kept[::-1]

    def versions_of(self, key: str) -> Sequence[ObjectVersion]:
        """Return what is kept of a key, oldest first."""
        return [each for each, _ in self._kept if each.info.key == key]

    def _keep(self, version: ObjectVersion, body: bytes) -> None:
        key = version.info.key
        kept = [
            (replace(each, is_latest=False) if each.info.key == key else each, content)
            for each, content in self._kept
            if (each.info.key, each.info.version) != (key, version.info.version)
        ]
        self._kept = [*kept, (version, body)]

    def _next_id(self) -> str:
        self._count += 1
        return f"v{self._count:04d}" if self.keeping else "null"

    def _time(self) -> datetime:
        now = self.clock.now()
        return now.replace(microsecond=0) if self.whole_seconds else now

    def _version(self, key: str, version: str | None) -> tuple[bytes, ObjectInfo]:
        if version is None:
            return self._find(key)
        for each, body in self._kept:
            if (each.info.key, each.info.version) == (key, version) and not each.is_delete_marker:
                return body, each.info
        raise ObjectNotFound(f"version {version} of {key} does not exist", key=key)
