"""What an artefact may be: plain files and folders, of bounded number and size. All else is refused, not skipped.

A link in an artefact would make a backup of something else than what the hook wrote, and a file that is silently left
out would be missing after a restore.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from lc2_backup_dagster.engines.hooks.failure import failed
from lc2_backup_dagster.engines.hooks.hook import ArtifactFacts, Hook, Output

MAX_BYTES = 1 << 30
MAX_FILES = 200_000
_CHUNK_BYTES = 1 << 20


class ReadsBytes(Protocol):
    """The content of a file."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; nothing at the end."""
        ...


@dataclass(slots=True)
class ArtifactFolder:
    """Takes the files of one artefact into an empty folder, and refuses what must not be among them.

    Args:
        hook: whose.
        folder: the empty folder.
        output: what the hook said, for errors.
        max_bytes: most bytes of all files.
        max_files: most files.
    """

    hook: Hook
    folder: Path
    output: Output
    max_bytes: int = MAX_BYTES
    max_files: int = MAX_FILES
    _files: int = 0
    _bytes: int = 0

    def add(self, path: str, source: ReadsBytes, *, size_bytes: int) -> None:
        """Write one file.

        Args:
            path: relative to the artefact, with slashes.
            source: its content.
            size_bytes: how long it is said to be.

        Raises:
            HookFailed: the path leads out of the folder, or the artefact becomes too large.
        """
        target = self.folder / self._checked(path)
        self._files += 1
        if self._files > self.max_files:
            raise self._refused(f"has more than {self.max_files} files")
        if self._bytes + size_bytes > self.max_bytes:
            raise self._refused(f"is larger than {self.max_bytes} bytes")
        target.parent.mkdir(parents=True, exist_ok=True)
        left = size_bytes
        # Exclusive: a name that comes twice is refused, and nothing is written through a link.
        try:
            with target.open("xb") as file:
                while left > 0 and (chunk := source.read(min(left, _CHUNK_BYTES))):
                    left -= len(chunk)
                    file.write(chunk)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise self._refused(f"has '{path}' twice, or as file and folder") from error
        self._bytes += size_bytes - left
        if left > 0:
            raise self._refused(f"changed while it was read: '{path}' lacks {left} bytes")

    def refuse(self, path: str, kind: str) -> None:
        """Refuse an entry that is no plain file and no folder.

        Raises:
            HookFailed: always.
        """
        raise self._refused(f"has {kind}: '{path}'", hint="let the hook write plain files only")

    def end(self) -> ArtifactFacts:
        """Return what the artefact is.

        Raises:
            HookFailed: it has no file.
        """
        if self._files == 0:
            raise self._refused("is empty", hint="look at the command's output: did it write somewhere else?")
        return ArtifactFacts(self._files, self._bytes)

    def _checked(self, path: str) -> PurePosixPath:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or ".." in parts or path.startswith("/") or "\0" in path:
            raise self._refused(f"has a file that lies outside of it: '{path}'")
        return PurePosixPath(*parts)

    def _refused(self, what: str, *, hint: str | None = None) -> Exception:
        return failed(
            self.hook, f"succeeded, but its artefact {self.hook.artifact_path} {what}", output=self.output, hint=hint
        )
