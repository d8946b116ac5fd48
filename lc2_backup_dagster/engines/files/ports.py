"""What this engine needs of the repository, as protocols: ``SiteRepository`` and ``Attempt`` satisfy them."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.parts import Part, Stream
from lc2_backup_dagster.repository.sealing import Sealer

Progress = Callable[[int, int], None]
"""Called with the objects and the plain bytes done so far, from the calling thread, at most about once a second."""


class PushedStream(Protocol):
    """A stream that is written piece by piece; a context manager."""

    @property
    def stream(self) -> Stream:
        """The finished stream; only after the writer was left without an error."""
        ...

    def write(self, data: bytes, /) -> None:
        """Take bytes; may block while parts are in flight."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class CapturingAttempt(Protocol):
    """The running attempt a capture belongs to. ``put_sealed`` is called from several threads."""

    @property
    def backup_id(self) -> str:
        """Unique id of the attempt; no other attempt ever has it."""
        ...

    @property
    def resumes(self) -> tuple[str, ...]:
        """Dead attempts whose finished work may be taken over, oldest first."""
        ...

    def put_sealed(self, key: str, plain: bytes, /) -> Part:
        """Seal, write and read back one object; an equal object at the key is accepted."""
        ...

    def stream_writer(self, name: str, /) -> PushedStream:
        """Open a stream of the backup for writing."""
        ...

    def check_alive(self) -> None:
        """Raise ``Fenced`` when the attempt was superseded."""
        ...


class SiteObjects(Protocol):
    """The part of a site's repository that holds file contents."""

    @property
    def site(self) -> SiteId:
        """Whose files these are."""
        ...

    @property
    def store(self) -> ObjectStore:
        """The store of the repository."""
        ...

    @property
    def sealer(self) -> Sealer:
        """Opens sealed objects whose hashes no manifest holds (journals)."""
        ...

    def read_sealed(self, key: str, part: Part, /, *, key_id: str | None) -> bytes:
        """Fetch, prove and open one object.

        Raises:
            PartMissing: certainly absent.
            PartCorrupt: other bytes than promised.
        """
        ...
