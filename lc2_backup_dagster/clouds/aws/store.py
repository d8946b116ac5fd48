"""One bucket of S3, or of a store that speaks its language, as an object store."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from lc2_backup_dagster.clouds.aws.answers import MAX_KEY_BYTES, answered_at, checked, headed, quoted, written
from lc2_backup_dagster.clouds.aws.client import S3Bucket, S3Connection
from lc2_backup_dagster.clouds.aws.listing import check_listing, delete_objects, list_objects
from lc2_backup_dagster.clouds.aws.multipart import copy_parts, source_of, upload_stream
from lc2_backup_dagster.clouds.aws.pieces import MIB, exact_parts
from lc2_backup_dagster.clouds.aws.reader import S3Reader, read_range
from lc2_backup_dagster.clouds.aws.versions import keeps_versions, list_versions
from lc2_backup_dagster.clouds.prefixed import unwrapped
from lc2_backup_dagster.clouds.store import (
    ObjectInfo,
    ObjectStore,
    ObjectVersion,
    StoreCapabilities,
    Throttling,
    no_versions,
)
from lc2_backup_dagster.model.errors import (
    AlreadyExists,
    BucketNotFound,
    ObjectNotFound,
    PermanentError,
    SourceChanged,
    StoreUnavailable,
)

GIB = 1024 * MIB
# boto3 gives up after its own retries; a writer of the same key that is busy just then deserves a few more.
_CONFLICT_TRIES = 4


class S3Store:
    """Objects of one bucket.

    * Create-only writes are decided by the store (``If-None-Match: *``). An answer that got lost is resolved by
      reading back: the key holds exactly our bytes, or it is ``AlreadyExists``, or the outcome stays
      ``StoreUnavailable``. Who writes something unique (a log record with its attempt's id) therefore knows whether
      it was the one.
    * Content types and user metadata are kept; tags and access lists are not looked at.
    * Keys are sent as they are. Some stores hold fewer than S3 itself does (SeaweedFS: no ``//``, no ``/`` at the
      end, 255 bytes between slashes).

    Args:
        connection: endpoint and credentials; closed by ``close``.
        bucket: name of the bucket.
        ordered_listing: the store lists in byte order; None means only Amazon's own does, but for directory buckets.
        multipart_bytes: objects above this size are written in parts.
        part_bytes: smallest size of these parts.
        copy_limit_bytes: objects above this size are copied in parts (S3 copies at most 5 GiB at once).
        copy_part_bytes: smallest size of these parts, at least 5 MiB.
    """

    def __init__(
        self,
        connection: S3Connection,
        bucket: str,
        *,
        ordered_listing: bool | None = None,
        multipart_bytes: int = 16 * MIB,
        part_bytes: int = 8 * MIB,
        copy_limit_bytes: int = 5 * GIB,
        copy_part_bytes: int = 256 * MIB,
    ) -> None:
        self._connection = connection
        self._bucket = S3Bucket(connection, bucket)
        amazon = connection.access.endpoint is None and not bucket.endswith("--x-s3")
        self._ordered = amazon if ordered_listing is None else ordered_listing
        self._multipart_bytes = multipart_bytes
        self._part_bytes = part_bytes
        self._copy_limit_bytes = copy_limit_bytes
        self._copy_part_bytes = copy_part_bytes
        self._versions: bool | None = None

    @property
    def url(self) -> str:
        """Bucket and endpoint."""
        return f"s3://{self._bucket.name} at {self._connection.access.place}"

    @property
    def capabilities(self) -> StoreCapabilities:
        """What S3 can do; whether it keeps ``versions`` is asked once, when somebody wants to know."""
        return StoreCapabilities(
            ordered_listing=self._ordered,
            server_side_copy=True,
            user_metadata=True,
            versions=self._has_versions,
            max_key_bytes=MAX_KEY_BYTES,
        )

    @property
    def throttling(self) -> Throttling:
        """How often the store asked to slow down."""
        return Throttling()

    def check(self, *, write: bool) -> None:
        """Prove that the bucket exists and can be listed, and written when ``write``, with a small object."""
        check_listing(self._bucket)
        if write:
            probe = f".lc2-probe/{uuid4().hex}"
            self.put(probe, probe.encode())
            self.delete([probe])

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> ObjectInfo:
        """Write one object whole."""
        return self._put(key, body, create_only=create_only, properties={})

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
        """Write one object of any size, in parts where it is large."""
        properties: dict[str, Any] = {"ContentType": content_type, "Metadata": dict(metadata) if metadata else None}
        if size_bytes <= self._multipart_bytes:
            (body,) = exact_parts(key, chunks, size_bytes=size_bytes, length=self._multipart_bytes)
            return self._put(key, body, create_only=create_only, properties=properties)
        if create_only:
            # The completion decides; this spares an upload that cannot succeed.
            with suppress(ObjectNotFound):
                self.stat(key)
                raise self._taken(key)
        return upload_stream(
            self._bucket,
            checked(key),
            chunks,
            size_bytes=size_bytes,
            smallest_part=self._part_bytes,
            create_only=create_only,
            properties=properties,
        )

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the content or a range of it."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"range from {start} of length {length} makes no sense")
        if length == 0:
            self.stat(key)
            return b""
        return read_range(self._bucket, checked(key), start=start, length=length)

    @contextmanager
    def open(
        self, key: str, *, if_match: str | None = None, version: str | None = None
    ) -> Generator[S3Reader, None, None]:
        """Open an object for reading forward."""
        with self._version(key, version):
            answer = self._bucket.call("get_object", key=checked(key), IfMatch=quoted(if_match), VersionId=version)
        with closing(S3Reader(self._bucket, key, answer, version=version)) as reader:
            yield reader

    def stat(self, key: str, *, version: str | None = None) -> ObjectInfo:
        """Return what the store says of an object, with metadata, encryption and checksum if it has one."""
        with self._version(key, version):
            return headed(key, self._bucket.head(checked(key), version=version))

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects page by page; without trust in the store's order, ``start_after`` reads all the pages."""
        return list_objects(self._bucket, prefix=prefix, start_after=start_after, ordered=self._ordered)

    def list_unordered(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects in any order."""
        return self.list(prefix)

    def list_versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        """Yield every version page by page; of one key the newest first."""
        if not self._has_versions():
            raise no_versions(self.url)
        yield from list_versions(self._bucket, prefix=prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, 1,000 at a time."""
        delete_objects(self._bucket, keys)

    def can_copy_from(self, source: ObjectStore) -> bool:
        """Say yes to any bucket of the same endpoint reached with the same access key."""
        store, _ = unwrapped(source)
        return isinstance(store, S3Store) and store._connection.access.identity == self._connection.access.identity

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
        """Copy an object inside the store, in parts above ``copy_limit_bytes``."""
        store, inner_key = unwrapped(source, source_key)
        if not isinstance(store, S3Store) or not self.can_copy_from(store):
            raise TypeError(f"{self.url} cannot copy from {source.url}; ask can_copy_from first")
        with store._version(inner_key, version):
            return self._copy(store._bucket, checked(inner_key), checked(key), size_bytes, if_match, version)

    def _copy(
        self, origin: S3Bucket, source_key: str, key: str, size_bytes: int, if_match: str | None, version: str | None
    ) -> ObjectInfo:
        if size_bytes > self._copy_limit_bytes:
            return copy_parts(
                origin,
                source_key,
                self._bucket,
                key,
                size_bytes=size_bytes,
                part_bytes=self._copy_part_bytes,
                etag=if_match,
                version=version,
            )
        answer = self._bucket.call(
            "copy_object",
            key=key,
            CopySource=source_of(origin, source_key, version),
            CopySourceIfMatch=quoted(if_match),
        )
        result = answer.get("CopyObjectResult", {})
        # With the etag as condition the source had the size that the caller saw; without, look at what came (L-6).
        if if_match is None or not result.get("ETag"):
            return self._copied(key, size_bytes=size_bytes)
        return written(key, {**answer, "ETag": result["ETag"]}, size_bytes=size_bytes)

    def now(self) -> datetime:
        """Return the store's own time, in whole seconds, from the ``Date`` header of a small answer."""
        moment = answered_at(self._bucket.call("head_bucket", absent=BucketNotFound))
        if moment is None:
            raise PermanentError(f"{self.url} does not tell the time in its answers")
        return moment

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        self._connection.close()

    def _has_versions(self) -> bool:
        if self._versions is None:
            self._versions = keeps_versions(self._bucket)
        return self._versions

    @contextmanager
    def _version(self, key: str, version: str | None) -> Generator[None, None, None]:
        """Refuse a version where there are none; reading a delete marker is reading what is not there."""
        if version is None:
            yield
            return
        if not self._has_versions():
            raise no_versions(self.url)
        try:
            yield
        except PermanentError as error:
            if error.attributes.get("status") != 405:
                raise
            raise ObjectNotFound(
                f"version {version} of '{key}' in {self.url} is a delete marker", key=key, version=version
            ) from error

    def _put(self, key: str, body: bytes, *, create_only: bool, properties: Mapping[str, Any]) -> ObjectInfo:
        def send() -> ObjectInfo:
            answer = self._bucket.call(
                "put_object", key=checked(key), Body=body, IfNoneMatch="*" if create_only else None, **properties
            )
            return written(key, answer, size_bytes=len(body))

        return self._settled(key, body, send) if create_only else send()

    def _settled(self, key: str, body: bytes, send: Callable[[], ObjectInfo]) -> ObjectInfo:
        """Send a create-only write and find out what a lost answer said."""
        for remaining in reversed(range(_CONFLICT_TRIES)):
            try:
                return send()
            except SourceChanged as error:
                # 412. After a retry the one who took the key may have been ourselves.
                if error.attributes.get("retries") and self._holds(key, body):
                    return self.stat(key)
                raise self._taken(key) from error
            except StoreUnavailable as error:
                if error.attributes.get("status") == 409 and remaining:
                    continue
                try:
                    ours = self._holds(key, body)
                except (ObjectNotFound, StoreUnavailable):
                    raise error from error.__cause__
                if ours:
                    return self.stat(key)
                raise self._taken(key) from error
        raise AssertionError("the last try returns or raises")

    def _holds(self, key: str, body: bytes) -> bool:
        return self.stat(key).size_bytes == len(body) and self.get(key) == body

    def _taken(self, key: str) -> AlreadyExists:
        return AlreadyExists(f"write '{key}' in {self.url}: it exists already", key=key)

    def _copied(self, key: str, *, size_bytes: int) -> ObjectInfo:
        made = self.stat(key)
        if made.size_bytes != size_bytes:
            self.delete([key])
            raise SourceChanged(
                f"copy to '{key}' in {self.url}: {size_bytes} bytes were announced, {made.size_bytes} came", key=key
            )
        return made
