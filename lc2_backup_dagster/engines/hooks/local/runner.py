"""Runs hooks as commands on this machine, where the worker runs."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lc2_backup_dagster.engines.hooks.artifact import ArtifactFolder
from lc2_backup_dagster.engines.hooks.failure import ended_badly, failed, timed_out
from lc2_backup_dagster.engines.hooks.hook import ArtifactFacts, Hook, Output
from lc2_backup_dagster.engines.hooks.local.kept_process import Ended, KeptProcess
from lc2_backup_dagster.engines.hooks.output import HookOutput
from lc2_backup_dagster.engines.hooks.ports import Done, Say
from lc2_backup_dagster.engines.hooks.redaction import Redaction

GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LocalRunner:
    """Runs a command without a shell, with an environment of its own.

    Attributes:
        environment: all of the command's environment.
        redaction: what its output must not show.
        directory: where it runs; None for where the worker runs.
        grace_seconds: how long a command may take to end by itself when its time is over.
    """

    environment: Mapping[str, str] = field(repr=False)
    redaction: Redaction = field(default_factory=Redaction)
    directory: Path | None = None
    grace_seconds: float = GRACE_SECONDS

    def run(self, hook: Hook, *, run: str, artifact: Path | None, say: Say) -> Done:
        """Carry a hook out; see ``HookRunner``."""
        output = HookOutput(self.redaction, say=say)
        with KeptProcess(
            hook.command, environment=self.environment, directory=self.directory, grace_seconds=self.grace_seconds
        ) as process:
            ended = process.wait(hook.timeout_seconds, on_output=output.write)
        said = output.end()
        self._require_success(hook, ended, said)
        return Done(said, None if artifact is None else _collect(hook, artifact, said))

    def _require_success(self, hook: Hook, ended: Ended, said: Output) -> None:
        if ended.not_started is not None:
            missing = ended.missing or hook.command[0]
            hint = "name the program's absolute path, or a folder with it in PATH of the hook's environment"
            if self.directory is not None and missing == str(self.directory):
                hint = "workingDirectory must be there before the hook runs"
            raise failed(hook, f"could not be started: {missing}: {ended.not_started.lower()}", hint=hint)
        if ended.timed_out:
            raise timed_out(hook, output=said)
        if ended.code is None:
            raise failed(hook, "was lost: the process that watches it was killed", output=said)
        if ended.code != 0:
            raise ended_badly(hook, ended.code, output=said)


def _collect(hook: Hook, folder: Path, said: Output) -> ArtifactFacts:
    """Copy an artefact. Its place itself may be a link (``/tmp`` often is), nothing below it may."""
    into = ArtifactFolder(hook, folder, said)
    root = Path(hook.artifact_path or "")
    try:
        if root.is_file():
            _copy(root.resolve(), root.name, into)
        elif root.is_dir():
            _walk(root.resolve(), "", into)
        else:
            raise failed(hook, f"succeeded, but left no artefact at {root}", output=said)
    except OSError as error:
        raise failed(hook, f"succeeded, but its artefact cannot be read: {error}", output=said) from error
    return into.end()


def _walk(folder: Path, above: str, into: ArtifactFolder) -> None:
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        path = f"{above}{entry.name}"
        if entry.is_symlink():
            into.refuse(path, "a symbolic link")
        elif entry.is_dir(follow_symlinks=False):
            _walk(Path(entry.path), f"{path}/", into)
        elif entry.is_file(follow_symlinks=False):
            _copy(Path(entry.path), path, into)
        else:
            into.refuse(path, "a device, a pipe or a socket")


def _copy(source: Path, path: str, into: ArtifactFolder) -> None:
    # Neither a link nor a pipe that took the file's place meanwhile.
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            into.refuse(path, "something that is no plain file")
        into.add(path, file, size_bytes=facts.st_size)
