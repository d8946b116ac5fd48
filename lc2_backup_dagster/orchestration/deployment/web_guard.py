"""A small ASGI layer before Dagster's web application, which has no authentication of its own. No Dagster here.

What it refuses, each with a sentence that says why:

- a `Host` it does not serve (DNS rebinding reaches servers on the loopback address from any web page);
- requests and web sockets whose `Origin` is another site (a web page elsewhere could launch a restore);
- GraphQL by GET unless every operation in it is a query (an image tag could launch a restore);
- anything but GET and HEAD outside ``/graphql``, in particular ``POST /report_asset_…``, and the mutation
  `reportRunlessAssetEvents`: both file a green window for a backup that was never taken;
- GraphQL bodies it cannot read: unknown is refused.

`X-Forwarded-User` is removed unless the connection comes from a trusted proxy, since it names the initiator of runs.
Who may do what is decided by the authenticating proxy before this server, not here.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

FORWARDED_USER = b"x-forwarded-user"
REFUSED_MUTATIONS = ("reportRunlessAssetEvents",)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
LARGEST_BODY_BYTES = 16 << 20
# Probes of an orchestrator address the pod by its IP; the page tells versions only.
_PROBE_PATH = "/server_info"


class Refusal(Exception):
    """Why a request is not passed on: an HTTP status and a sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class GuardRules:
    """What one deployment allows.

    Attributes:
        hosts: host names, without port, under which browsers may address the server.
        origins: further allowed origins (``https://backup.example.com``): those of a proxy that rewrites `Host`.
        trusted_proxies: networks whose `X-Forwarded-User` is believed; empty means nobody's.
        path_prefix: the prefix under which the application is mounted, or empty.
    """

    hosts: frozenset[str] = frozenset(LOOPBACK_NAMES)
    origins: frozenset[str] = frozenset()
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    path_prefix: str = ""


class WebGuard:
    """The ASGI application that guards another one."""

    def __init__(self, application: Application, rules: GuardRules) -> None:
        self._application = application
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on, or answer it with a refusal."""
        if scope["type"] not in ("http", "websocket"):  # the server's own start and stop
            await self._application(scope, receive, send)
            return
        try:
            scope = {**scope, "headers": headers_to_pass(scope, self._rules)}
            refuse_foreign_pages(scope, self._rules)
            if scope["type"] == "http":
                receive = await _inspect_http(scope, receive, self._rules)
        except Refusal as refusal:
            await _answer(scope, send, refusal)
            return
        await self._application(scope, receive, send)


def headers_to_pass(scope: Scope, rules: GuardRules) -> list[tuple[bytes, bytes]]:
    """Return the headers, without `X-Forwarded-User` unless a trusted proxy sent exactly one."""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    users = [value for name, value in headers if name.lower() == FORWARDED_USER]
    if len(users) == 1 and _is_trusted(scope.get("client"), rules.trusted_proxies):
        return headers
    return [(name, value) for name, value in headers if name.lower() != FORWARDED_USER]


def refuse_foreign_pages(scope: Scope, rules: GuardRules) -> None:
    """Refuse hosts this server does not serve and origins that are not its own."""
    host = _header(scope, b"host")
    if _host_name(host) not in rules.hosts and not _is_probe(scope, rules):
        raise Refusal(403, f"host {host!r} is not served here; hint: allow it with --allowed-host")
    origin = _header(scope, b"origin")
    if origin and origin not in rules.origins and urlsplit(origin).netloc != host:
        raise Refusal(403, f"requests from pages of {origin!r} are refused; hint: allow it with --allowed-origin")


def refuse_graphql(query: object, *, by_get: bool) -> None:
    """Refuse GraphQL documents that must not be carried out. What cannot be read is refused.

    By POST the document is only parsed where it names a refused mutation: names in GraphQL cannot be escaped, and
    parsing each of the UI's large queries twice would double the time they take.
    """
    if not isinstance(query, str):
        raise Refusal(400, "no GraphQL query found in the request")
    if by_get:
        if any(operation != "query" for operation in _operations(query)):
            raise Refusal(405, "a GraphQL mutation by GET is refused; hint: send it by POST")
        return
    named = [name for name in REFUSED_MUTATIONS if name in query]
    if named and any(operation != "query" for operation in _operations(query)):
        raise Refusal(403, f"{named[0]} is refused: only a backup that was taken may be shown as one")


def _operations(query: str) -> list[str]:
    from graphql import GraphQLError, OperationDefinitionNode, parse

    try:
        document = parse(query, no_location=True)
    except (GraphQLError, RecursionError) as error:
        raise Refusal(400, f"the GraphQL document cannot be read: {error}") from error
    return [node.operation.value for node in document.definitions if isinstance(node, OperationDefinitionNode)]


async def _inspect_http(scope: Scope, receive: Receive, rules: GuardRules) -> Receive:
    method: str = scope["method"]
    is_graphql = _route(scope, rules).strip("/") == "graphql"
    if method in ("GET", "HEAD"):
        if is_graphql:
            for name, value in parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True):
                if name == "query":
                    refuse_graphql(value, by_get=True)
        return receive
    if not is_graphql:
        raise Refusal(
            403, f"{method} is answered at /graphql only; asset events are reported by runs, not from outside"
        )
    if method != "POST":
        raise Refusal(405, f"{method} is not answered at /graphql")
    content_type = _header(scope, b"content-type").partition(";")[0].strip().lower()
    # Browsers send other types across origins without asking first, and Dagster then reads the query from the address.
    if content_type != "application/json":
        raise Refusal(415, "GraphQL is accepted as application/json only")
    body = await _read_body(receive)
    refuse_graphql(_query_of(body), by_get=False)
    return _replay(body, receive)


def _query_of(body: bytes) -> object:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "the request body is not JSON") from error
    return content.get("query") if isinstance(content, dict) else None


async def _read_body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the client went away before its request was complete")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY_BYTES:
            raise Refusal(413, f"requests over {LARGEST_BODY_BYTES} bytes are refused")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read to the application, then what the server says (that the client went away)."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


async def _answer(scope: Scope, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.reason[:120]})
        return
    body = f"{refusal.reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _route(scope: Scope, rules: GuardRules) -> str:
    return str(scope["path"]).removeprefix(rules.path_prefix)


def _is_probe(scope: Scope, rules: GuardRules) -> bool:
    return scope["type"] == "http" and scope["method"] == "GET" and _route(scope, rules) == _PROBE_PATH


def _header(scope: Scope, wanted: bytes) -> str:
    """Return a header's value, empty when absent; several of one name are refused rather than chosen from."""
    values: list[bytes] = [value for name, value in scope["headers"] if name.lower() == wanted]
    if len(values) > 1:
        raise Refusal(400, f"the header {wanted.decode()!r} was sent {len(values)} times")
    return values[0].decode("latin-1") if values else ""


def _host_name(host: str) -> str:
    """Return a `Host` header without its port, lower case: ``[::1]:3000`` gives ``[::1]``."""
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    return (host if end < 1 else host[:end]).lower()


def _is_trusted(
    client: Sequence[Any] | None, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    if not client:
        return False
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    return any(address in network for network in networks)
