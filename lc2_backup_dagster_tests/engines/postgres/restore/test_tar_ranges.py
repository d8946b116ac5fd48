"""A tar read in ranges is the tar read as one; an index that names other boundaries is noticed."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.postgres.base.tar_index import TarMember, TarScanner
from lc2_backup_dagster.engines.postgres.restore.tar_ranges import TarRange, cut_tar
from lc2_backup_dagster.model.errors import IntegrityError
from lc2_backup_dagster_tests.engines.postgres.base.test_tar_index import Content, a_tar, archives, scan


def index_of(raw: bytes) -> bytes:
    return b"".join(member.to_line() for member, _ in scan(raw, []))


def scan_ranges(raw: bytes, ranges: list[TarRange]) -> list[tuple[TarMember, bytes]]:
    """Scan each range by a scanner of its own, as lanes do."""
    found: list[tuple[TarMember, Content]] = []

    def on_member(member: TarMember) -> Content:
        found.append((member, Content()))
        return found[-1][1]

    for each in ranges:
        scanner = TarScanner(on_member, start=each.start, whole=len(ranges) == 1)
        scanner.feed(raw[each.start : each.end])
        if each.is_last:
            scanner.finish()
        else:
            scanner.finish_between_members()
        assert scanner.position == each.end
    return [(member, content.body) for member, content in found]


@given(archive=archives(), range_bytes=st.sampled_from([1, 2048, 6000, 100_000]))
def test_ranges_hold_what_the_whole_holds(archive, range_bytes):
    raw = a_tar(*archive)
    ranges = cut_tar(io.BytesIO(index_of(raw)), tar_bytes=len(raw), range_bytes=range_bytes)
    assert [each.start for each in ranges] == [0, *(each.end for each in ranges[:-1])]
    assert (ranges[-1].end, [each.is_last for each in ranges].count(True)) == (len(raw), 1)
    assert all(each.size_bytes >= range_bytes for each in ranges[:-1])
    assert scan_ranges(raw, ranges) == [(member, content.body) for member, content in scan(raw, [])]


@given(archive=archives(), data=st.data())
def test_boundaries_at_which_no_member_begins_are_refused(archive, data):
    """Only the true boundaries scan to their ends, whatever an index says."""
    raw = a_tar(*archive)
    true = {0, *(each.end for each in cut_tar(io.BytesIO(index_of(raw)), tar_bytes=len(raw), range_bytes=1))}
    boundary = data.draw(st.integers(1, len(raw) // 512 - 1).map(lambda block: block * 512))
    ranges = [TarRange(0, boundary, is_last=False), TarRange(boundary, len(raw), is_last=True)]
    if boundary in true:
        assert len(scan_ranges(raw, ranges)) == len(scan(raw, []))
    else:
        with pytest.raises(IntegrityError):
            scan_ranges(raw, ranges)


def an_archive() -> bytes:
    return a_tar(tarfile.GNU_FORMAT, [("one", tarfile.REGTYPE, b"x" * 600, 0), ("two", tarfile.REGTYPE, b"y" * 600, 0)])


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"offset":', b'"begin":'),
        (b'"size":600', b'"size":"600"'),
        (b'"size":600', b'"size":60000000'),
        (b'"offset":2048', b'"offset":512'),
        (b"}\n", b"\n"),
        (b'"mode":420}\n', b""),
    ],
)
def test_an_index_that_is_none_or_of_another_tar_is_refused(good, bad):
    raw = an_archive()
    index = index_of(raw)
    assert good in index
    with pytest.raises(IntegrityError):
        cut_tar(io.BytesIO(index.replace(good, bad)), tar_bytes=len(raw), range_bytes=1)


def test_a_header_for_all_members_is_refused_in_a_range():
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "for all"}) as tar:
        tar.addfile(tarfile.TarInfo("one"))
    raw = target.getvalue()
    assert [member.path for member, _ in scan(raw, [])] == ["one"]
    with pytest.raises(IntegrityError, match="header for all"):
        TarScanner(lambda member: None, whole=False).feed(raw)
