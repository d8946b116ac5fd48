"""The checksum that follows from what differs is the checksum."""

from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.postgres.base.checksums import Crc32c
from lc2_backup_dagster.engines.postgres.restore.crc_difference import CrcDifference


def crc32c(content: bytes) -> str:
    crc = Crc32c()
    crc.update(content)
    return crc.hexdigest()


@given(
    before=st.binary(min_size=1, max_size=3000),
    repeats=st.integers(1, 50),
    replaced=st.lists(st.tuples(st.integers(0, 150_000), st.binary(min_size=1, max_size=200)), max_size=8),
)
def test_what_differs_and_the_other_checksum_give_the_checksum(before, repeats, replaced):
    before = before * repeats
    after = bytearray(before)
    difference, done = CrcDifference(), 0
    for position, new in sorted(replaced):
        piece = new[: max(0, len(before) - position)]
        if position < done or not piece:
            continue
        done = position + len(piece)
        difference.replaced(position, before[position:done], piece)
        after[position:done] = piece
    assert difference.applied_to(crc32c(before), size_bytes=len(before)) == crc32c(bytes(after))


def test_it_holds_over_a_gigabyte_of_zeros():
    """The positions of one segment file of a relation."""
    difference = CrcDifference()
    difference.replaced(8192, bytes(8192), b"x" * 8192)
    crc = Crc32c()
    for piece in (bytes(8192), b"x" * 8192, *[bytes(1 << 20)] * 1023, bytes((1 << 20) - 16384)):
        crc.update(piece)
    zeros = Crc32c()
    for _ in range(1024):
        zeros.update(bytes(1 << 20))
    assert difference.applied_to(zeros.hexdigest(), size_bytes=1 << 30) == crc.hexdigest()
