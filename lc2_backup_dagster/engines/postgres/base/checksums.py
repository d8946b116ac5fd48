"""Checksums as they stand in ``backup_manifest``: CRC32C by default, or one of the SHA-2 family."""

import hashlib
import os
from pathlib import Path
from typing import Protocol

from lc2_backup_dagster.model.errors import IntegrityError

_CHUNK_BYTES = 1 << 20
# The library takes nothing but bytes. Pieces of this size stay in the processor's cache while they are copied; much
# larger copies would each get fresh pages from the operating system, which costs more than the checksum.
_COPIED_BYTES = 1 << 16


class Checksum(Protocol):
    """A checksum in progress."""

    def update(self, chunk: memoryview | bytes, /) -> object:
        """Take the next piece."""
        ...

    def hexdigest(self) -> str:
        """Return it as it stands in a manifest."""
        ...


class Crc32c:
    """CRC-32C (Castagnoli)."""

    def __init__(self) -> None:
        from google_crc32c import extend

        self._extend = extend
        self._value = 0

    def update(self, chunk: memoryview | bytes, /) -> None:
        """Take the next piece."""
        if isinstance(chunk, bytes):
            self._value = self._extend(self._value, chunk)
            return
        for at in range(0, len(chunk), _COPIED_BYTES):
            self._value = self._extend(self._value, bytes(chunk[at : at + _COPIED_BYTES]))

    def hexdigest(self) -> str:
        """Return the four bytes as PostgreSQL writes them: in the memory order of a little-endian machine."""
        return self._value.to_bytes(4, "little").hex()


def new_checksum(algorithm: str | None) -> Checksum | None:
    """Begin a checksum, or return None where a manifest has none.

    Raises:
        IntegrityError: PostgreSQL knows no such algorithm.
    """
    if algorithm is None or algorithm == "NONE":
        return None
    if algorithm == "CRC32C":
        return Crc32c()
    if algorithm in ("SHA224", "SHA256", "SHA384", "SHA512"):
        return hashlib.new(algorithm.lower())
    raise IntegrityError(f"backup_manifest has checksums of an unknown kind, {algorithm}")


def file_checksum(path: Path, algorithm: str | None) -> tuple[int, str | None]:
    """Return size and checksum of a file."""
    checksum, size = new_checksum(algorithm), 0
    with path.open("rb", buffering=0) as file:
        if checksum is None:
            return os.fstat(file.fileno()).st_size, None
        while chunk := file.read(_CHUNK_BYTES):
            checksum.update(chunk)
            size += len(chunk)
    return size, checksum.hexdigest()
