"""Files with holes: ranges that take no room on disk and read as zeros.

Holes are asked for, not read (``lseek`` with ``SEEK_DATA`` and ``SEEK_HOLE``), and zeros are written as holes. A file
system without holes answers that everything is data.
"""

import errno
import os
from collections.abc import Iterator

_BLOCK_BYTES = 64 << 10
_ZEROS = bytes(_BLOCK_BYTES)


def has_holes(status: os.stat_result) -> bool:
    """Say whether a file may have holes: it takes less room than it is long. Costs nothing."""
    return status.st_blocks * 512 < status.st_size


def extent_at(file: int, position: int, size_bytes: int) -> tuple[bool, int]:
    """Say whether a hole lies at a position of an open file, and where it, or the data there, ends.

    Args:
        file: descriptor; its own position is moved.
        position: below ``size_bytes``.
        size_bytes: length of the file.
    """
    try:
        data = os.lseek(file, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole up to the end
            return True, size_bytes
        if error.errno != errno.EINVAL:
            raise
        return False, size_bytes  # a file system that cannot tell
    if data > position:
        return True, min(data, size_bytes)
    return False, min(os.lseek(file, position, os.SEEK_HOLE), size_bytes)


def data_ranges(file: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of everything in an open file that is no hole; its own position is moved."""
    position = 0
    while position < size_bytes:
        hole, end = extent_at(file, position, size_bytes)
        if not hole:
            yield position, end
        position = end


def write_all(file: int, body: bytes | memoryview) -> None:
    """Write every byte; the system may take fewer at once."""
    rest = memoryview(body)
    while rest:
        rest = rest[os.write(file, rest) :]


def write_with_holes(file: int, content: bytes) -> None:
    """Write at the position of an open new file, and only move it where 64 KiB are zeros.

    ``os.ftruncate`` to the length of everything must follow, because a hole at the end is not there without it.
    """
    view, start = memoryview(content), 0
    for begin in range(0, len(content), _BLOCK_BYTES):
        end = min(begin + _BLOCK_BYTES, len(content))
        # Looking at both ends first spares comparing most blocks that are no zeros.
        if not content[begin] and not content[end - 1] and content[begin:end] == _ZEROS[: end - begin]:
            write_all(file, view[start:begin])
            os.lseek(file, end - begin, os.SEEK_CUR)
            start = end
    write_all(file, view[start:])
