"""A proxy in front of the real object server that refuses, loses, freezes or only pretends single requests."""

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>no particular reason</Message></Error>'


@dataclass(frozen=True)
class Refuse:
    """Answer with a status; the server never hears of the request."""

    status: int
    code: str = "Strange"


@dataclass(frozen=True)
class Pretend:
    """Say yes; the server never hears of the request."""


@dataclass(frozen=True)
class LoseAnswer:
    """Let the server do it, and break off instead of answering."""


@dataclass(frozen=True)
class Freeze:
    """Hold the request, and let the server do it when ``thawed`` is set, however long the client has been gone."""

    thawed: threading.Event


Fault = Refuse | Pretend | LoseAnswer | Freeze


@dataclass
class Requests:
    """Which requests a fault is for: those that fit, but for the first ones.

    Attributes:
        pattern: for the beginning of ``METHOD /bucket/key?query``, not escaped.
        fault: what happens to them.
        after: how many that fit are let through first.
        and_all_later: whether every request after the first faulty one has the fault too.
    """

    pattern: str
    fault: Fault
    after: int = 0
    and_all_later: bool = False
    fitting: int = 0
    begun: bool = False

    def fault_of(self, request: str) -> Fault | None:
        if self.begun and self.and_all_later:
            return self.fault
        if re.match(self.pattern, request) is None:
            return None
        self.fitting += 1
        if self.fitting <= self.after:
            return None
        self.begun = True
        return self.fault


@dataclass
class FaultyProxy:
    """The proxy; ``endpoint`` is its address. Without ``requests`` it passes everything on."""

    upstream: str
    requests: Requests | None = None
    seen: list[str] = field(default_factory=list)
    late: int = 0
    endpoint: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def failing(self, requests: Requests) -> Iterator[Requests]:
        """Have a fault for the time of the block."""
        self.requests = requests
        try:
            yield requests
        finally:
            self.requests = None

    def note(self, request: str) -> Fault | None:
        with self.lock:
            self.seen.append(request)
            return self.requests.fault_of(request) if self.requests else None


@contextmanager
def running_proxy(upstream: str) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(upstream)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    server.daemon_threads = True
    # Clients that have given up waiting are what these tests are about.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    host = urlsplit(proxy.upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body of an answer go in two writes; waiting for the other side's acknowledgement takes 40 ms.
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.note(f"{self.command} {unquote(self.path)}")
            act: Callable[[bytes], None] = self.pass_on
            if isinstance(fault, Refuse):
                act = lambda _: self.refuse(fault)  # noqa: E731
            elif isinstance(fault, Pretend):
                act = lambda _: self.say(200, {"ETag": '"0123456789abcdef0123456789abcdef"'}, b"")  # noqa: E731
            elif isinstance(fault, LoseAnswer):
                act = self.lose
            elif isinstance(fault, Freeze):
                fault.thawed.wait(60)
                act = self.too_late
            act(body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

        def upstream_answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            # The signature covers the host that the client knows: it is passed on with all other headers.
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection = http.client.HTTPConnection(host, timeout=60)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read()
            finally:
                connection.close()

        def pass_on(self, body: bytes) -> None:
            self.say(*self.upstream_answer(body))

        def refuse(self, fault: Refuse) -> None:
            self.say(fault.status, {"Content-Type": "application/xml"}, _ERROR.format(fault.code).encode())

        def lose(self, body: bytes) -> None:
            self.upstream_answer(body)
            self.close_connection = True

        def too_late(self, body: bytes) -> None:
            answer = self.upstream_answer(body)
            with proxy.lock:
                proxy.late += 1
            with suppress(OSError):
                self.say(*answer)

        def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
