"""The tar of an export: what stands around each document, the same for the same documents on every day.

POSIX (pax) headers, as any ``tar`` reads them. No times, no owners: an export says what the configuration was, not who
wrote it when, and equal exports are equal bytes.
"""

import tarfile

_BLOCK = 512
END = bytes(2 * _BLOCK)
"""What follows the last document."""


def member_header(path: str, size_bytes: int) -> bytes:
    """Return all header blocks of a document; its content begins behind them."""
    member = tarfile.TarInfo(path)
    member.size = size_bytes
    member.mode = 0o644
    member.mtime = 0
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size_bytes: int) -> bytes:
    """Return what follows a content up to the next block."""
    return bytes(-size_bytes % _BLOCK)
