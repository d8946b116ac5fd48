"""Lines of a manifest read by their front: the same files as decoding each line gives."""

import json
from datetime import UTC, datetime
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.manifest.entry import decode_entries, encode_entries, encode_entry
from lc2_backup_dagster.engines.files.manifest.entry_lines import entry_lines
from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster_tests.engines.files.library import an_entry

KEYS = st.text(st.one_of(st.characters(), st.sampled_from('"\\/{}:,')), min_size=1, max_size=8)


@given(st.sets(KEYS, max_size=6), st.integers(0, 2**50), st.datetimes(timezones=st.just(UTC)))
def test_key_size_and_time_are_those_of_the_whole_entry(keys: set[str], size: int, modified: datetime) -> None:
    from lc2_backup_dagster.engines.files.manifest.entry import Copied

    entries = [an_entry(key, Copied("ab" * 32), size_bytes=size, modified=modified) for key in sorted(keys)]
    lines = list(entry_lines(BytesIO(encode_entries(entries)), name="files"))

    assert [line.entry() for line in lines] == entries
    assert [(line.key, line.size_bytes, line.modified) for line in lines] == [
        (entry.key, entry.size_bytes, entry.modified) for entry in entries
    ]


def test_a_line_that_another_writer_wrote_is_read_as_well() -> None:
    """FORMAT.md: lines need not be canonical, so their fields may stand in any order."""
    row = json.loads(encode_entry(an_entry("ä/b")))
    foreign = json.dumps(dict(sorted(row.items(), reverse=True)), indent=None, ensure_ascii=False).encode() + b"\n"

    [line] = entry_lines(BytesIO(foreign), name="files")

    assert (line.key, line.size_bytes) == ("ä/b", 3)
    assert line.entry() == next(decode_entries(BytesIO(foreign), name="files"))


def test_a_stream_that_is_cut_begins_behind_its_first_line_feed() -> None:
    whole = encode_entries([an_entry(key) for key in "abc"])

    assert [line.key for line in entry_lines(BytesIO(whole[10:]), name="files", cut=True)] == ["b", "c"]
    assert list(entry_lines(BytesIO(b"the end of the last line\n"), name="files", cut=True)) == []


@pytest.mark.parametrize(
    "stream",
    [
        encode_entries([an_entry("b"), an_entry("a")]),
        encode_entries([an_entry("a"), an_entry("a")]),
        encode_entries([an_entry("a")])[:-1],
        b'{"k":"\\x","s":1,"t":1,"l":[]}\n',
        b'{"k":"\xff","s":1,"t":1,"l":[]}\n',
        b"no entry\n",
    ],
)
def test_what_is_no_sorted_list_of_entries_is_refused(stream: bytes) -> None:
    with pytest.raises(ManifestCorrupt):
        list(entry_lines(BytesIO(stream), name="files"))
