"""What runs a hook, and where its lines go."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lc2_backup_dagster.engines.hooks.hook import ArtifactFacts, Hook, Output

Say = Callable[[str], None]
"""Takes a line for the log, without secrets."""


@dataclass(frozen=True, slots=True)
class Done:
    """A hook that a runner has carried out: what it said, and what its artefact is (None where none was asked for)."""

    output: Output
    artifact: ArtifactFacts | None = None


class HookRunner(Protocol):
    """Runs commands in one place."""

    def run(self, hook: Hook, *, run: str, artifact: Path | None, say: Say) -> Done:
        """Carry a hook out to its end, and leave nothing of it running.

        Args:
            hook: what is to be done.
            run: names the run that asks; what another try of the same run left behind is replaced.
            artifact: an empty folder that the hook's artefact is put into, as plain files; None where none is wanted.
            say: told what the command says, as it comes.

        Raises:
            HookTimedOut: its time was over.
            HookFailed: it could not be started, failed, or left no usable artefact.
            AccessDenied: we may not run anything there.
            ServiceUnavailable: the place cannot be reached right now; nothing was run.
        """
        ...
