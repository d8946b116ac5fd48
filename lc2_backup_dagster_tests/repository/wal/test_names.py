"""Names of segments for every size, and ways of timelines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.repository.wal.names import (
    lsn_text,
    lsn_value,
    next_segment,
    parse_segment,
    segment_name,
    segment_start,
)
from lc2_backup_dagster.repository.wal.timelines import timeline_path

MIB = 1 << 20
SIZES = st.sampled_from([MIB << power for power in range(11)])
HISTORY = b"# a comment\n1\t0/5000028\tno recovery target specified\n\n2\t0/9000000\tbefore 2026-11-23 02:00:00+00\n"


@pytest.mark.parametrize(
    ("lsn", "segment_bytes", "name"),
    [
        ("0/1000000", 16 * MIB, "000000010000000000000001"),
        ("0/1FFFFFF", 16 * MIB, "000000010000000000000001"),
        ("1/0", 16 * MIB, "000000010000000100000000"),
        ("16/B374D848", 16 * MIB, "0000000100000016000000B3"),
        ("0/1000000", MIB, "000000010000000000000010"),
        ("1/40000000", 1024 * MIB, "000000010000000100000001"),
    ],
)
def test_a_segment_has_the_name_that_postgresql_gives_it(lsn, segment_bytes, name):
    """As ``pg_walfile_name`` says."""
    assert segment_name(1, lsn_value(lsn), segment_bytes) == name


@given(st.integers(1, 0xFFFFFFFF), st.integers(0, (1 << 60) - 1), SIZES)
def test_a_name_says_where_its_segment_begins(timeline, lsn, segment_bytes):
    name = segment_name(timeline, lsn, segment_bytes)
    start = segment_start(lsn, segment_bytes)
    assert parse_segment(name, segment_bytes) == (timeline, start)
    assert parse_segment(next_segment(name, segment_bytes), segment_bytes) == (timeline, start + segment_bytes)
    assert name < next_segment(name, segment_bytes)


@given(st.integers(0, (1 << 64) - 1))
def test_a_position_survives_its_text(value):
    assert lsn_value(lsn_text(value)) == value


@pytest.mark.parametrize("name", ["", "00000001000000000000000g", "000000010000000000000001.partial", "x" * 24])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="not the name of a WAL segment"):
        parse_segment(name, 16 * MIB)


def test_a_name_of_another_segment_size_is_refused():
    with pytest.raises(ValueError, match="of 1073741824 bytes"):
        parse_segment("000000010000000000000010", 1024 * MIB)
    with pytest.raises(ValueError, match="is no size"):
        segment_name(1, 0, 3 * MIB)


def test_a_history_file_tells_the_way():
    path = timeline_path(3, HISTORY)
    assert [(leg.timeline, leg.begins_at, leg.left_at) for leg in path.legs] == [
        (1, 0, 0x5000028),
        (2, 0x5000028, 0x9000000),
        (3, 0x9000000, None),
    ]
    assert [path.timeline_at(lsn) for lsn in (0x5000028, 0x5000029, 0x9000000, 0x9000001)] == [1, 2, 2, 3]
    assert path.holds(1, 0x5000028)
    assert not path.holds(1, 0x5000029)
    assert not path.holds(2, 0x5000000)


def test_the_segment_in_which_a_timeline_begins_is_the_new_ones():
    path = timeline_path(3, HISTORY)
    assert [path.serving(start * 16 * MIB, 16 * MIB).timeline for start in (4, 5, 6, 8, 9)] == [1, 2, 2, 2, 3]


@pytest.mark.parametrize(
    "content", [b"x\t0/1\n", b"1\n", b"5\t0/1\n", b"2\t0/9\tx\n1\t0/10\tx\n", b"1\t0/9\tx\n2\t0/8\tx\n"]
)
def test_what_is_no_history_is_refused(content):
    with pytest.raises(ValueError, match="history"):
        timeline_path(3, content)
