"""A stand-in of a cluster's API for the hooks: what it answers is written from the API's documentation, and no more.

It keeps pods, Jobs and events in memory and carries an exec out *here*, as a process of this machine. It behaves as API
server and kubelet do in what hooks depend on:

- `GET …/pods/<name>/exec` is a websocket of the subprotocol `v4.channel.k8s.io`: the first byte of each message is its
  channel; channel 3 carries a `Status` at the end. The process is the leader of a session, as the runtimes make it.
- Standard input ends when the connection ends. The process is *not* killed then.
- The result comes after the end of standard output and standard error, not before.
- Making a Job makes its pod, in the state that the test says. Deleting it deletes its pod.

It knows no authentication but one token, no watches and no schema: whether the objects are valid is proved against a
real kube-apiserver, by hand.
"""

import base64
import contextlib
import hashlib
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

TOKEN = "token-of-the-worker"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PATH = re.compile(
    r"/(?:api/v1|apis/batch/v1)/namespaces/(?P<namespace>[^/]+)/(?P<kind>pods|jobs|events)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<verb>exec))?$"
)

RUNNING = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def waiting(reason: str, message: str) -> dict[str, Any]:
    return {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [{"name": "hook", "state": {"waiting": {"reason": reason, "message": message}}}],
    }


def a_pod(name: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    containers = [{"name": "php", "env": spec.pop("env", [])}, {"name": "sidecar"}]
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {}},
        "spec": {"containers": containers},
        "status": RUNNING,
        **spec,
    }


@dataclass
class Faults:
    """What goes wrong, until a test takes it back.

    Attributes:
        refuse: from a request's path to a status and a message that refuse it, or None.
        cut_at: of an exec that fetches an artefact: bytes of standard output after which the connection is cut.
        cut_command_at: the same of an exec that runs a command; before the cut ``on_cut`` is called.
        without_result: whether execs end without a message on channel 3.
    """

    refuse: Callable[[str, str], tuple[int, str] | None] = lambda method, path: None
    cut_at: int | None = None
    cut_command_at: int | None = None
    on_cut: Callable[[], None] = lambda: None
    without_result: bool = False


@dataclass
class Cluster:
    """What the stand-in holds."""

    environment: dict[str, str]
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)
    execs: list[list[str]] = field(default_factory=list)
    job_status: dict[str, Any] | None = field(default_factory=lambda: dict(RUNNING))
    faults: Faults = field(default_factory=Faults)
    url: str = ""

    def tell(self, name: str, reason: str, message: str, *, at: str | None = None) -> None:
        self.events.append(
            {"involvedObject": {"name": name}, "reason": reason, "message": message, "lastTimestamp": at}
        )

    def make_job(self, job: dict[str, Any]) -> dict[str, Any]:
        job["metadata"] |= {"uid": uuid4().hex, "creationTimestamp": "2026-11-30T02:00:00Z"}
        self.jobs[job["metadata"]["name"]] = job
        self.made.append(job)
        if self.job_status is not None:
            template = job["spec"]["template"]
            name = f"{job['metadata']['name']}-abcde"
            self.pods[name] = {
                "metadata": {"name": name, "labels": template["metadata"]["labels"]},
                "spec": template["spec"],
                "status": self.job_status,
            }
        return job


