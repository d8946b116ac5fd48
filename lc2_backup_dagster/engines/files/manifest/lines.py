"""Lines of JSON in streams, cut without holding more than a piece."""

from collections.abc import Iterator

from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster.repository.parts import SupportsRead

_READ_BYTES = 1 << 20
_LONGEST_LINE = 256 << 20


def read_lines(source: SupportsRead, name: str) -> Iterator[bytes]:
    """Yield the lines of a stream, without their line feeds.

    Raises:
        ManifestCorrupt: the last line has no end, or a line is too long to be one.
    """
    rest = b""
    while piece := source.read(_READ_BYTES):
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        if len(rest) > _LONGEST_LINE:
            raise ManifestCorrupt(f"{name} holds a line longer than {_LONGEST_LINE} bytes")
        yield from lines
    if rest:
        raise ManifestCorrupt(f"{name} ends in the middle of a line")
