"""Versions of objects: whether a bucket keeps them, and all that it keeps."""

from collections.abc import Iterator

from lc2_backup_dagster.clouds.aws.answers import is_utf8
from lc2_backup_dagster.clouds.aws.bucket import S3Bucket
from lc2_backup_dagster.clouds.aws.listing import PAGE, pages
from lc2_backup_dagster.clouds.store import ObjectVersion
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
    for page in pages(bucket, "list_object_versions", {"Prefix": prefix, "MaxKeys": PAGE}):
        for found in page.versions:
            if found.info.key.startswith(prefix):
                yield found
