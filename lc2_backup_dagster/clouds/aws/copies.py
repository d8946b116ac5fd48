"""Copies inside the store, whole or in parts, with all that belongs to an object."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lc2_backup_dagster.clouds.aws.answers import headed, properties_of, quoted, written
from lc2_backup_dagster.clouds.aws.bucket import S3Bucket
from lc2_backup_dagster.clouds.aws.multipart import begun, bind, finish
from lc2_backup_dagster.clouds.aws.pieces import in_flight, part_size
from lc2_backup_dagster.clouds.aws.tags import Tags, as_header
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.errors import AccessDenied, SourceChanged

_AT_ONCE = 8

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Source:
    """What is copied: a key of a bucket, or a version of it."""

    bucket: S3Bucket
    key: str
    version: str | None
    tags: Tags

    @property
    def named(self) -> dict[str, str]:
        """The source as boto3 wants it."""
        named = {"Bucket": self.bucket.name, "Key": self.key}
        return named if self.version is None else {**named, "VersionId": self.version}


@dataclass(frozen=True, slots=True)
class Target:
    """Where it is copied to."""

    bucket: S3Bucket
    key: str
    tags: Tags


def copy_whole(source: Source, target: Target, *, etag: str | None) -> ObjectInfo | None:
    """Copy an object of at most 5 GiB with one request.

    Returns:
        What the store said of the copy; None when it did not say, so that one has to look. Its size is not said: it is
        that of the source with that etag, and unknown (0) without.

    Raises:
        ObjectNotFound: the source is absent.
        SourceChanged: it no longer has that etag.
    """

    def copy(directive: str | None) -> ObjectInfo | None:
        answer = target.bucket.call(
            "copy_object",
            key=target.key,
            CopySource=source.named,
            CopySourceIfMatch=quoted(etag),
            TaggingDirective=directive,
        )
        result = answer.get("CopyObjectResult", {})
        return written(target.key, {**answer, **result}, size_bytes=0) if result.get("ETag") else None

    return _with_or_without_tags(target, lambda tagged: copy(None if tagged else "REPLACE"))


def copy_parts(source: Source, target: Target, *, size_bytes: int, part_bytes: int, etag: str | None) -> ObjectInfo:
    """Copy an object part by part, with content type, headers, metadata and tags.

    Every part is copied under the condition that the source is still the same object.

    Raises:
        ObjectNotFound: the source is absent.
        SourceChanged: it is not, or no longer, the object with that etag and size.
    """
    head = source.bucket.head(source.key, etag=quoted(etag), version=source.version)
    found = headed(source.key, head)
    if found.size_bytes != size_bytes:
        raise SourceChanged(
            f"copy '{source.key}' from {source.bucket.place}: it has {found.size_bytes} bytes, not {size_bytes}",
            key=source.key,
        )
    # A copy in parts is a new object; only a copy as a whole takes all of this along by itself.
    kept = properties_of(found.content_type, found.metadata, found.headers)
    tagging = as_header(source.tags.of(source.key, head, version=source.version))
    length = part_size(size_bytes, smallest=part_bytes)

    def copy(tagged: bool) -> ObjectInfo:
        properties = {**kept, "Tagging": tagging if tagged else None}
        with begun(target.bucket, target.key, properties) as upload:
            ranges = ((start, min(start + length, size_bytes)) for start in range(0, size_bytes, length))
            calls = (
                bind(upload.copy, number, source.named, start, end, found.etag)
                for number, (start, end) in enumerate(ranges, 1)
            )
            # The caller made sure that the key was free: an object of that size there is the one just completed.
            return finish(
                upload,
                in_flight(calls, _AT_ONCE),
                size_bytes,
                create_only=False,
                is_ours=lambda made: made.size_bytes == size_bytes,
            )

    return copy(False) if tagging is None else _with_or_without_tags(target, copy)


def _with_or_without_tags(target: Target, copy: Callable[[bool], Result]) -> Result:
    """Copy with tags, and without them where only that is allowed: reading and setting tags are rights of their own."""
    try:
        return copy(True)
    except AccessDenied as error:
        try:
            made = copy(False)
        except AccessDenied:
            raise error from error.__cause__
        target.tags.are_lost(error)
        return made
