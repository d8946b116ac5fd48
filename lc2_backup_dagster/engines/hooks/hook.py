"""What a hook is, and what came of it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Hook:
    """A command that runs before a backup.

    Attributes:
        name: unique within its site; a folder and a part of a Job are named after it.
        command: program and arguments; no shell reads them.
        timeout_seconds: how long it may take.
        store_artifact: whether what it leaves at ``artifact_path`` is kept.
        artifact_path: absolute path of a file or a folder, where the command runs.
    """

    name: str
    command: tuple[str, ...]
    timeout_seconds: int = 300
    store_artifact: bool = False
    artifact_path: str | None = None


@dataclass(frozen=True, slots=True)
class ArtifactFacts:
    """An artefact as it lies on this machine.

    Attributes:
        files: how many plain files it has, at least one.
        size_bytes: of all of them.
    """

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said, without secrets, standard output and standard error as they came.

    Attributes:
        text: the beginning and the end, with a line between them that says what is missing.
        written_bytes: of all of it.
        dropped_bytes: how many of them ``text`` lacks.
    """

    text: str
    written_bytes: int
    dropped_bytes: int

    def last_lines(self, count: int = 12, *, characters: int = 300) -> str:
        """Return the last lines that are not empty, joined by `` | ``, each cut to ``characters``."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return " | ".join(line if len(line) <= characters else f"{line[:characters]}…" for line in lines[-count:])


@dataclass(frozen=True, slots=True)
class HookOutcome:
    """What came of a hook that succeeded.

    Attributes:
        name: of the hook.
        seconds: how long it took, with fetching its artefact.
        output: what it said.
        artifact: folder with its artefact as plain files, or None where none is stored.
        facts: of the artefact, or None where none is stored.
    """

    name: str
    seconds: float
    output: Output
    artifact: Path | None = None
    facts: ArtifactFacts | None = None
