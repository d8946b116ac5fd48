"""Objects in several parts: written from a stream, or copied inside the store.

Until it is completed an upload is invisible, and whatever fails it is aborted, so no part is paid for that nobody
will complete. A completion is not believed: the object is looked at afterwards (L-6).
"""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from lc2_backup_dagster.clouds.aws.answers import headed, quoted
from lc2_backup_dagster.clouds.aws.client import S3Bucket
from lc2_backup_dagster.clouds.aws.pieces import MIB, exact_parts, in_flight, part_size
from lc2_backup_dagster.clouds.aws.reader import digest_of
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.errors import (
    AlreadyExists,
    BackupError,
    ObjectNotFound,
    SourceChanged,
    StoreUnavailable,
)

_MEMORY_BYTES = 64 * MIB
_UPLOADS_AT_ONCE = 4
_COPIES_AT_ONCE = 8
_KEPT_BY_COPY = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Metadata")


@dataclass(frozen=True, slots=True)
class Upload:
    """A begun upload."""

    bucket: S3Bucket
    key: str
    upload_id: str

    def send(self, number: int, body: bytes) -> dict[str, Any]:
        """Send one part and return its entry for the completion."""
        answer = self.bucket.call("upload_part", key=self.key, UploadId=self.upload_id, PartNumber=number, Body=body)
        return _entry(number, answer, answer)

    def copy(self, number: int, source: Mapping[str, str], start: int, end: int, etag: str | None) -> dict[str, Any]:
        """Have the store copy one part, from ``start`` to before ``end``, and return its entry."""
        answer = self.bucket.call(
            "upload_part_copy",
            key=self.key,
            UploadId=self.upload_id,
            PartNumber=number,
            CopySource=source,
            CopySourceRange=f"bytes={start}-{end - 1}",
            CopySourceIfMatch=quoted(etag),
        )
        copied = answer.get("CopyPartResult", {})
        if not copied.get("ETag"):
            raise StoreUnavailable(f"upload_part_copy '{self.key}' in {self.bucket.place}: an answer without result")
        return _entry(number, copied, copied)

    def complete(self, parts: list[dict[str, Any]], *, create_only: bool) -> Mapping[str, Any]:
        """Make the object of the parts."""
        return self.bucket.call(
            "complete_multipart_upload",
            key=self.key,
            UploadId=self.upload_id,
            MultipartUpload={"Parts": parts},
            IfNoneMatch="*" if create_only else None,
        )


def _entry(number: int, etag: Mapping[str, Any], checksums: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in checksums.items() if name.startswith("Checksum")}
    return {"PartNumber": number, "ETag": etag["ETag"], **kept}


@contextmanager
def begun(bucket: S3Bucket, key: str, properties: Mapping[str, Any]) -> Generator[Upload, None, None]:
    """Begin an upload and abort it if the enclosed code fails in any way."""
    answer = bucket.call("create_multipart_upload", key=key, **properties)
    upload = Upload(bucket, key, answer["UploadId"])
    try:
        yield upload
    except BaseException:
        with suppress(BackupError):
            bucket.call("abort_multipart_upload", key=key, UploadId=upload.upload_id)
        raise


