"""A recovery sees exactly the WAL of a coverage: nothing behind its end, nothing that arrives later."""

import pytest

from lc2_backup_dagster.model.errors import PartMissing
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.operations.wal.coverage import WalCoverage
from lc2_backup_dagster.operations.wal.source import ArchivedWalSource
from lc2_backup_dagster.repository.wal.names import segment_name

MIB = 1024 * 1024


def name(number: int, *, timeline: int = 1) -> str:
    return segment_name(timeline, number * MIB, MIB)


class Archive:
    """Segments of a mebibyte, of the byte 1; of one there is only half."""

    def __init__(self, *missing: str):
        self.missing = missing

    def read_segment(self, segment):
        if segment in self.missing:
            raise PartMissing(f"{segment} is gone")
        return b"\1" * MIB

    def read_partial(self, segment, end_lsn):
        return b"\2" * (end_lsn % MIB)

    def history(self, timeline):
        return b"1\t0/3000000\n" if timeline == 2 else None


def a_source(archive=None, *, end: int, segments: tuple[str, ...], partial: tuple[str, int] | None = None):
    coverage = WalCoverage(
        "1", Lsn(2 * MIB, 1), Lsn(end, 1), ((1, None),), segments, partial, None, None, None, archive or Archive()
    )
    return ArchivedWalSource(coverage, segment_bytes=MIB)


def test_the_partial_segment_is_filled_up_with_zeros():
    source = a_source(end=4 * MIB + 100, segments=(name(2), name(3)), partial=(name(4), 4 * MIB + 100))
    assert source.fetch(name(3)) == b"\1" * MIB
    assert source.fetch(name(4)) == b"\2" * 100 + bytes(MIB - 100)
    assert source.fetch(name(5)) is None
    assert list(source.upcoming(name(2))) == [name(3), name(4)]


def test_what_the_old_timeline_wrote_after_it_was_left_is_cut_off():
    """A promotion at the coverage's end, and the old server went on in the same segment (L-14)."""
    source = a_source(end=3 * MIB + 500, segments=(name(2), name(3)))
    assert source.fetch(name(3)) == b"\1" * 500 + bytes(MIB - 500)


def test_a_segment_that_vanished_is_an_alarm_and_not_the_end():
    source = a_source(Archive(name(3), name(1)), end=4 * MIB, segments=(name(2), name(3)))
    with pytest.raises(PartMissing):
        source.fetch(name(3))
    assert source.fetch(name(1)) is None  # before the coverage; the backup brings it


def test_history_files_are_served():
    source = a_source(end=3 * MIB, segments=(name(2),))
    assert source.fetch("00000002.history") == b"1\t0/3000000\n"
    assert source.fetch("00000003.history") is None
