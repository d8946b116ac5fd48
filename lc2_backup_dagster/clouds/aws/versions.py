"""Versions of objects: whether a bucket keeps them, and all that it keeps."""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from lc2_backup_dagster.clouds.aws.answers import is_utf8, unquoted
from lc2_backup_dagster.clouds.aws.client import S3Bucket
from lc2_backup_dagster.clouds.aws.listing import PAGE
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectVersion
from lc2_backup_dagster.model.errors import PermanentError, StoreUnavailable

_KNOWS_NO_VERSIONS = (404, 405, 501)


def keeps_versions(bucket: S3Bucket) -> bool:
    """Say whether versioning is on; no where the store does not know versions or one may not ask.

    Raises:
        StoreUnavailable: the store did not say (L-28: that is no answer).
    """
    try:
        return bucket.call("get_bucket_versioning").get("Status") == "Enabled"
    except PermanentError:
        return False
    except StoreUnavailable as error:
        if error.attributes.get("status") in _KNOWS_NO_VERSIONS:
            return False
        raise


def list_versions(bucket: S3Bucket, *, prefix: str) -> Iterator[ObjectVersion]:
    """Yield every version of the keys with a prefix, delete markers too."""
    if not is_utf8(prefix):
        return  # no key of this store begins like that
    after: tuple[str | None, str | None] = (None, None)
    while True:
        answer = bucket.call(
            "list_object_versions", Prefix=prefix, MaxKeys=PAGE, KeyMarker=after[0], VersionIdMarker=after[1]
        )
        if "IsTruncated" not in answer:
            raise StoreUnavailable(f"list_object_versions in {bucket.place}: the answer is no listing")
        for found in _of_page(answer):
            if found.info.key.startswith(prefix):
                yield found
        if not answer["IsTruncated"]:
            return
        following = (answer.get("NextKeyMarker"), answer.get("NextVersionIdMarker"))
        if not following[0] or following == after:
            raise StoreUnavailable(f"list_object_versions in {bucket.place}: it says there is more and not where")
        after = following


def _of_page(answer: Mapping[str, Any]) -> list[ObjectVersion]:
    """Return versions and delete markers of a page, by key, and the newest of a key first."""
    found = [_version(entry, is_delete_marker=False) for entry in answer.get("Versions", ())]
    found += [_version(entry, is_delete_marker=True) for entry in answer.get("DeleteMarkers", ())]
    found.sort(key=lambda each: (each.info.modified, each.is_latest), reverse=True)
    found.sort(key=lambda each: each.info.key.encode())
    return found


def _version(entry: Mapping[str, Any], *, is_delete_marker: bool) -> ObjectVersion:
    info = ObjectInfo(
        key=entry["Key"],
        size_bytes=0 if is_delete_marker else int(entry["Size"]),
        modified=entry["LastModified"].astimezone(UTC),
        etag=None if is_delete_marker else unquoted(entry.get("ETag")),
        version=entry["VersionId"],
    )
    return ObjectVersion(info, is_delete_marker=is_delete_marker, is_latest=bool(entry.get("IsLatest")))
