"""An S3 object that is read forward, resumed when the connection breaks."""

import hashlib
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from lc2_backup_dagster.clouds.aws.answers import headed, quoted
from lc2_backup_dagster.clouds.aws.client import S3Bucket
from lc2_backup_dagster.clouds.aws.errors import translated
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.errors import PermanentError, StoreUnavailable

# boto3 repeats requests, but not the reading of a body that broke off.
_TRIES = 4


class S3Reader:
    """Reads one object and goes on where it was after a broken connection, as long as it is the same object.

    Args:
        bucket: where it is.
        key: the object.
        answer: the answer to ``get_object``.
        version: the version that was asked for, or None.
    """

    def __init__(self, bucket: S3Bucket, key: str, answer: Mapping[str, Any], *, version: str | None = None) -> None:
        self._bucket = bucket
        self._version = version
        self._info = headed(key, answer)
        self._body = answer["Body"]
        self._position = 0
        self._failures = 0

    @property
    def info(self) -> ObjectInfo:
        """What the store said when the object was opened."""
        return self._info

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, empty only at the end.

        Raises:
            StoreUnavailable: the transfer broke off several times in a row.
            SourceChanged: it broke off and the object is another one now.
        """
        wanted = min(size, self._info.size_bytes - self._position)
        if wanted <= 0:
            return b""
        while True:
            try:
                with translated("get_object", self._bucket.place, self._info.key):
                    chunk: bytes = self._body.read(wanted)
                if not chunk:
                    raise StoreUnavailable(
                        f"get_object '{self._info.key}' in {self._bucket.place}: the transfer ended after"
                        f" {self._position} of {self._info.size_bytes} bytes"
                    )
            except StoreUnavailable:
                self._failures += 1
                if self._failures >= _TRIES:
                    raise
                self._resume()
                continue
            self._position += len(chunk)
            self._failures = 0
            return chunk

    def close(self) -> None:
        """Give the connection back."""
        self._body.close()

    def _resume(self) -> None:
        self._body.close()
        answer = self._bucket.call(
            "get_object",
            key=self._info.key,
            Range=f"bytes={self._position}-",
            IfMatch=quoted(self._info.etag),
            VersionId=self._version,
        )
        self._body = answer["Body"]
        if self._position and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
            raise PermanentError(f"get_object '{self._info.key}' in {self._bucket.place}: the store ignores ranges")


def read_range(bucket: S3Bucket, key: str, *, start: int, length: int | None) -> bytes:
    """Return an object's content, or a range of it, whole.

    Raises:
        StoreUnavailable: the transfer broke off several times.
    """
    ranged = start > 0 or length is not None
    end = "" if length is None else str(start + length - 1)
    for remaining in reversed(range(_TRIES)):
        try:
            answer = bucket.call("get_object", key=key, Range=f"bytes={start}-{end}" if ranged else None)
        except PermanentError as error:
            if error.attributes.get("status") == 416:
                return b""  # the range begins at the end or behind it
            raise
        try:
            with closing(answer["Body"]) as body, translated("get_object", bucket.place, key):
                content: bytes = body.read()
        except StoreUnavailable:
            if not remaining:
                raise
            continue
        if ranged and answer["ResponseMetadata"]["HTTPStatusCode"] == 200:
            # The store does not know ranges and sent everything.
            return content[start:] if length is None else content[start : start + length]
        return content
    raise AssertionError("the last try returns or raises")


def digest_of(bucket: S3Bucket, found: ObjectInfo) -> str:
    """Read an object back and return its SHA-256."""
    answer = bucket.call("get_object", key=found.key, IfMatch=quoted(found.etag))
    digest = hashlib.sha256()
    with closing(S3Reader(bucket, found.key, answer)) as reader:
        while piece := reader.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
