"""A bucket whose objects lie in a folder: etags are MD5 of the content, as S3 gives them.

A folder's own etags (time and inode) are others after every checkout; the frozen repository is that of a bucket.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectReader, ObjectStore


class _Reader:
    def __init__(self, reader: ObjectReader, info: ObjectInfo) -> None:
        self._reader = reader
        self.info = info

    def read(self, size: int, /) -> bytes:
        return self._reader.read(size)


class BucketDump(DirectoryStore):
    def __init__(self, root: Path, *, create: bool = False) -> None:
        super().__init__(root, create=create)
        self._content = DirectoryStore(root)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        return self._content.get(key, start=start, length=length)

    def stat(self, key: str, *, version: str | None = None) -> ObjectInfo:
        return self._as_bucket(super().stat(key, version=version))

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        for info in super().list(prefix, start_after=start_after):
            yield self._as_bucket(info)

    @contextmanager
    def open(self, key: str, *, if_match: str | None = None, version: str | None = None) -> Iterator[_Reader]:
        with super().open(key, version=version) as reader:
            info = self._as_bucket(reader.info)
            assert if_match in (None, info.etag)
            yield _Reader(reader, info)

    def copy_from(self, source: ObjectStore, source_key: str, key: str, **options: Any) -> ObjectInfo:
        return self._as_bucket(super().copy_from(source, source_key, key, **options))

    def _as_bucket(self, info: ObjectInfo) -> ObjectInfo:
        return replace(info, etag=hashlib.md5(self._content.get(info.key)).hexdigest())
