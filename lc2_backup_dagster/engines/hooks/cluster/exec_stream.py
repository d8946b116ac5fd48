"""One exec in a pod, over a websocket, as ``kubectl exec`` does it (subprotocols ``v4.channel.k8s.io`` and ``v5``).

Each message begins with the number of its channel: 0 standard input, 1 standard output, 2 standard error, 3 the result
as a ``Status`` object, which comes last. A connection that ends without a result was cut.

The client's own ``stream`` is not used: it connects without a time limit, gathers all that comes as fast as it comes
without a bound, and turns a refusal into a text without its status.
"""

import json
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from lc2_backup_dagster.engines.hooks.cluster.access import Cluster, refusal
from lc2_backup_dagster.model.errors import ServiceUnavailable

STDIN, STDOUT, STDERR, RESULT, _CLOSED = 0, 1, 2, 3, 255
_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
_CONNECT_SECONDS = 30.0
_PING_SECONDS = 20.0
# Three pings without an answer or anything else: the other end is gone, and no packet will ever say so.
_SILENCE_SECONDS = 75.0
_POLL_SECONDS = 1.0

Take = Callable[[bytes], None]


class ExecCut(Exception):
    """The connection ended without a result: nobody knows how the command ended."""


class ExecOutOfTime(Exception):
    """The deadline passed before the command's end."""


@dataclass(frozen=True, slots=True)
class ExecEnd:
    """How a command in a pod ended.

    Attributes:
        code: its exit code, or None where it could not be started.
        message: what the cluster says of it, where it could not be started.
    """

    code: int | None
    message: str = ""


class ExecStream:
    """A command in a pod, connected; a context manager that closes the connection, which ends its standard input.

    Args:
        cluster: whose.
        pod: name of the pod.
        container: name of the container.
        command: program and arguments; never a secret among them, for addresses are written to logs.
        stdin: whether it gets standard input from us.

    Raises:
        AccessDenied: we may not exec there.
        ObjectNotFound: the pod is gone.
        RequestRefused: the cluster refuses for another reason.
        ServiceUnavailable: it cannot be reached; nothing was run.
    """

    def __init__(
        self, cluster: Cluster, pod: str, container: str, command: Sequence[str], *, stdin: bool = False
    ) -> None:
        import websocket

        what = f"exec in container {container} of pod {pod} in namespace {cluster.namespace}"
        self._errors = (websocket.WebSocketException, OSError)
        self._timeout: type[Exception] = websocket.WebSocketTimeoutException
        self._socket: Any = websocket.WebSocket(sslopt=_tls(cluster.configuration), skip_utf8_validation=True)
        try:
            self._socket.connect(
                _address(cluster, pod, container, command, stdin=stdin),
                header=_authorization(cluster.configuration),
                subprotocols=_PROTOCOLS,
                timeout=_CONNECT_SECONDS,
                **_proxy(cluster.configuration),
            )
        except websocket.WebSocketBadStatusException as error:
            raise refusal(error.status_code, error.resp_body or b"", what=what) from error
        except self._errors as error:
            raise ServiceUnavailable(f"the cluster's API did not answer: cannot {what}: {error}") from error
        self._socket.settimeout(_POLL_SECONDS)
        self._heard = self._pinged = time.monotonic()

    def send(self, text: str) -> None:
        """Write to the command's standard input; nobody knows whether it is still read.

        Raises:
            ExecCut: the connection is gone.
        """
        import websocket

        try:
            self._socket.send(bytes([STDIN]) + text.encode(), opcode=websocket.ABNF.OPCODE_BINARY)
        except self._errors as error:
            raise ExecCut(str(error)) from error

    def next(self, deadline: float) -> tuple[int, bytes] | ExecEnd:
        """Return the next piece of output with its channel, or how the command ended.

        Args:
            deadline: when to give up, as ``time.monotonic`` counts.

        Raises:
            ExecCut: the connection ended, or has been silent for too long.
            ExecOutOfTime: the deadline has passed.
        """
        import websocket

        while True:
            now = time.monotonic()
            if now >= deadline:
                raise ExecOutOfTime
            try:
                self._keep_alive(now)
                self._socket.settimeout(min(_POLL_SECONDS, max(0.01, deadline - now)))
                opcode, frame = self._socket.recv_data_frame(True)
            except self._timeout:
                continue
            except self._errors as error:
                raise ExecCut(str(error) or type(error).__name__) from error
            self._heard = time.monotonic()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise ExecCut("closed without a result")
            if opcode not in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT):
                continue
            message = bytes(frame.data)
            if len(message) < 2 or message[0] == _CLOSED:
                continue
            if message[0] == RESULT:
                return _end(message[1:])
            if message[0] in (STDOUT, STDERR):
                return message[0], message[1:]

    def _keep_alive(self, now: float) -> None:
        """Ping: load balancers close what is silent, and a partition is noticed by nothing else."""
        if now - self._heard > _SILENCE_SECONDS:
            raise ExecCut(f"nothing was heard for {_SILENCE_SECONDS:g} s")
        if now - self._pinged > _PING_SECONDS:
            self._pinged = now
            self._socket.ping()

    def close(self) -> None:
        """Close the connection at once."""
        self._socket.shutdown()

    def __enter__(self) -> "ExecStream":
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()


def _end(body: bytes) -> ExecEnd:
    try:
        status: dict[str, Any] = json.loads(body)
    except ValueError:
        return ExecEnd(None, body.decode("utf-8", "replace"))
    if status.get("status") == "Success":
        return ExecEnd(0)
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).lstrip("-").isdecimal():
            return ExecEnd(int(cause["message"]))
    return ExecEnd(None, str(status.get("message", "")))


def _address(cluster: Cluster, pod: str, container: str, command: Sequence[str], *, stdin: bool) -> str:
    host = urlsplit(cluster.configuration.host)
    scheme = "wss" if host.scheme == "https" else "ws"
    words = [("command", word) for word in command]
    streams = [("container", container), ("stdin", str(stdin).lower()), ("stdout", "true"), ("stderr", "true")]
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/exec"
    return f"{scheme}://{host.netloc}{host.path.rstrip('/')}{path}?{urlencode([*streams, ('tty', 'false'), *words])}"


def _authorization(configuration: Any) -> list[str]:
    # Renews a token that is about to expire, as every other request does.
    told = configuration.auth_settings().get("BearerToken")
    return [f"{told['key']}: {told['value']}"] if told else []


def _tls(configuration: Any) -> dict[str, Any]:
    if not configuration.verify_ssl:
        options: dict[str, Any] = {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    else:
        options = {"cert_reqs": ssl.CERT_REQUIRED}
        if configuration.ssl_ca_cert:
            options["ca_certs"] = configuration.ssl_ca_cert
        if configuration.assert_hostname is not None:
            options["check_hostname"] = configuration.assert_hostname
    if configuration.cert_file:
        options["certfile"] = configuration.cert_file
    if configuration.key_file:
        options["keyfile"] = configuration.key_file
    if configuration.tls_server_name:
        options["server_hostname"] = configuration.tls_server_name
    return options


def _proxy(configuration: Any) -> dict[str, Any]:
    if not configuration.proxy:
        return {}
    proxy = urlsplit(configuration.proxy)
    return {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port, "proxy_type": proxy.scheme or "http"}
