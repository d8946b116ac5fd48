"""Carries out a hook in a container that runs: the command by one exec, the artefact by a second one, as a tar.

The command runs under ``in_pod.sh``, a watcher within the container: it stops the command at the time limit, and when
the connection is gone, whether this process was killed, the network failed, or somebody asked it to stop.
"""

import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lc2_backup_dagster.engines.hooks.artifact import ArtifactFolder
from lc2_backup_dagster.engines.hooks.cluster.access import Cluster, Resource
from lc2_backup_dagster.engines.hooks.cluster.exec_stream import (
    STDOUT,
    ExecCut,
    ExecEnd,
    ExecOutOfTime,
    ExecStream,
)
from lc2_backup_dagster.engines.hooks.cluster.pod_state import name_of, secret_variables, state
from lc2_backup_dagster.engines.hooks.failure import ended_badly, failed, timed_out
from lc2_backup_dagster.engines.hooks.hook import ArtifactFacts, Hook, Output
from lc2_backup_dagster.engines.hooks.output import HookOutput
from lc2_backup_dagster.engines.hooks.ports import Done, Say
from lc2_backup_dagster.engines.hooks.redaction import Redaction
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError, ObjectNotFound, RequestRefused

ARTIFACT_SECONDS = 900.0
_ENVIRONMENT_SECONDS = 60.0
_SLACK_SECONDS = 15.0
_ENVIRONMENT_BYTES = 1 << 20
_SHORTEST_SECRET = 4
_STDERR_BYTES = 4096
_NO_ARTIFACT = 44
_FETCH = (
    'if [ -d "$1" ]; then exec tar -C "$1" -cf - .; elif [ -f "$1" ]; then '
    f'exec tar -C "${{1%/*}}/" -cf - "./${{1##*/}}"; else exit {_NO_ARTIFACT}; fi'
)


@dataclass(frozen=True, slots=True)
class PodCommand:
    """Commands in one container.

    Attributes:
        cluster: whose.
        pod: the pod, as it was when it was chosen.
        container: its container.
        variables: what the command's environment gets beside the container's own.
        redaction: what the output must not show, as far as it is known here.
        directory: where the command runs, or None for the container's own.
        grace_seconds: how long a command may take to end by itself when its time is over.
    """

    cluster: Cluster
    pod: Resource
    container: str
    variables: Mapping[str, str] = field(repr=False)
    redaction: Redaction
    directory: Path | None
    grace_seconds: int

    def run(self, hook: Hook, *, artifact: Path | None, say: Say) -> Done:
        """Carry a hook out, and fetch its artefact; see ``HookRunner``."""
        lines = _as_lines(hook, self.variables)
        output = HookOutput(self.redaction.knowing(self._secrets(hook)), say=say)
        end = self._execute(hook, lines, output)
        said = output.end()
        if isinstance(end, _Stopped):
            where = f"but pod {name_of(self.pod)} did not confirm that it has ended"
            raise timed_out(hook, output=said, where=_STOPPED if end.confirmed else where)
        if end.code is None:
            raise failed(hook, f"could not be started: {end.message}", output=said, hint=_SHELL_HINT)
        if end.code != 0:
            raise ended_badly(hook, end.code, output=said)
        return Done(said, None if artifact is None else self._fetch(hook, artifact, said))

    def _execute(self, hook: Hook, lines: str, output: HookOutput) -> "ExecEnd | _Stopped":
        """Run the command to its end, or until its time is over."""
        limits = (str(hook.timeout_seconds + _BACKSTOP_SECONDS), str(self.grace_seconds))
        directory = str(self.directory) if self.directory else "."
        command = ("/bin/sh", "-c", _script(), "lc2-hook", *limits, directory, *hook.command)
        deadline = time.monotonic() + hook.timeout_seconds
        with self._open(hook, command, stdin=True) as stream:
            try:
                stream.send(lines)
                end = _hand_on(stream, output, deadline)
            except ExecOutOfTime:
                return _Stopped(self._stop(stream, output))
            except ExecCut as error:
                raise self._lost(hook, error, output.end()) from error
        return end

    def _stop(self, stream: ExecStream, output: HookOutput) -> bool:
        """Ask the watcher to stop the command, and say whether it ended; closing the connection asks it, too."""
        try:
            stream.send("stop\n")
            _hand_on(stream, output, time.monotonic() + self.grace_seconds + _SLACK_SECONDS)
        except (ExecCut, ExecOutOfTime):
            return False
        return True

    def _secrets(self, hook: Hook) -> frozenset[str]:
        """Learn the values of the container's secrets, which its output must not show.

        Raises:
            HookFailed: they cannot be learnt; then nothing is run that might show them.
        """
        names = secret_variables(self.pod, self.container)
        told = bytearray()
        deadline = time.monotonic() + _ENVIRONMENT_SECONDS
        with self._open(hook, ("cat", "/proc/self/environ")) as stream:
            try:
                while not isinstance(piece := stream.next(deadline), ExecEnd):
                    told += piece[1] if piece[0] == STDOUT and len(told) < _ENVIRONMENT_BYTES else b""
            except ExecOutOfTime as error:
                raise failed(hook, f"was not run: pod {name_of(self.pod)} does not answer") from error
            except ExecCut as error:
                raise self._lost(hook, error, None) from error
        if piece.code != 0:
            why = piece.message or f"exit code {piece.code}"
            raise failed(hook, f"was not run: which values must be hidden could not be read: {why}", hint=_SHELL_HINT)
        found: set[str] = set()
        for variable in bytes(told).decode("utf-8", "replace").split("\0"):
            name, _, value = variable.partition("=")
            if name in names or (self.redaction.secret_name(name) and len(value) >= _SHORTEST_SECRET):
                found.add(value)
        return frozenset(found - {""})

    def _fetch(self, hook: Hook, folder: Path, said: Output) -> ArtifactFacts:
        command = ("/bin/sh", "-c", _FETCH, "lc2-artefact", str(hook.artifact_path))
        into = ArtifactFolder(hook, folder, said)
        with self._open(hook, command) as stream:
            incoming = _Incoming(stream, time.monotonic() + ARTIFACT_SECONDS)
            try:
                _unpack(incoming, into)
                end = incoming.finish()
            except ExecOutOfTime as error:
                what = f"succeeded, but its artefact was not here after {ARTIFACT_SECONDS:g} s"
                raise failed(hook, what, output=said) from error
            except ExecCut as error:
                raise self._lost(hook, error, said, when="while its artefact was fetched") from error
        if end.code == _NO_ARTIFACT:
            raise failed(hook, f"succeeded, but left no artefact at {hook.artifact_path}", output=said)
        if end.code != 0 or incoming.damage:
            why = end.message or incoming.said() or incoming.damage or f"tar ended with exit code {end.code}"
            raise failed(hook, f"succeeded, but its artefact could not be fetched: {why}", output=said)
        return into.end()

    def _open(self, hook: Hook, command: tuple[str, ...], *, stdin: bool = False) -> ExecStream:
        pod = name_of(self.pod)
        try:
            return ExecStream(self.cluster, pod, self.container, command, stdin=stdin)
        except (ObjectNotFound, RequestRefused) as error:
            raise failed(hook, f"cannot run in pod {pod}: {error.message}", hint=self._events(pod)) from error

    def _lost(self, hook: Hook, error: ExecCut, said: Output | None, *, when: str = "while it ran") -> BackupError:
        """Say why a connection was lost, as the pod tells it."""
        pod = name_of(self.pod)
        try:
            now = state(self.cluster.pod(pod))
        except ObjectNotFound:
            now = "it was deleted"
        except BackupError as unknown:
            now = f"unknown, {unknown.message}"
        what = f"lost the connection to pod {pod} {when} ({error}); the pod: {now}"
        return failed(hook, what, output=said, hint=self._events(pod))

    def _events(self, pod: str) -> str | None:
        events = self.cluster.events(pod)
        return f"the pod's events: {' | '.join(events[-5:])}" if events else None


