"""One HTTP exchange with an API: bounded in time and size, without redirects; what goes wrong is said in our words.

Nothing is tried again here (``client`` does that). A failure says whether the request reached the server: only what
certainly did not may be repeated when it is not repeatable by nature.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from lc2_backup_dagster.model.errors import AnswerInvalid, BackupError, ConfigurationError, ServiceUnavailable

if TYPE_CHECKING:
    import requests

_CHUNK_BYTES = 1 << 16
_USER_AGENT = "lc2-backup"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """How long, and how much, one exchange may take.

    Attributes:
        connect_seconds: until the connection stands.
        read_seconds: until the next bytes come.
        exchange_seconds: from the request to the last byte, except for downloads.
        download_seconds: the same for a download.
        answer_bytes: longest answer, after decompression, except for downloads.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    exchange_seconds: float = 300.0
    download_seconds: float = 3600.0
    answer_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is asked.

    Attributes:
        method: in capitals.
        path: below the base URL, escaped; empty for the base URL itself.
        query: parameters.
        headers: beside those that every request has.
        body: JSON text, or None.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What was answered.

    Attributes:
        status: the code.
        headers: names in lower case.
        body: the content; empty where it went into a file.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def check_base_url(url: str) -> str:
    """Return a usable base URL without a slash at its end.

    Raises:
        ConfigurationError: not http(s), with a user, query or fragment in it, or in clear text beyond this machine.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError("the API's address is no URL", hint="like https://cms.example") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        # Not repeated in the message: it may hold a password.
        raise ConfigurationError("the API's address holds more than host and path", hint="like https://cms.example")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"'{url}' is no address of an API", hint="like https://cms.example")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(f"{url} would carry the API token in clear text", hint="use https")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Transport:
    """Exchanges with one API, over one pool of connections. Not to be used from several threads.

    Args:
        base_url: scheme, host and perhaps a path.
        limits: how long and how much.
        monotonic: tells the time that passes.
    """

    def __init__(
        self, base_url: str, *, limits: HttpLimits | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        import requests

        self.base_url = check_base_url(base_url)
        self.limits = limits or HttpLimits()
        self._monotonic = monotonic
        self._session = requests.Session()
        # Else credentials of ~/.netrc would be sent to this host. Proxies and certificates of the environment are used.
        self._session.auth = _no_authorization

    def __repr__(self) -> str:
        return f"Transport({self.base_url})"

    def exchange(self, request: HttpRequest, *, sink: BinaryIO | None = None, sink_bytes: int = 0) -> HttpReply:
        """Send a request and read the answer to its end.

        Args:
            request: what is asked.
            sink: takes the body of a 200 instead of memory; it is emptied first.
            sink_bytes: most that it takes.

        Raises:
            ServiceUnavailable: no answer, or none to its end; the attribute ``sent`` is False where the request
                certainly was not carried out.
            AnswerInvalid: the answer is longer than it may be, or cannot be decoded.
            ConfigurationError: the address or the server's certificate is wrong.
        """
        import requests

        deadline = self._monotonic() + (self.limits.exchange_seconds if sink is None else self.limits.download_seconds)
        try:
            with self._session.request(
                request.method,
                self.base_url + request.path,
                params=dict(request.query),
                headers={"User-Agent": _USER_AGENT, "Accept": "application/json", **request.headers},
                data=request.body,
                timeout=(self.limits.connect_seconds, self.limits.read_seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                if sink is not None and response.status_code == 200:
                    self._fill(sink, response, request, sink_bytes, deadline)
                    return HttpReply(response.status_code, headers, b"")
                return HttpReply(response.status_code, headers, self._body(response, request, deadline))
        except requests.exceptions.RequestException as error:
            raise self._translated(error, request) from None  # its text and its request hold what must not be shown

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _body(self, response: "requests.Response", request: HttpRequest, deadline: float) -> bytes:
        pieces: list[bytes] = []
        length = 0
        for chunk in self._chunks(response, request):
            length += len(chunk)
            self._check(length, self.limits.answer_bytes, request, deadline)
            pieces.append(chunk)
        return b"".join(pieces)

    def _fill(
        self, sink: BinaryIO, response: "requests.Response", request: HttpRequest, limit_bytes: int, deadline: float
    ) -> None:
        sink.seek(0)
        sink.truncate()
        length = 0
        for chunk in self._chunks(response, request):
            length += len(chunk)
            self._check(length, limit_bytes, request, deadline)
            sink.write(chunk)

    def _chunks(self, response: "requests.Response", request: HttpRequest) -> Iterator[bytes]:
        """Yield the body as it comes.

        ``Response.iter_content`` would wait until a chunk is full: a server that sends a byte a minute would never be
        late. What ``read1`` raises is urllib3's.
        """
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        try:
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                yield chunk
        except ReadTimeoutError:
            raise ServiceUnavailable(f"{request} at {self.base_url} was not answered to its end", sent=True) from None
        except HTTPError as error:
            kind = type(error).__name__
            raise ServiceUnavailable(
                f"{request} at {self.base_url}: the answer broke off ({kind})", sent=True
            ) from None

    def _check(self, length: int, limit_bytes: int, request: HttpRequest, deadline: float) -> None:
        if length > limit_bytes:
            raise AnswerInvalid(f"{request} at {self.base_url} answers more than {limit_bytes} bytes", repeat=False)
        if self._monotonic() > deadline:
            raise ServiceUnavailable(f"{request} at {self.base_url} was not answered to its end in time", sent=True)

    def _translated(self, error: "requests.exceptions.RequestException", request: HttpRequest) -> BackupError:
        from requests import exceptions

        where = f"{request} at {self.base_url}"
        if isinstance(error, exceptions.SSLError):
            return ConfigurationError(
                f"{where}: the server's certificate is not trusted", hint="check the address, or REQUESTS_CA_BUNDLE"
            )
        if isinstance(error, exceptions.Timeout):
            sent = not isinstance(error, exceptions.ConnectTimeout)
            return ServiceUnavailable(
                f"{where} {'was not answered' if sent else 'could not connect'} in time", sent=sent
            )
        if isinstance(error, exceptions.ConnectionError):
            sent = not _never_connected(error)
            return ServiceUnavailable(f"{where}: {'the connection broke' if sent else 'no connection'}", sent=sent)
        return ConfigurationError(f"{where} cannot be asked: {type(error).__name__}")


def _never_connected(error: Exception) -> bool:
    """Say whether the connection was never made: then the request was not carried out, whatever it was."""
    from requests.exceptions import ProxyError
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    if isinstance(error, ProxyError):
        return True
    cause = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    return isinstance(cause, NewConnectionError)


def _no_authorization(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
    return request
