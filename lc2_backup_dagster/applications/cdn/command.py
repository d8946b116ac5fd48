"""A command that tells the CDN: it reads paths, one on a line, and succeeds by ending with 0 in time."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from lc2_backup_dagster.engines.exports.redaction import redacted_lines
from lc2_backup_dagster.model.errors import ToolFailed, ToolMissing

_LINES_KEPT = 20
_LINE_CHARACTERS = 300
_CHUNK_BYTES = 1 << 16
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


def _without_secrets(text: str) -> str:
    return "\n".join(redacted_lines(text.split("\n")))


@dataclass(frozen=True, slots=True)
class CommandInvalidation:
    """Runs a command for each call.

    Attributes:
        command: program and arguments; no shell reads them.
        timeout_seconds: longest time it may take; then it and all its children are killed.
        environment: variables beside the few that every program needs. Secrets of the service are not among those.
        redact: takes what it said, lines, and returns it without secrets.
    """

    command: Sequence[str]
    timeout_seconds: float = 60.0
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    redact: Callable[[str], str] = field(default=_without_secrets, repr=False)

    def __call__(self, paths: list[str], /) -> None:
        """Run the command with the paths.

        Raises:
            ToolMissing: there is no such program.
            ToolFailed: it ended with an error, or not in time; the message holds its last lines, without secrets.
        """
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(self.environment)
        program = self.command[0]
        try:
            process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolMissing(f"'{program}' cannot be run: {error.strerror}") from error
        with process:
            output = _Output(process, self.redact)
            feeder = threading.Thread(target=_feed, args=(process, paths), daemon=True)
            feeder.start()
            try:
                code = process.wait(self.timeout_seconds)
            except subprocess.TimeoutExpired:
                raise ToolFailed(
                    f"'{program}' has not ended within {self.timeout_seconds:g} s{output.told(process)}"
                ) from None
            finally:
                # Also children that it left behind: they would hold its output open for ever.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                feeder.join(5)  # it closes the command's input, and puts up with a pipe that nobody reads
            if code != 0:
                raise ToolFailed(f"'{program}' ended with {code}{output.told(process)}")


class _Output:
    """Reads what a command writes, however much, and keeps the last lines."""

    def __init__(self, process: "subprocess.Popen[bytes]", redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._tail: deque[bytes] = deque(maxlen=2)
        self._thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._thread.start()

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with suppress(ValueError, OSError):
            while chunk := os.read(process.stdout.fileno(), _CHUNK_BYTES):
                self._tail.append(chunk)

    def told(self, process: "subprocess.Popen[bytes]") -> str:
        """End the command, and return its last words."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._thread.join(5)
        lines = self._redact(b"".join(self._tail).decode(errors="replace")).splitlines()
        shown = [line[:_LINE_CHARACTERS] for line in lines if line.strip()][-_LINES_KEPT:]
        return f": {' | '.join(shown)}" if shown else ""


def _feed(process: "subprocess.Popen[bytes]", paths: list[str]) -> None:
    assert process.stdin is not None
    # A command that does not read them all has its reasons; its exit code tells.
    with suppress(OSError, ValueError), process.stdin as stdin:
        stdin.write("".join(f"{path}\n" for path in paths).encode())
