"""Lines of JSON in streams: cut without holding more than a piece, and compared without decoding what is equal."""

import json
from collections.abc import Iterable, Iterator

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


def lines_not_in(lines: Iterable[bytes], others: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of one files manifest that another one does not have just so.

    An incremental backup takes over the line of an unchanged file as it stands, so nearly all lines of two
    neighbours are equal, and only the others are decoded to learn their order.

    Args:
        lines: of the one, ascending by file key.
        others: of the other, ascending by file key.
    """
    remaining = iter(others)
    other = next(remaining, None)
    for line in lines:
        if line != other:
            key = _key(line)
            while other is not None and _key(other) < key:
                other = next(remaining, None)
            if line != other:
                yield line
                continue
        other = next(remaining, None)


def _key(line: bytes) -> str:
    # A line that is no entry is told by whoever decodes it; here it only must not end the comparison.
    try:
        return str(json.loads(line)["k"])
    except (ValueError, KeyError, TypeError):
        return ""
