"""One bucket seen through a connection; every request of the adapter goes through here.

Frequent requests take the wire where there is one, all others are boto3's. Both are tried again alike.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.clouds.aws.client import S3Connection
from lc2_backup_dagster.clouds.aws.errors import translated
from lc2_backup_dagster.clouds.aws.frequent import FREQUENT
from lc2_backup_dagster.clouds.aws.retries import Retries
from lc2_backup_dagster.model.errors import BackupError, BucketNotFound, ObjectNotFound, StoreUnavailable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """A bucket, and how patient one is with it."""

    connection: S3Connection
    name: str
    retries: Retries

    @property
    def place(self) -> str:
        """Bucket and endpoint for messages."""
        return f"bucket '{self.name}' at {self.connection.access.place}"

    def call(
        self,
        operation: str,
        /,
        *,
        key: str | None = None,
        absent: type[BackupError] = StoreUnavailable,
        **parameters: Any,
    ) -> Mapping[str, Any]:
        """Send one request and return its answer.

        Args:
            operation: boto3's method, like ``put_object``.
            key: the object, if it is about one.
            absent: what a 404 without a code means.
            **parameters: boto3's own; those that are None are left out.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        if key is not None:
            given["Key"] = key

        def send() -> Mapping[str, Any]:
            with translated(operation, self.place, key or "", absent=absent):
                return self._send(operation, given)

        return self.retries.run(send)

    def _send(self, operation: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        from botocore.exceptions import ClientError

        frequent = FREQUENT.get(operation)
        wire = None if frequent is None else self.connection.wire(self.name)
        if frequent is not None and wire is not None:
            access = self.connection.access
            try:
                return frequent(wire, given, checksums=access.checksums == "when_supported")
            except ClientError as error:
                if access.endpoint is not None or not _is_elsewhere(error):
                    raise
                logger.warning("%s is not in region '%s'; every request is slower for it", self.place, access.region)
                self.connection.leave_wire(self.name)
        return getattr(self.connection.client, operation)(Bucket=self.name, **given)

    def head(self, key: str, *, etag: str | None = None, version: str | None = None) -> Mapping[str, Any]:
        """Ask for an object's properties.

        Raises:
            ObjectNotFound: certainly absent.
            BucketNotFound: the bucket is; an answer to HEAD has no body that says which of both.
            SourceChanged: it does not have that etag, quoted as the header wants it.
        """
        try:
            return self.call(
                "head_object", key=key, absent=ObjectNotFound, IfMatch=etag, ChecksumMode="ENABLED", VersionId=version
            )
        except ObjectNotFound:
            self.call("head_bucket", absent=BucketNotFound)
            raise


def _is_elsewhere(error: "ClientError") -> bool:
    """Say whether Amazon sent us to another region; boto3 goes there by itself."""
    answered: dict[str, Any] = dict(error.response.get("ResponseMetadata", {}))
    code = error.response.get("Error", {}).get("Code", "")
    status = answered.get("HTTPStatusCode")
    return (
        status in (301, 302, 307)
        or code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
        # The answer to a HEAD has no body that says so.
        or (status == 400 and "x-amz-bucket-region" in answered.get("HTTPHeaders", {}))
    )