_BACKSTOP_SECONDS = 5
"""The watcher's own limit is later than ours: we stop a command, it stops what we have lost."""
_STOPPED = "and so was all that it started in its session"
_SHELL_HINT = "the container needs /bin/sh, sleep, cat and tar"


@dataclass(frozen=True, slots=True)
class _Stopped:
    """The command's time was over; whether the pod confirmed that it has ended."""

    confirmed: bool


class _Incoming:
    """Standard output of an exec as a file; its end is the end of the command."""

    def __init__(self, stream: ExecStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline
        self._rest = b""
        self._end: ExecEnd | None = None
        self._stderr = bytearray()
        self.damage: str | None = None

    def read(self, size: int = -1, /) -> bytes:
        while not self._rest and self._end is None:
            self._receive()
        taken, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return taken

    def finish(self) -> ExecEnd:
        """Throw away what is left, and return how the command ended."""
        while self._end is None:
            self._rest = b""
            self._receive()
        return self._end

    def said(self) -> str:
        """Return what came on standard error."""
        return bytes(self._stderr).decode("utf-8", "replace").strip()

    def _receive(self) -> None:
        piece = self._stream.next(self._deadline)
        if isinstance(piece, ExecEnd):
            self._end = piece
        elif piece[0] == STDOUT:
            self._rest = piece[1]
        elif len(self._stderr) < _STDERR_BYTES:
            self._stderr += piece[1]


def _unpack(incoming: _Incoming, into: ArtifactFolder) -> None:
    """Write the plain files of a tar, none of its owners and modes; refuse whatever else it holds."""
    try:
        # Read as a stream, one member after the other: nothing is extracted by the archive's own rules.
        with tarfile.open(fileobj=incoming, mode="r|", errorlevel=2) as archive:  # type: ignore[arg-type]
            for member in archive:
                archive.members.clear()  # type: ignore[attr-defined]
                path = member.name.removeprefix("./")
                if member.isdir():
                    continue
                if member.issym() or member.islnk():
                    into.refuse(path, "a link")
                if not member.isreg() or member.issparse():
                    into.refuse(path, "a device, a pipe or another special file")
                content = archive.extractfile(member)
                assert content is not None
                into.add(path, content, size_bytes=member.size)
    except tarfile.TarError as error:
        incoming.damage = f"the tar is damaged: {error}"


def _hand_on(stream: ExecStream, output: HookOutput, deadline: float) -> ExecEnd:
    while not isinstance(piece := stream.next(deadline), ExecEnd):
        output.write(piece[1])
    return piece


def _as_lines(hook: Hook, variables: Mapping[str, str]) -> str:
    for name, value in variables.items():
        if "\n" in value:
            raise ConfigurationError(
                f"hook {hook.name}: the value of {name} has several lines, which cannot be handed to a pod",
                hint="give the pod a Secret with it",
            )
    return "".join(f"{name}={value}\n" for name, value in variables.items()) + "\n"


@cache
def _script() -> str:
    lines = Path(__file__).with_name("in_pod.sh").read_text("utf-8").splitlines()
    return "\n".join(line for line in map(str.strip, lines) if not line.startswith("#"))
