"""A small HTTP server that answers as a test tells it to, also by breaking off in the middle."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>{}</Message></Error>'


@dataclass
class Request:
    method: str
    key: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    break_after: int | None = None
    """Close the connection after so many bytes of the body."""
    silent: bool = False
    """Say nothing until the test ends."""


def error(code: str, status: int = 200, message: str = "no particular reason") -> Answer:
    return Answer(status, ERROR.format(code, message).encode(), {"Content-Type": "application/xml"})


class MisbehavingServer:
    """Asks ``script`` for every answer and keeps the requests; a context manager."""

    def __init__(self, script: Callable[[Request], Answer], *, certificate: Path | None = None) -> None:
        self.script = script
        self.requests: list[Request] = []
        self._done = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                address = urlsplit(self.path)
                key = unquote(address.path).partition("/")[2].partition("/")[2]
                query = parse_qs(address.query, keep_blank_values=True)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, key, query, headers, body)
                owner.requests.append(request)
                owner.answer(self, owner.script(request))

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.endpoint = self.endpoint.replace("http:", "https:")
        # A client that refuses the certificate or gives up waiting is what these tests are about.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> "MisbehavingServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, method: str, *parameters: str) -> int:
        """Return how many requests of a method had these query parameters."""
        return sum(
            request.method == method and all(name in request.query for name in parameters) for request in self.requests
        )

    def answer(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.silent:
            self._done.wait(30)
            handler.close_connection = True
            return
        handler.send_response_only(answer.status)
        headers = {"Date": handler.date_time_string(), "Content-Length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        handler.wfile.write(answer.body[: answer.break_after])
        if answer.break_after is not None:
            handler.wfile.flush()
            handler.close_connection = True