def upload_stream(
    bucket: S3Bucket,
    key: str,
    chunks: Iterable[bytes],
    *,
    size_bytes: int,
    smallest_part: int,
    create_only: bool,
    properties: Mapping[str, Any],
) -> ObjectInfo:
    """Write an object from a stream, a few parts in flight, at most about 64 MiB in memory (more only above 160 GB).

    Raises:
        AlreadyExists: ``create_only`` and the key is taken.
        SourceChanged: the chunks do not add up to ``size_bytes``.
        StoreUnavailable: also when the completed object does not have the size of its parts.
    """
    length = part_size(size_bytes, smallest=smallest_part)
    at_once = max(1, min(_UPLOADS_AT_ONCE, _MEMORY_BYTES // length))
    digest = hashlib.sha256()

    def bodies() -> Iterator[bytes]:
        for body in exact_parts(key, chunks, size_bytes=size_bytes, length=length):
            digest.update(body)
            yield body

    def is_ours(found: ObjectInfo) -> bool:
        return found.size_bytes == size_bytes and digest_of(bucket, found) == digest.hexdigest()

    with begun(bucket, key, properties) as upload:
        calls = (_bind(upload.send, number, body) for number, body in enumerate(bodies(), 1))
        return _finish(upload, in_flight(calls, at_once), size_bytes, create_only=create_only, is_ours=is_ours)


def source_of(bucket: S3Bucket, key: str, version: str | None) -> dict[str, str]:
    """Return how boto3 names the source of a copy."""
    named = {"Bucket": bucket.name, "Key": key}
    return named if version is None else {**named, "VersionId": version}


def copy_parts(
    source: S3Bucket,
    source_key: str,
    bucket: S3Bucket,
    key: str,
    *,
    size_bytes: int,
    part_bytes: int,
    etag: str | None,
    version: str | None = None,
) -> ObjectInfo:
    """Copy an object inside the store part by part, with content type and metadata.

    Every part is copied under the condition that the source is still the same object.

    Raises:
        ObjectNotFound: the source is absent.
        SourceChanged: it is not, or no longer, the object with that etag and size.
    """
    head = source.head(source_key, etag=quoted(etag), version=version)
    found = headed(source_key, head)
    if found.size_bytes != size_bytes:
        raise SourceChanged(
            f"copy '{source_key}' from {source.place}: it has {found.size_bytes} bytes, not {size_bytes}",
            key=source_key,
        )
    length = part_size(size_bytes, smallest=part_bytes)
    place = source_of(source, source_key, version)
    with begun(bucket, key, {name: head.get(name) for name in _KEPT_BY_COPY}) as upload:
        ranges = ((start, min(start + length, size_bytes)) for start in range(0, size_bytes, length))
        calls = (
            _bind(upload.copy, number, place, start, end, found.etag) for number, (start, end) in enumerate(ranges, 1)
        )
        # The caller made sure that the key was free, so an object of that size there is the one just completed.
        return _finish(
            upload,
            in_flight(calls, _COPIES_AT_ONCE),
            size_bytes,
            create_only=False,
            is_ours=lambda made: made.size_bytes == size_bytes,
        )


def _finish(
    upload: Upload,
    parts: list[dict[str, Any]],
    size_bytes: int,
    *,
    create_only: bool,
    is_ours: Callable[[ObjectInfo], bool],
) -> ObjectInfo:
    try:
        upload.complete(parts, create_only=create_only)
    except (SourceChanged, StoreUnavailable) as error:
        # A completion that timed out, or was repeated after one that did, may have happened: look (L-28).
        clean_refusal = isinstance(error, SourceChanged) and not error.attributes.get("retries")
        found = None if clean_refusal else _look(upload)
        if found is None or not is_ours(found):
            if isinstance(error, SourceChanged) or (create_only and found is not None):
                raise AlreadyExists(
                    f"write '{upload.key}' in {upload.bucket.place}: it exists already", key=upload.key
                ) from error
            raise
        return found
    made = _look(upload)
    if made is None or made.size_bytes != size_bytes:
        size = "absent" if made is None else f"{made.size_bytes} bytes long"
        if made is not None:
            with suppress(BackupError):
                upload.bucket.call("delete_object", key=upload.key)
        raise StoreUnavailable(
            f"complete_multipart_upload '{upload.key}' in {upload.bucket.place}: the store says it is complete,"
            f" but it is {size} instead of {size_bytes}",
            key=upload.key,
        )
    return made


def _look(upload: Upload) -> ObjectInfo | None:
    try:
        return headed(upload.key, upload.bucket.head(upload.key))
    except ObjectNotFound:
        return None


def _bind(call: Callable[..., dict[str, Any]], *arguments: object) -> Callable[[], dict[str, Any]]:
    return lambda: call(*arguments)
