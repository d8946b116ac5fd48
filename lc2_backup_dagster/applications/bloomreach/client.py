"""Asks the management APIs: the token, repetition of what may be repeated, and what each code means.

GET may be repeated. POST and PUT are only repeated where they certainly were not carried out (no connection, 429, 401
with a token that was renewed): a second export operation, or a second write, is never made by accident.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import BinaryIO, Self, TypeVar, cast
from urllib.parse import quote

from lc2_backup_dagster.applications.bloomreach.token import TokenSource
from lc2_backup_dagster.applications.http.patience import Patience, Timing, repeated, retry_after_seconds
from lc2_backup_dagster.applications.http.transport import HttpLimits, HttpReply, HttpRequest, Transport
from lc2_backup_dagster.engines.exports.canonical_json import canonical_json, parse_json
from lc2_backup_dagster.engines.exports.redaction import HIDDEN, redacted
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    AnswerInvalid,
    ConfigurationError,
    ObjectNotFound,
    RequestRefused,
    ResourceConflict,
    ServiceUnavailable,
)

VERSION_HEADER = "X-Resource-Version"
_TOKEN_HEADER = "x-auth-token"  # noqa: S105 - a header's name
_REASON_CHARACTERS = 200
_SAFE_IN_A_NAME = ":@!$&'()*+,;=-._~"
_CONFLICTS = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """A JSON answer.

    Attributes:
        value: what it says; numbers are ``JsonNumber``.
        version: the resource's version, where the API tells one.
    """

    value: object
    version: str | None


def api_path(api: str, *names: str) -> str:
    """Return the path of a resource: names of the application, escaped, below the path of an API.

    Raises:
        AnswerInvalid: a name that a path cannot hold.
    """
    if any(name in ("", ".", "..") for name in names):
        raise AnswerInvalid(f"a resource below {api} has no usable name")
    return "/".join([api, *(quote(name, safe=_SAFE_IN_A_NAME) for name in names)])


class ApiClient:
    """A client of one environment; a context manager that closes its connections. For one thread.

    Args:
        base_url: the environment's address, like ``https://cms.example``.
        token: reads the API token.
        patience: how often things are asked again.
        limits: how long and how large one exchange may be.
        timing: the clock.
    """

    def __init__(
        self,
        base_url: str,
        token: TokenSource,
        *,
        patience: Patience | None = None,
        limits: HttpLimits | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._transport = Transport(base_url, limits=limits, monotonic=self._timing.monotonic)
        self._read_token = token
        self._token: str | None = None
        self.patience = patience or Patience()
        self._next_at = self._timing.monotonic()

    def __repr__(self) -> str:
        return f"ApiClient({self.base_url})"

    @property
    def base_url(self) -> str:
        """The environment's address."""
        return self._transport.base_url

    @property
    def timing(self) -> Timing:
        """The clock, for those who wait between requests."""
        return self._timing

    def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonAnswer:
        """Fetch a resource.

        Raises:
            ObjectNotFound: there is none.
            AnswerInvalid: the answer is no JSON, again and again.
            AccessDenied: the token is not accepted.
            ServiceUnavailable: no answer for longer than patience lasts.
            RequestRefused: the API refuses the question.
        """
        return self._call(HttpRequest("GET", path, query or {}), self._json, repeatable=True)

    def post(self, path: str, value: object) -> JsonAnswer:
        """Send a command; it is carried out once at most.

        Raises:
            ServiceUnavailable: no answer; the attribute ``sent`` tells whether it may have been carried out.
            BackupError: as ``get``.
        """
        return self._call(self._writing("POST", path, value), self._json, repeatable=False)

    def put(self, path: str, value: object, *, version: str | None) -> JsonAnswer:
        """Write a resource over the version that was read, or a new one where none was.

        Raises:
            ResourceConflict: it has another version by now; nothing was written.
            ServiceUnavailable: no answer; the attribute ``sent`` tells whether it may have been written.
            BackupError: as ``get``.
        """
        headers = {} if version is None else {VERSION_HEADER: version}
        return self._call(self._writing("PUT", path, value, headers), self._json, repeatable=False)

    def download(self, path: str, sink: BinaryIO, *, limit_bytes: int) -> None:
        """Fetch a file; whatever the sink held is gone.

        Raises:
            AnswerInvalid: the file is longer than the limit.
            BackupError: as ``get``.
        """
        request = HttpRequest("GET", path, headers={"Accept": "application/octet-stream, */*;q=0.1"})
        self._call(request, lambda _request, _reply: None, repeatable=True, sink=sink, sink_bytes=limit_bytes)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _writing(self, method: str, path: str, value: object, headers: Mapping[str, str] | None = None) -> HttpRequest:
        return HttpRequest(
            method,
            path,
            headers={"Content-Type": "application/json", **(headers or {})},
            body=canonical_json(value),
        )

    def _call(
        self, request: HttpRequest, understand: Callable[[HttpRequest, HttpReply], _T], *, repeatable: bool,
        sink: BinaryIO | None = None, sink_bytes: int = 0,
    ) -> _T:  # fmt: skip
        def once() -> _T:
            reply = self._authorized(request, sink, sink_bytes)
            self._require_success(request, reply)
            return understand(request, reply)

        return repeated(once, patience=self.patience, timing=self._timing, repeatable=repeatable)

    def _authorized(self, request: HttpRequest, sink: BinaryIO | None, sink_bytes: int) -> HttpReply:
        """Send a request with the token; with the renewed one where the API says that it has expired."""
        token = self._token or self._read_token()
        reply = self._exchange(request, token, sink, sink_bytes)
        if reply.status == HTTPStatus.UNAUTHORIZED:
            renewed = self._read_token()
            if renewed != token:
                token = renewed
                reply = self._exchange(request, token, sink, sink_bytes)
        self._token = token
        if reply.status == HTTPStatus.UNAUTHORIZED:
            self._token = None
            raise AccessDenied(
                f"{request} at {self.base_url}: the API token is not accepted (401)",
                hint="it is wrong or has expired; renew it where its reference points to",
            )
        return reply

    def _exchange(self, request: HttpRequest, token: str, sink: BinaryIO | None, sink_bytes: int) -> HttpReply:
        now = self._timing.monotonic()
        if now < self._next_at:
            self._timing.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1.0 / self.patience.requests_per_second
        with_token = HttpRequest(
            request.method, request.path, request.query, {**request.headers, _TOKEN_HEADER: token}, request.body
        )
        return self._transport.exchange(with_token, sink=sink, sink_bytes=sink_bytes)

    def _require_success(self, request: HttpRequest, reply: HttpReply) -> None:
        status = reply.status
        if 200 <= status < 300:
            return
        where = f"{request} at {self.base_url}"
        reason = self._reason(reply)
        if status in _PASSING or status >= 500:
            asked_for = retry_after_seconds(reply.headers.get("retry-after"), now=self._timing.now())
            # Too many requests: this one was not looked at. After a 5xx nobody knows.
            sent = status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.TOO_EARLY)
            raise ServiceUnavailable(f"{where} answered {status}{reason}", sent=sent, retry_after=asked_for)
        if status == HTTPStatus.FORBIDDEN:
            raise AccessDenied(f"{where} is not allowed{reason}", hint="give the API token the right for it")
        if status == HTTPStatus.NOT_FOUND:
            raise ObjectNotFound(f"{where} does not exist{reason}")
        if status in _CONFLICTS:
            raise ResourceConflict(f"{where} was changed by somebody else{reason}")
        if 300 <= status < 400:
            raise ConfigurationError(
                f"{where} redirects", hint="name the final address; the API token is not sent elsewhere"
            )
        raise RequestRefused(f"{where} was refused with {status}{reason}", status=status)

    def _reason(self, reply: HttpReply) -> str:
        """Return what the API says of an error, shortened, without anything secret; nothing where it is no JSON."""
        try:
            value = parse_json(reply.body)
        except ValueError:
            return ""
        if not isinstance(value, dict):
            return ""
        members = cast(dict[str, object], value)
        told = next((members[name] for name in ("message", "detail", "error") if name in members), None)
        if not isinstance(told, str) or not told:
            return ""
        text = " ".join(told.split())
        if self._token:
            text = text.replace(self._token, HIDDEN)
        return f": {redacted(text)[:_REASON_CHARACTERS]}"

    def _json(self, request: HttpRequest, reply: HttpReply) -> JsonAnswer:
        try:
            value = parse_json(reply.body)
        except ValueError as error:
            raise AnswerInvalid(f"{request} at {self.base_url} answered {reply.status} without JSON: {error}") from None
        return JsonAnswer(value, reply.headers.get(VERSION_HEADER.lower()))
