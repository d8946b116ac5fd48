"""Tags of objects: read only where the store says that there are some, and no hindrance where that is not allowed."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from lc2_backup_dagster.clouds.aws.bucket import S3Bucket
from lc2_backup_dagster.model.errors import AccessDenied

logger = logging.getLogger(__name__)


class Tags:
    """The tags of one bucket's objects; says once when they cannot be read or kept.

    Args:
        bucket: where the objects are.
    """

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket
        self._told = False

    def of(self, key: str, answer: Mapping[str, Any], *, version: str | None = None) -> dict[str, str]:
        """Return the tags of an object; costs a request only where it has some.

        Args:
            key: the object.
            answer: to ``get_object`` or ``head_object``, which tell how many tags there are.
            version: the version that was asked for, if one was: reading its tags is a right of its own.

        Raises:
            ObjectNotFound: it is gone since.
            StoreUnavailable: the store did not say.
        """
        if not answer.get("TagCount"):
            return {}
        try:
            told = self._bucket.call("get_object_tagging", key=key, VersionId=version)
        except AccessDenied as error:
            self.are_lost(error)
            return {}
        return {tag["Key"]: tag["Value"] for tag in told["TagSet"]}

    def are_lost(self, error: AccessDenied) -> None:
        """Log, the first time, that tags are left out."""
        if not self._told:
            self._told = True
            logger.warning(
                "tags of objects in %s are left out, their content and metadata are not: %s;"
                " allow 's3:GetObjectTagging', 's3:GetObjectVersionTagging' and 's3:PutObjectTagging'",
                self._bucket.place,
                error.message,
            )


def as_header(tags: Mapping[str, str] | None) -> str | None:
    """Return tags as the requests that write objects carry them, None when there are none."""
    return urlencode(tags, quote_via=quote) if tags else None
