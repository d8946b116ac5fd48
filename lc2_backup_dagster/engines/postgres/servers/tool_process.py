"""Run PostgreSQL's command-line tools so that a failed one never looks like a clean end (L-5).

A tool runs in a session of its own and ends with the thread that started it (see ``parent_death``). Its standard
error is drained all the time and only its end is kept. Whatever goes wrong, the whole process group is killed.
"""

import contextlib
import fcntl
import io
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from lc2_backup_dagster.engines.postgres.servers.parent_death import dying_with_parent
from lc2_backup_dagster.engines.postgres.servers.server import Server, meaning
from lc2_backup_dagster.model.errors import BackupError, ToolFailed, ToolMissing

_STDERR_BYTES = 16384
_STDERR_LINES = 12
_PIPE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20


def tool_environment(server: Server | None) -> dict[str, str]:
    """Return the environment of a tool: ours without any PG* variable, English messages, the password if known.

    An inherited PGOPTIONS, PGSERVICE or PGSSLMODE would silently connect elsewhere or otherwise than the site says.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    # LC_ALL wins over LANG; LANGUAGE would win over both for messages, which are matched in English.
    environment.pop("LANGUAGE", None)
    environment["LC_ALL"] = "C.UTF-8"
    if server is not None:
        if server.password is None and "PGPASSFILE" in os.environ:
            environment["PGPASSFILE"] = os.environ["PGPASSFILE"]
        environment.update(server.environment())
    return environment


@dataclass(frozen=True, slots=True)
class IgnorableErrors:
    """Errors after which a tool goes on, ends with exit code 1, and has done its work all the same.

    Attributes:
        each: matches each error that may be ignored.
        any: matches the line of standard error that any error begins with. Exit code 1 is success only when all of them
            match ``each``, too.
        total: matches the line that says how many errors there were; its first group is the number, and no more than
            were seen. (Parallel workers say more errors than are counted in the end.)
    """

    each: re.Pattern[bytes]
    any: re.Pattern[bytes]
    total: re.Pattern[bytes]


class _Tool:
    """A running tool; a context manager that leaves no process behind.

    Args:
        command: program and arguments; never a secret among them.
        server: whom it talks to, for its password and for translating its refusals.
        ignorable: errors that do not make it fail.
    """

    _stdin: int = subprocess.DEVNULL
    _stdout: int = subprocess.DEVNULL

    def __init__(
        self, command: Sequence[str], *, server: Server | None, ignorable: IgnorableErrors | None = None
    ) -> None:
        self.name = Path(command[0]).name
        self._ignorable = ignorable
        self._ignored = 0
        self._errors = 0
        self._server = server
        self._stderr = bytearray()
        self._finished = False
        try:
            self._child = subprocess.Popen[bytes](
                dying_with_parent(command),
                stdin=self._stdin,
                stdout=self._stdout,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=tool_environment(server),
            )
        except OSError as error:
            raise ToolMissing(
                f"cannot start {command[0]}: {error.strerror}", hint="install PostgreSQL's client tools"
            ) from error
        for pipe in (self._child.stdin, self._child.stdout):
            # Larger pipes mean fewer wake-ups; the kernel may refuse, then the default stays.
            with contextlib.suppress(OSError, AttributeError):
                if pipe is not None:
                    fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._drain = threading.Thread(target=self._drain_stderr, name=f"{self.name}-stderr", daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._child.pid

    def kill(self) -> None:
        """Kill the whole process group and wait for it; harmless when it has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._close()

    def _drain_stderr(self) -> None:
        assert self._child.stderr is not None
        while line := self._child.stderr.readline(_STDERR_BYTES):
            if self._ignorable is not None and self._ignorable.any.search(line):
                self._errors += 1
                self._ignored += bool(self._ignorable.each.search(line))
            self._stderr += line
            del self._stderr[:-_STDERR_BYTES]

    def _only_ignorable(self, code: int) -> bool:
        if self._ignorable is None or code != 1:
            return False
        total = self._ignorable.total.search(bytes(self._stderr))
        return total is not None and int(total[1]) <= self._ignored == self._errors

    def _close(self) -> None:
        self._drain.join()
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def said(self) -> str:
        """Return the last lines of standard error without secrets, joined by `` | ``."""
        text = bytes(self._stderr).decode("utf-8", "replace")
        secret = self._server.password if self._server else None
        if secret:
            text = text.replace(secret, "***")
        return " | ".join(line.strip() for line in text.strip().splitlines()[-_STDERR_LINES:])

    def _end(self) -> None:
        """Wait for the process and raise unless it ended with 0."""
        code = self._child.wait()
        self._close()
        self._finished = True
        if code != 0 and not self._only_ignorable(code):
            raise self._failure(code)

    def _failure(self, code: int) -> BackupError:
        said = self.said()
        known = meaning(said, self._server) if self._server is not None else None
        if known is not None:
            return type(known)(f"{self.name}: {known.message}", hint=known.hint)
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return ToolFailed(f"{self.name} {ended}: {said or '(it said nothing)'}", exit_code=code)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._finished:
            return
        self.kill()
        if kind is None:
            raise ToolFailed(f"{self.name} was stopped before its end")


class ToolStream(_Tool):
    """A tool whose standard output is read."""

    _stdout = subprocess.PIPE

    def __init__(
        self, command: Sequence[str], *, server: Server | None, ignorable: IgnorableErrors | None = None
    ) -> None:
        super().__init__(command, server=server, ignorable=ignorable)
        self.bytes_read = 0

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes as they come; nothing only when the tool has ended with exit code 0.

        Raises:
            ToolFailed: the tool ended otherwise, or one of the errors that its last words mean.
        """
        if self._finished or size == 0:
            return b""
        chunk = cast("io.BufferedReader", self._child.stdout).read1(min(size, _CHUNK_BYTES))
        if not chunk:
            self._end()
        self.bytes_read += len(chunk)
        return chunk


class ToolSink(_Tool):
    """A tool whose standard input is written."""

    _stdin = subprocess.PIPE

    def write(self, chunk: bytes, /) -> None:
        """Hand over all of a chunk.

        Raises:
            ToolFailed: the tool has ended meanwhile, or one of the errors that its last words mean.
        """
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(chunk)
        except BrokenPipeError as error:
            self._end()
            raise ToolFailed(f"{self.name} ended without reading its input: {self.said()}") from error

    def end_input(self) -> None:
        """Close its input, wait for it, and raise as ``write`` does unless it ended with exit code 0."""
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()
        self._end()


class BackgroundTool(_Tool):
    """A tool that works by itself beside us; what it makes lies somewhere else than in its output."""

    def ended(self) -> bool:
        """Say whether it has ended with exit code 0.

        Raises:
            ToolFailed: it ended otherwise, or one of the errors that its last words mean.
        """
        if not self._finished and self._child.poll() is not None:
            self._end()
        return self._finished


def run_tool(
    command: Sequence[str],
    *,
    server: Server | None,
    max_bytes: int = 16 << 20,
    ignorable: IgnorableErrors | None = None,
) -> bytes:
    """Run a tool to its end and return its output, which must be small.

    Raises:
        ToolFailed: exit code not 0, more output than ``max_bytes``, or what its last words mean.
    """
    output = bytearray()
    with ToolStream(command, server=server, ignorable=ignorable) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            output += chunk
            if len(output) > max_bytes:
                raise ToolFailed(f"{stream.name} wrote more than {max_bytes} bytes")
    return bytes(output)
