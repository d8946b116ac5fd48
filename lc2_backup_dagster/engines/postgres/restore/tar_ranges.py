"""Cut a tar at the boundaries of its members, from its index, so that several lanes can unpack it at once.

The index need not be believed. The ranges follow each other from the first byte to the last, and each is scanned from
its first byte; a scan that began at a member and ended between two has found every boundary on its way. So if all scans
end where their ranges end, each of them began at a member, and together they have seen what one scan would have seen.
"""

from dataclasses import dataclass

from lc2_backup_dagster.engines.postgres.base.tar_index import TarMember
from lc2_backup_dagster.engines.postgres.ports import SupportsRead
from lc2_backup_dagster.model.errors import IntegrityError

_BLOCK = 512
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TarRange:
    """A piece of a tar stream.

    Attributes:
        start: first byte; a member begins there.
        end: the byte behind the last one.
        is_last: whether the archive ends in it.
    """

    start: int
    end: int
    is_last: bool

    @property
    def size_bytes(self) -> int:
        """Its length."""
        return self.end - self.start


def cut_tar(index: SupportsRead, *, tar_bytes: int, range_bytes: int) -> list[TarRange]:
    """Return ranges of at least that many bytes, but for the last; one member is never cut.

    Args:
        index: lines of ``TarMember``, in the order of the stream.
        tar_bytes: length of the tar.
        range_bytes: how long a range should be.

    Raises:
        IntegrityError: the index is unreadable, or of another tar.
    """
    ranges: list[TarRange] = []
    start = end = 0
    rest = b""
    while chunk := index.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            behind = _behind(line)
            if not end < behind < tar_bytes:
                raise IntegrityError(f"the index of a base backup does not fit its tar: {line!r}")
            end = behind
            if end - start >= range_bytes:
                ranges.append(TarRange(start, end, is_last=False))
                start = end
    if rest:
        raise IntegrityError("the index of a base backup ends in the middle of a line")
    return [*ranges, TarRange(start, tar_bytes, is_last=True)]


def _behind(line: bytes) -> int:
    """Return where the member behind this one begins."""
    try:
        member = TarMember.from_line(line)
        return member.offset + member.size + -member.size % _BLOCK
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"the index of a base backup is unreadable: {error}") from error
