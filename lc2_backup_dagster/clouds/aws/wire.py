"""Signed requests over kept connections: what the frequent operations use instead of boto3's machinery.

Boto3 spends three quarters of its time per request on validation, endpoint rules and events. Credentials and their
renewal and the place of a bucket still come from it; the connections are those of urllib3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from lc2_backup_dagster.clouds.aws.signing import Signer
from lc2_backup_dagster.model.errors import ConfigurationError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import HTTPConnectionPool

    class Credentials(Protocol):
        """Botocore's credentials, renewed by themselves where they are temporary."""

        def get_frozen_credentials(self) -> Any:
            """Return what they are now."""
            ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose body has not been read.

    Attributes:
        status: HTTP status.
        headers: names in lower case.
        raw: the body, and the connection it comes over.
    """

    status: int
    headers: Mapping[str, str]
    raw: "BaseHTTPResponse"

    def body(self) -> bytes:
        """Read the body whole and give the connection back.

        Raises:
            urllib3.exceptions.HTTPError: it broke off.
        """
        content = self.raw.read()
        self.raw.release_conn()
        return content


class Wire:
    """The way to one bucket.

    Args:
        place: address of the bucket, with its path where it is not part of the host name.
        region: named in the signature.
        credentials: sign the requests; None ends every request with botocore's ``NoCredentialsError``.
        pool: connections to that host.
    """

    def __init__(
        self, place: str, *, region: str, credentials: "Credentials | None", pool: "HTTPConnectionPool"
    ) -> None:
        parts = urlsplit(place)
        self._host = parts.netloc
        self._path = parts.path.rstrip("/")
        self._signer = Signer(region)
        self._credentials = credentials
        self._pool = pool

    def send(
        self,
        method: str,
        key: str | None = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Send one request, once, and return when the headers of the answer are there.

        Raises:
            botocore.exceptions.BotoCoreError: there are no credentials, or they could not be renewed.
            urllib3.exceptions.HTTPError: no connection, or no answer in time.
            ConfigurationError: a header cannot be sent.
        """
        target = self._path or "/" if key is None else f"{self._path}/{quote(key, safe='/~')}"
        if query:
            target += "?" + "&".join(f"{name}={quote(value, safe='~')}" for name, value in query)
        try:
            raw = self._pool.urlopen(
                method,
                target,
                body=body,
                headers=self._signed(method, target, headers or {}, body),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except ValueError as error:
            raise ConfigurationError(f"{method} '{key}': metadata or another header cannot be sent: {error}") from error
        return Reply(raw.status, {name.lower(): value for name, value in raw.headers.items()}, raw)

    def _signed(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:
        from botocore.exceptions import NoCredentialsError

        if self._credentials is None:
            raise NoCredentialsError
        frozen = self._credentials.get_frozen_credentials()
        signed = self._signer.sign(
            method, target, headers, body, host=self._host, credentials=frozen, now=datetime.now(UTC)
        )
        signed["user-agent"] = "lc2-backup"
        return signed


def as_quoted_source(bucket: str, key: str, version: str | None) -> str:
    """Return how the header of a copy names its source."""
    named = quote(f"{bucket}/{key}", safe="/~")
    return named if version is None else f"{named}?versionId={quote(version, safe='~')}"
