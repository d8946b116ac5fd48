"""A server that behaves like Bloomreach's management APIs, on the loopback address only: for the demo and the tests.

Content types with versions and conflicts, the site API in pages, content exports as asynchronous operations, a token in
``x-auth-token`` that can expire, faults on demand; and a CDN's endpoint that remembers what it was told to invalidate.
Paths, words and codes are those of the product's documentation; where that says nothing, pages are ``offset``,
``limit``, ``total`` and ``items``, versions are whole numbers, and a conflict is 409.
"""

import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from lc2_backup_dagster.demo.seed.bloomreach_content import BloomreachContent, retail_content
from lc2_backup_dagster.demo.servers.bloomreach_faults import Answer, Fault, answering
from lc2_backup_dagster.demo.servers.bloomreach_state import (
    CORE,
    DEVELOPMENT,
    BloomreachState,
    OperationPlan,
    VersionRefused,
)
from lc2_backup_dagster.demo.servers.ports import LOOPBACK, free_ports

Json = dict[str, Any]
_SOCKET_SECONDS = 30.0
_DATA_TYPES = {"document", "page", "resourcebundle", "folder"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came.

    Attributes:
        method: its method.
        path: its path, without the query.
        query: its parameters, the first value of each.
        headers: with names in lower case.
        body: its body.
        status: what it was answered.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    status: int


class BloomreachServer:
    """One environment behind HTTP; a context manager that starts and stops it.

    Args:
        content: what it holds; a retailer's when None.
        token: the API token that is valid at first.
        port: preferred port; another one is taken when it is not free.
        page_size: most items on a page of the site API.
        development: whether there is a development project.
    """

    def __init__(
        self,
        content: BloomreachContent | None = None,
        *,
        token: str = "demo-token",  # noqa: S107 - of a server that only this machine reaches
        port: int | None = None,
        page_size: int = 3,
        development: bool = True,
    ) -> None:
        self.state = BloomreachState(content or retail_content(), development=development)
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        self.invalidated: list[Json] = []
        self.page_size = page_size
        self.token: str | None = token
        self._requests_until_expiry: int | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        [number] = free_ports(1, preferred=[port] if port else [])
        self._server = ThreadingHTTPServer((LOOPBACK, number), self._handler())
        self._server.daemon_threads = True
        # Clients that give up in the middle are what this server is for.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """The address of the environment, without a slash at its end."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    @property
    def plan(self) -> OperationPlan:
        """How the next export operations go."""
        return self.state.plan

    def fail(self, spoil: Any, path: str = "/", **options: Any) -> Fault:
        """Commit a fault at the next requests that fit; see ``Fault``."""
        fault = Fault(spoil, path, **options)
        self.faults.append(fault)
        return fault

    def expire_token(self, *, after_requests: int = 0) -> None:
        """Let the token expire, now or after so many more requests."""
        self._requests_until_expiry = after_requests

    def renew_token(self, token: str) -> None:
        """Make another token valid."""
        with self._lock:
            self.token, self._requests_until_expiry = token, None

    def count(self, method: str, path: str) -> int:
        """Return how many requests of a method had a text in their path."""
        return sum(each.method == method and path in each.path for each in self.asked)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server; requests that are under way end with it."""
        self._ended.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> Answer:
        """Answer a request; faults not included."""
        parts = tuple(unquote(each) for each in path.strip("/").split("/"))
        if parts == ("cdn", "purge") and method == "POST":
            return self._purge(headers, body)
        if not self._is_let_in(headers.get("x-auth-token")):
            return _error(401, "the token is unknown or has expired")
        match parts:
            case ("management", "contenttypes", "v1", project, *rest):
                return self._content_types(method, project, rest, headers, body)
            case ("management", "site", "v1", *rest) if method == "GET":
                return self._site(tuple(rest), query)
            case ("management", "content-export", "v1", *rest):
                return self._export(method, rest, body)
            case _:
                return _error(404, "there is nothing here")

    def _is_let_in(self, token: str | None) -> bool:
        with self._lock:
            if self._requests_until_expiry is not None:
                if self._requests_until_expiry <= 0:
                    self.token, self._requests_until_expiry = None, None
                else:
                    self._requests_until_expiry -= 1
            return token is not None and token == self.token

    def _content_types(
        self, method: str, project: str, rest: Sequence[str], headers: dict[str, str], body: bytes
    ) -> Answer:
        types = self.state.content_types(project)
        if types is None:
            return _error(404, "there is no development project" if project == DEVELOPMENT else "no such project")
        if not rest and method == "GET":
            return _versioned(list(types.values()), self.state.version(f"contenttypes/{project}"))
        if len(rest) != 1 or method not in ("GET", "PUT"):
            return _error(405, "not allowed")
        name = _type_name(rest[0], types)
        if method == "GET":
            if name not in types:
                return _error(404, f"no content type {name}")
            return _versioned(types[name], self.state.version(f"contenttypes/{project}/{name}"))
        if project == CORE:
            return _error(403, "content types are changed in a development project")
        return self._put_content_type(project, name, types, headers, body)

    def _put_content_type(
        self, project: str, name: str, types: dict[str, Json], headers: dict[str, str], body: bytes
    ) -> Answer:
        value: Json = json.loads(body)
        if value.get("name") != name:
            return _error(400, f"the content type is named {value.get('name')}, not {name}")
        lacking = [each for each in _field_groups(value) if each not in types]
        if lacking:
            return _error(400, f"{name} uses {lacking[0]}, which does not exist")
        given = headers.get("x-resource-version")
        try:
            version = self.state.put_content_type(project, name, value, int(given) if given else None)
        except VersionRefused as error:
            return _error(409, str(error))
        return _versioned(value, version)

    def _site(self, parts: tuple[str, ...], query: dict[str, str]) -> Answer:
        found = self.state.site_list(parts)
        if found is None:
            return _error(404, f"there is no {'/'.join(parts)}")
        offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 100)), self.page_size)
        page = {"offset": offset, "limit": limit, "total": len(found), "items": found[offset : offset + limit]}
        return _versioned(page, self.state.version(f"site/{'/'.join(parts)}"))

    def _export(self, method: str, rest: Sequence[str], body: bytes) -> Answer:
        match method, *rest:
            case ["POST"] | ["POST", ""]:
                return self._begin_export(json.loads(body))
            case ["GET", "operations"]:
                return _json(200, [each.listed() for each in list(self.state.operations.values())])
            case ["GET", "operations", operation_id, *more] if operation_id in self.state.operations:
                operation = self.state.operations[operation_id]
                if not more:
                    return _json(200, operation.poll())
                if more == ["files"] and operation.is_done:
                    return Answer(200, operation.package, {"Content-Type": "application/octet-stream"})
                return _error(404, "the operation has no files yet")
            case _:
                return _error(404, "no such operation")

    def _begin_export(self, request: Json) -> Answer:
        unknown = set(request.get("dataTypes", ())) - _DATA_TYPES
        if unknown or not request.get("dataTypes") or "sourcePath" not in request:
            return _error(400, "dataTypes and sourcePath are wrong")
        operation = self.state.begin_export(request)
        return _json(201, {"operationId": operation.operation_id, "status": "STARTING"})

    def _purge(self, headers: dict[str, str], body: bytes) -> Answer:
        request: Json = json.loads(body)
        self.invalidated.append({**request, "authorization": headers.get("authorization")})
        return _json(202, {"accepted": len(request.get("paths", ()))})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = _SOCKET_SECONDS
            # Head and body are sent apart; else the second waits 40 ms for the client to confirm the first.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                owner.serve(self)

            do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Read one request, answer it, and commit the fault that waits for it."""
        method = handler.command
        address = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        with self._lock:
            fault = next((each for each in self.faults if each.fits(method, address.path)), None)
        if fault is not None and fault.before:
            answer = fault.spoil(Answer())
        else:
            try:
                answer = self.answer(method, address.path, query, headers, body)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                answer = _error(400, f"the request is wrong: {type(error).__name__}")
            if fault is not None:
                answer = fault.spoil(answer)
        self.asked.append(Asked(method, address.path, query, headers, body, 0 if answer.silent else answer.status))
        with suppress(OSError):
            self._send(handler, answer)

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.pause_seconds:
            self._ended.wait(answer.pause_seconds)
        if answer.silent:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if answer.drip_seconds:
            for byte in answer.body:
                if self._ended.is_set():
                    break
                time.sleep(answer.drip_seconds)
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
            return
        handler.wfile.write(answer.body[: answer.cut_after])
        if answer.cut_after is not None:
            handler.close_connection = True


def _type_name(segment: str, types: dict[str, Json]) -> str:
    """Return the name that a segment of a path means: the colon of a name is written as a dash."""
    return next((name for name in types if name.replace(":", "-") == segment), segment.replace("-", ":", 1))


def _field_groups(value: Json) -> list[str]:
    return [each["fieldGroupType"] for each in value.get("fields", ()) if "fieldGroupType" in each]


def _json(status: int, value: Any) -> Answer:
    return Answer(status, json.dumps(value, ensure_ascii=False).encode(), {"Content-Type": "application/json"})


def _versioned(value: Any, version: int) -> Answer:
    return _json(200, value).with_header("X-Resource-Version", str(version))


def _error(status: int, message: str) -> Answer:
    return answering(status, message=message)(Answer())
