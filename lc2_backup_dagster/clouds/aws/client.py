"""The connection: one boto3 client, and a shorter wire to each bucket, for one endpoint and one set of credentials."""

import base64
import hashlib
import socket
import threading
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, cast

from lc2_backup_dagster.clouds.aws.errors import translated
from lc2_backup_dagster.clouds.aws.wire import Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from urllib3 import PoolManager

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
        self._session: Any = None
        self._client: S3Client | None = None
        self._pools: PoolManager | None = None
        self._wires: dict[str, Wire | None] = {}
        self._overheard = threading.local()

    @property
    def client(self) -> "S3Client":
        """The boto3 client, made now if there is none. It tries once; ``S3Bucket.call`` tries again."""
        with self._lock:
            return self._connected()

    def wire(self, bucket: str) -> Wire | None:
        """Return the short way to a bucket, or None where only boto3 knows the way."""
        wires = self._wires  # another thread may close the connection meanwhile
        if bucket not in wires:
            with self._lock:
                wires = self._wires
                if bucket not in wires:
                    wires[bucket] = self._wire(bucket)
        return wires[bucket]

    def leave_wire(self, bucket: str) -> None:
        """Leave a bucket to boto3 from now on."""
        self._wires[bucket] = None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._wires = {}
            if self._pools is not None:
                self._pools.clear()
                self._pools = None
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected(self) -> "S3Client":
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> "S3Client":
        from botocore.config import Config

        access = self.access
        with translated("connect", access.place):
            self._session = _session(access)
            client: S3Client = self._session.create_client(
                "s3",
                endpoint_url=access.endpoint,
                region_name=access.region,
                verify=access.ca_file,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path" if access.path_style else "auto"},
                    retries={"mode": "standard", "total_max_attempts": 1},
                    connect_timeout=access.connect_seconds,
                    read_timeout=access.read_seconds,
                    max_pool_connections=access.connections,
                    request_checksum_calculation=access.checksums,
                    response_checksum_validation=access.checksums,
                    tcp_keepalive=True,
                    user_agent_extra="lc2-backup",
                ),
            )
        client.meta.events.register_first("before-send.s3.HeadObject", self._overhear)
        if access.endpoint is not None:
            client.meta.events.register("before-parameter-build.s3", _stay_here)
        if access.checksums == "when_required":
            for operation in ("DeleteObjects", "PutObjectRetention", "PutObjectLegalHold"):
                client.meta.events.register(f"before-call.s3.{operation}", _digest_the_old_way)
        return client

    def _wire(self, bucket: str) -> Wire | None:
        from botocore.utils import get_environ_proxies
        from urllib3 import PoolManager

        if bucket.endswith("--x-s3"):
            return None  # directory buckets want sessions of their own
        place = self._place(bucket)
        if get_environ_proxies(place):
            return None
        if self._pools is None:
            self._pools = PoolManager(**self._settings())
        return Wire(
            place,
            region=self.access.region,
            credentials=self._session.get_credentials(),
            pool=self._pools.connection_from_url(place),
        )

    def _place(self, bucket: str) -> str:
        """Return where boto3 would send a request: only it knows all rules of hosts, paths, regions and settings."""
        client = self._connected()
        self._overheard.url = ""
        try:
            client.head_object(Bucket=bucket, Key="key")
            return str(self._overheard.url).removesuffix("/key")
        finally:
            del self._overheard.url

    def _overhear(self, request: Any, **_: object) -> Any:
        """Keep the address of the request that ``_place`` makes, and answer it instead of sending it."""
        from botocore.awsrequest import AWSResponse, HeadersDict
        from urllib3 import HTTPResponse

        if not hasattr(self._overheard, "url"):
            return None
        self._overheard.url = request.url
        return AWSResponse(request.url, 200, cast(Any, HeadersDict()), HTTPResponse(BytesIO(), preload_content=False))

    def _settings(self) -> dict[str, Any]:
        from botocore.httpsession import where
        from urllib3 import Timeout
        from urllib3.connection import HTTPConnection

        access, plain = self.access, cast(Any, HTTPConnection).default_socket_options
        return {
            "maxsize": access.connections,
            "timeout": Timeout(connect=access.connect_seconds, read=access.read_seconds),
            "cert_reqs": "CERT_REQUIRED",
            "ca_certs": access.ca_file or self._session.get_config_variable("ca_bundle") or where(),
            "socket_options": [*plain, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        }


@cache
def _models() -> Any:
    """Boto3's description of the services, read once: that takes most of the time of making a client."""
    from botocore.session import Session

    return Session().get_component("data_loader")


def _session(access: S3Access) -> Any:
    """Return a new session, because sessions are not safe to share between threads, with the access's credentials."""
    from botocore.session import Session

    session: Any = Session()
    session.register_component("data_loader", _models())
    if access.access_key is not None:
        session.set_credentials(access.access_key, access.secret_key, access.session_token)
    return session


def _stay_here(context: dict[str, Any], **_: object) -> None:
    """Keep boto3 from looking for the bucket's region elsewhere: a given endpoint is the only one that is meant.

    Told ``301`` without a place to go, it would also ask for the region again and again, each time one call deeper.
    """
    context.get("s3_redirect", {})["redirected"] = True


def _digest_the_old_way(params: dict[str, Any], **_: object) -> None:
    """Give a request the MD5 that S3 has always wanted, instead of the CRC that older stores do not know (L-8)."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
    params["context"].get("checksum", {}).pop("request_algorithm", None)
