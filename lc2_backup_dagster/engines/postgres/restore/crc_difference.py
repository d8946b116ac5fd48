"""The CRC-32C of a file from that of another one and from what differs between them.

A CRC is linear over GF(2): the checksums of two messages of one length differ by a value that only the differing bytes
and the number of bytes behind them decide. So the checksum of a file in which some blocks were replaced follows from
the checksum it had and from those blocks, without reading the rest again. ``crc32_combine`` of zlib rests on the same.
"""

from functools import cache

from google_crc32c import value as crc32c

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, with the bits in reverse order as the checksum has them


class CrcDifference:
    """Sums up how a file differs from another one of the same length, from its beginning on."""

    def __init__(self) -> None:
        self._difference = 0
        self._position = 0

    def replaced(self, position: int, old: bytes, new: bytes) -> None:
        """Take note of bytes that differ; positions ascend, and both are of one length."""
        self._forward(position + len(old))
        self._difference ^= crc32c(old) ^ crc32c(new)

    def applied_to(self, checksum: str, *, size_bytes: int) -> str:
        """Return the file's checksum as it stands in a manifest.

        Args:
            checksum: of the other file, as it stands in a manifest.
            size_bytes: length of both.
        """
        self._forward(size_bytes)
        other = int.from_bytes(bytes.fromhex(checksum), "little")
        return (other ^ self._difference).to_bytes(4, "little").hex()

    def _forward(self, position: int) -> None:
        count, power = position - self._position, 0
        self._position = position
        if not self._difference:
            return
        while count:
            if count & 1:
                self._difference = _shifted(self._difference, _tables(power))
            count >>= 1
            power += 1


Tables = tuple[tuple[int, ...], ...]
"""For each of the four bytes of a checksum, what each of its values becomes."""


def _shifted(checksum: int, tables: Tables) -> int:
    first, second, third, fourth = tables
    return first[checksum & 255] ^ second[checksum >> 8 & 255] ^ third[checksum >> 16 & 255] ^ fourth[checksum >> 24]


@cache
def _tables(power: int) -> Tables:
    """Return what becomes of a checksum, without its inversions, when ``2 ** power`` zero bytes follow."""
    columns = [_one_byte_later(1 << bit) for bit in range(32)] if power == 0 else _twice(power - 1)
    tables: list[tuple[int, ...]] = []
    for byte in range(4):
        values = [0] * 256
        for value in range(1, 256):
            lowest = value & -value
            values[value] = values[value ^ lowest] ^ columns[8 * byte + lowest.bit_length() - 1]
        tables.append(tuple(values))
    return tuple(tables)


def _twice(power: int) -> list[int]:
    tables = _tables(power)
    return [_shifted(_shifted(1 << bit, tables), tables) for bit in range(32)]


def _one_byte_later(checksum: int) -> int:
    for _ in range(8):
        checksum = checksum >> 1 ^ (_POLYNOMIAL if checksum & 1 else 0)
    return checksum
