"""The connection: one boto3 client for one endpoint and one set of credentials, and a bucket seen through it."""

import base64
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from lc2_backup_dagster.clouds.aws.errors import translated
from lc2_backup_dagster.model.errors import BackupError, BucketNotFound, ObjectNotFound, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Checksums = Literal["when_required", "when_supported"]


@dataclass(frozen=True, slots=True)
class S3Access:
    """How to reach a store.

    Attributes:
        endpoint: address of the service without path, or None for Amazon's own.
        region: name of the region.
        path_style: the bucket goes into the path and not into the host name.
        ca_file: certificates that the server's must descend from, instead of the usual ones.
        access_key: with ``secret_key``; None for boto3's default chain (environment, profile, pod or machine identity).
        secret_key: never in messages.
        session_token: of temporary credentials; never in messages.
        checksums: ``when_required`` leaves out the checksums that boto3 ≥ 1.36 sends by itself and that many stores
            refuse (L-8).
        attempts: tries of each request, with growing pauses between them.
        connect_seconds: longest wait for a connection.
        read_seconds: longest silence of the server.
        connections: most connections kept open.
    """

    endpoint: str | None = None
    region: str = "us-east-1"
    path_style: bool = True
    ca_file: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    checksums: Checksums = "when_required"
    attempts: int = 5
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    connections: int = 32

    @property
    def place(self) -> str:
        """The endpoint for messages."""
        return self.endpoint or f"Amazon S3 in {self.region}"

    @property
    def identity(self) -> tuple[str | None, str | None]:
        """Equal for two accesses between which the store copies by itself."""
        return (self.endpoint, self.access_key)


class S3Connection:
    """Makes the client when it is first needed; safe to use from several threads, and to use again after closing."""

    def __init__(self, access: S3Access) -> None:
        self.access = access
        self._lock = threading.Lock()
        self._client: S3Client | None = None

    @property
    def client(self) -> "S3Client":
        """The boto3 client, made now if there is none."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connect(self) -> "S3Client":
        from botocore.config import Config

        access = self.access
        with translated("connect", access.place):
            client: S3Client = _session().client(
                "s3",
                endpoint_url=access.endpoint,
                region_name=access.region,
                aws_access_key_id=access.access_key,
                aws_secret_access_key=access.secret_key,
                aws_session_token=access.session_token,
                verify=access.ca_file,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path" if access.path_style else "auto"},
                    retries={"mode": "standard", "total_max_attempts": access.attempts},
                    connect_timeout=access.connect_seconds,
                    read_timeout=access.read_seconds,
                    max_pool_connections=access.connections,
                    request_checksum_calculation=access.checksums,
                    response_checksum_validation=access.checksums,
                    tcp_keepalive=True,
                    user_agent_extra="lc2-backup",
                ),
            )
        if access.endpoint is not None:
            client.meta.events.register("before-parameter-build.s3", _stay_here)
        if access.checksums == "when_required":
            client.meta.events.register("before-call.s3.DeleteObjects", _digest_the_old_way)
        return client


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """One bucket through a connection; every request of the adapter goes through ``call``."""

    connection: S3Connection
    name: str

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
        client = self.connection.client
        with translated(operation, self.place, key or "", absent=absent):
            return getattr(client, operation)(Bucket=self.name, **given)

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


@cache
def _models() -> Any:
    """Boto3's description of the services, read once: that takes most of the time of making a client."""
    from botocore.session import Session

    return Session().get_component("data_loader")


def _session() -> Any:
    """Return a new session, because sessions are not safe to share between threads."""
    import boto3.session
    from botocore.session import Session

    session = Session()
    session.register_component("data_loader", _models())
    return boto3.session.Session(botocore_session=session)


def _stay_here(context: dict[str, Any], **_: object) -> None:
    """Keep boto3 from looking for the bucket's region elsewhere: a given endpoint is the only one that is meant.

    Told ``301`` without a place to go, it would also ask for the region again and again, each time one call deeper.
    """
    context.get("s3_redirect", {})["redirected"] = True


def _digest_the_old_way(params: dict[str, Any], **_: object) -> None:
    """Give a batch delete the MD5 that S3 has always wanted, instead of the CRC that older stores do not know (L-8)."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
    params["context"].get("checksum", {}).pop("request_algorithm", None)