@contextmanager
def running_cluster(cluster: Cluster) -> Iterator[Cluster]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def _serve(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            query = parse_qs(url.query, keep_blank_values=True)
            match = _PATH.fullmatch(url.path)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self._refuse(401, "Unauthorized")
            if (refused := cluster.faults.refuse(method, url.path)) is not None:
                return self._refuse(*refused)
            if match is None:
                return self._refuse(404, "the server could not find the requested resource")
            kind, name = match["kind"], match["name"]
            if match["verb"]:
                if name not in cluster.pods:
                    return self._refuse(404, f'pods "{name}" not found')
                return self._exec(query)
            if kind == "events":
                involved = query["fieldSelector"][0].partition("=")[2]
                return self._answer(
                    {"items": [each for each in cluster.events if each["involvedObject"]["name"] == involved]}
                )
            held = cluster.pods if kind == "pods" else cluster.jobs
            if method == "POST":
                job = json.loads(body)
                if job["metadata"]["name"] in held:
                    return self._refuse(409, "already exists")
                return self._answer(cluster.make_job(job), status=201)
            if name is None:
                wanted = dict(pair.split("=") for pair in query["labelSelector"][0].split(","))
                found = [pod for pod in held.values() if wanted.items() <= pod["metadata"]["labels"].items()]
                return self._answer({"items": found})
            if name not in held:
                return self._refuse(404, f'{kind} "{name}" not found')
            if method == "DELETE":
                if json.loads(body)["preconditions"]["uid"] != held[name]["metadata"]["uid"]:
                    return self._refuse(409, "the UID in the precondition does not match")
                cluster.pods.pop(f"{name}-abcde", None)
                return self._answer(held.pop(name))
            return self._answer(held[name])

        def _answer(self, told: Any, *, status: int = 200) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _refuse(self, status: int, message: str) -> None:
            self._answer({"kind": "Status", "status": "Failure", "message": message, "code": status}, status=status)

        def _exec(self, query: dict[str, list[str]]) -> None:
            self.close_connection = True
            key = self.headers["Sec-WebSocket-Key"].encode()
            assert "v4.channel.k8s.io" in self.headers["Sec-WebSocket-Protocol"]
            self.send_response(101, "Switching Protocols")
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
            self.send_header("Sec-WebSocket-Accept", accept)
            self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
            self.end_headers()
            self.wfile.flush()
            cluster.execs.append(query["command"])
            _Exec(self, cluster, query).carry_out()

    return Handler


class _Cut(Exception):
    pass


class _Exec:
    """One exec: a process here, its three streams as channels."""

    def __init__(self, handler: BaseHTTPRequestHandler, cluster: Cluster, query: dict[str, list[str]]) -> None:
        self._socket = handler.connection
        self._incoming = handler.rfile
        self._cluster = cluster
        self._command = query["command"]
        self._stdin = query["stdin"] == ["true"]
        self._lock = threading.Lock()
        self._sent = 0

    def carry_out(self) -> None:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE if self._stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=self._cluster.environment,
            )
        except OSError as error:
            message = f"exec failed: {self._command[0]}: {error.strerror}"
            self._end({"status": "Failure", "reason": "InternalError", "message": message})
            return
        threads = [
            threading.Thread(target=self._pump, args=(channel, pipe), daemon=True)
            for channel, pipe in ((1, process.stdout), (2, process.stderr))
        ]
        threads.append(threading.Thread(target=self._listen, args=(process.stdin,), daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads[:2]:
            thread.join()
        code = process.wait()
        code = 128 - code if code < 0 else code
        status: dict[str, Any] = {"status": "Success"}
        if code:
            cause = {"reason": "ExitCode", "message": str(code)}
            status = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [cause]}}
        self._end(status)
        threads[2].join(5)

    def _pump(self, channel: int, pipe: Any) -> None:
        with pipe:
            while chunk := pipe.read1(32 * 1024):
                with contextlib.suppress(OSError, _Cut):
                    self._send(channel, chunk)

    def _send(self, channel: int, chunk: bytes) -> None:
        faults = self._cluster.faults
        limit = faults.cut_at if "lc2-artefact" in self._command else faults.cut_command_at
        if "cat" in self._command:
            limit = None
        with self._lock:
            if channel in (1, 2) and limit is not None and self._sent + len(chunk) > limit:
                self._write(bytes([channel]) + chunk[: limit - self._sent])
                faults.on_cut()
                self._socket.shutdown(2)
                raise _Cut
            self._sent += len(chunk)
            self._write(bytes([channel]) + chunk)

    def _write(self, message: bytes, opcode: int = 2) -> None:
        size = len(message)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
        if size >= 1 << 16:
            length = b"\x7f" + size.to_bytes(8, "big")
        self._socket.sendall(bytes([0x80 | opcode]) + length + message)

    def _end(self, status: dict[str, Any]) -> None:
        with contextlib.suppress(OSError), self._lock:
            if not self._cluster.faults.without_result:
                self._write(b"\x03" + json.dumps({"kind": "Status", **status}).encode())
            self._write((1000).to_bytes(2, "big"), opcode=8)

    def _listen(self, stdin: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (head := self._incoming.read(2)) and len(head) == 2:
                size = head[1] & 0x7F
                if size >= 126:
                    size = int.from_bytes(self._incoming.read(2 if size == 126 else 8), "big")
                mask = self._incoming.read(4)
                message = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self._incoming.read(size)))
                if head[0] & 0xF == 9:
                    with self._lock:
                        self._write(message, opcode=10)
                elif head[0] & 0xF == 8:
                    break
                elif message[:1] == b"\0" and stdin is not None:
                    stdin.write(message[1:])
                    stdin.flush()
        if stdin is not None:
            with contextlib.suppress(OSError):
                stdin.close()
