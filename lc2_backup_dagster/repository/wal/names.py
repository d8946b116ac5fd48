"""Names of WAL segments and what they mean, for any segment size. Pure.

Source: PostgreSQL manual, chapter "WAL Internals": a name is timeline, high and low half of the segment's number, each
in eight upper-case hex digits; the low half counts the segments of 4 GiB.
"""

import re

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_TIMELINE = re.compile(r"[0-9A-F]{8}")
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_SMALLEST_BYTES = 1 << 20
_LARGEST_BYTES = 1 << 30


def is_segment_name(text: str) -> bool:
    """Say whether a text has the form of a segment's name."""
    return _SEGMENT.fullmatch(text) is not None


def is_timeline(text: str) -> bool:
    """Say whether a text is a timeline as names begin with it."""
    return _TIMELINE.fullmatch(text) is not None


def segment_start(lsn_value: int, segment_bytes: int) -> int:
    """Return the position where the segment that holds a position begins."""
    _require_size(segment_bytes)
    return lsn_value - lsn_value % segment_bytes


def segment_name(timeline: int, lsn_value: int, segment_bytes: int) -> str:
    """Return the name of the segment that holds the byte at a position.

    Args:
        timeline: the timeline.
        lsn_value: a position; one at a boundary belongs to the segment that begins there.
        segment_bytes: the server's ``wal_segment_size``.
    """
    _require_size(segment_bytes)
    number = lsn_value // segment_bytes
    per_high = (1 << 32) // segment_bytes
    return f"{timeline:08X}{number // per_high:08X}{number % per_high:08X}"


def parse_segment(name: str, segment_bytes: int) -> tuple[int, int]:
    """Return timeline and first position of a segment.

    Raises:
        ValueError: not a segment's name, or not one of this segment size.
    """
    _require_size(segment_bytes)
    if not is_segment_name(name):
        raise ValueError(f"'{name}' is not the name of a WAL segment")
    timeline, high, low = (int(name[at : at + 8], 16) for at in (0, 8, 16))
    if low >= (1 << 32) // segment_bytes:
        raise ValueError(f"'{name}' is not the name of a WAL segment of {segment_bytes} bytes")
    return timeline, (high << 32) + low * segment_bytes


def next_segment(name: str, segment_bytes: int) -> str:
    """Return the name of the segment that follows on the same timeline."""
    timeline, start = parse_segment(name, segment_bytes)
    return segment_name(timeline, start + segment_bytes, segment_bytes)


def lsn_text(value: int) -> str:
    """Return a position as PostgreSQL writes it."""
    return f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"


def lsn_value(text: str) -> int:
    """Read a position as PostgreSQL writes it.

    Raises:
        ValueError: not of that form.
    """
    match = _LSN.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is not a log sequence number")
    return (int(match[1], 16) << 32) | int(match[2], 16)


def _require_size(segment_bytes: int) -> None:
    if not _SMALLEST_BYTES <= segment_bytes <= _LARGEST_BYTES or segment_bytes & (segment_bytes - 1):
        raise ValueError(f"{segment_bytes} is no size of WAL segments: a power of two from 1 MiB to 1 GiB")
