"""What this engine asks of its callers: an application's documents, and a place to write streams to."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from lc2_backup_dagster.engines.exports.document import Document
from lc2_backup_dagster.repository.parts import Stream

Progress = Callable[[int, int], None]
"""Called with the documents and the bytes taken so far."""


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """What an application tells of its export beyond the documents.

    Attributes:
        details: facts for the manifest, JSON values without secrets.
        unexported: what the application could not export, ``(name, reason)``. Not empty makes the export partial.
    """

    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    unexported: tuple[tuple[str, str], ...] = ()


class ExportSource(Protocol):
    """An application's configuration, as documents."""

    def documents(self) -> Iterator[Document]:
        """Yield every document once, in any order, holding no more than one of them.

        Raises:
            BackupError: not all could be had; what was yielded before is thrown away.
        """
        ...

    def facts(self) -> ExportFacts:
        """Return what was learned on the way; asked for once, after the last document."""
        ...


class PushedStream(Protocol):
    """A stream that is written piece by piece."""

    @property
    def stream(self) -> Stream:
        """The finished stream; only after the writer was left without an error."""
        ...

    def write(self, data: bytes, /) -> None:
        """Take bytes; may block while parts are in flight."""
        ...


class OpenStream(Protocol):
    """Opens a stream of the backup for writing; ``Attempt.stream_writer`` is one."""

    def __call__(self, name: str, /) -> AbstractContextManager[PushedStream]:
        """Return the writer, to be left when the stream is complete."""
        ...
