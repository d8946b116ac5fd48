"""Bodies of answers that prove themselves: what Amazon's own service keeps a checksum of is compared with it."""

import binascii
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

from lc2_backup_dagster.model.errors import StoreUnavailable


class Body(Protocol):
    """What an object's content is read from."""

    def read(self, size: int | None = None, /) -> bytes:
        """Return up to ``size`` bytes, all that is left when None."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _crc32c() -> _Digest:
    import google_crc32c

    return google_crc32c.Checksum()


# CRC-64/NVME is left out: nothing here computes it, and boto3 cannot either without a further library.
_DIGESTS: Mapping[str, Any] = {
    "ChecksumCRC32": _Crc32,
    "ChecksumCRC32C": _crc32c,
    "ChecksumSHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "ChecksumSHA256": hashlib.sha256,
}


def digests(answer: Mapping[str, Any]) -> tuple[_Digest, bytes] | None:
    """Return a digest that can check the whole content, and what it must come to; None when there is none."""
    if answer.get("ChecksumType") == "COMPOSITE":
        return None
    for name, make in _DIGESTS.items():
        value = answer.get(name)
        if value and "-" not in value:
            return make(), binascii.a2b_base64(value)
    return None


class CheckedBody:
    """Refuses its end when the bytes do not come to the checksum.

    Args:
        body: the content.
        length: of the content.
        digest: fresh, of the checksum's kind.
        expected: what it must come to.
    """

    def __init__(self, body: Body, length: int, digest: _Digest, expected: bytes) -> None:
        self._body = body
        self._remaining = length
        self._digest = digest
        self._expected = expected

    def read(self, size: int | None = None, /) -> bytes:
        """Return up to ``size`` bytes, all that is left when None.

        Raises:
            StoreUnavailable: at the end, where the content is not what the store keeps a checksum of; its attribute
                ``damaged`` says that going on from here would hide it.
        """
        content = self._body.read(size)
        self._digest.update(content)
        self._remaining -= len(content)
        if self._remaining <= 0 and self._digest.digest() != self._expected:
            raise StoreUnavailable(
                "the content is not that of its checksum, bytes were damaged on the way", damaged=True
            )
        return content

    def close(self) -> None:
        """Give the connection back."""
        self._body.close()
