"""The tar scanner against Python's own tarfile, with streams cut anywhere."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.postgres.base.tar_index import TarMember, TarScanner
from lc2_backup_dagster.model.errors import IntegrityError

NAMES = st.one_of(
    st.from_regex(r"[a-z]{1,8}(/[a-zäß. ]{1,40}){0,7}[a-z]", fullmatch=True),
    st.integers(90, 300).map(lambda n: "long/" + "x" * n),
)


@st.composite
def archives(draw):
    names = draw(st.lists(NAMES, unique=True, max_size=8))
    form = draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    members = []
    for name in names:
        kind = draw(st.sampled_from([tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE]))
        size = draw(st.sampled_from([0, 1, 511, 512, 513, 1024, 5000])) if kind == tarfile.REGTYPE else 0
        mtime = draw(st.sampled_from([0, 1_700_000_000, 1.5]))
        members.append((name, kind, bytes([draw(st.integers(0, 255))]) * size, mtime))
    return form, members


def a_tar(form, members) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for name, kind, content, mtime in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mtime = kind, len(content), mtime
            info.linkname = "to/" + "y" * 150 if kind == tarfile.SYMTYPE else ""
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


class Content:
    def __init__(self):
        self.body, self.closed = b"", False

    def write(self, chunk):
        self.body += chunk

    def close(self):
        self.closed = True


def scan(raw: bytes, cuts) -> list[tuple[TarMember, Content]]:
    found = []

    def on_member(member):
        found.append((member, Content()))
        return found[-1][1]

    scanner = TarScanner(on_member)
    position = 0
    for size in cuts:
        scanner.feed(raw[position : position + size])
        position += size
    scanner.feed(raw[position:])
    scanner.finish()
    return found


@given(archive=archives(), cuts=st.lists(st.integers(0, 3000), max_size=30))
def test_any_archive_cut_anywhere_is_read_as_tarfile_reads_it(archive, cuts):
    raw = a_tar(*archive)
    found = scan(raw, cuts)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        expected = tar.getmembers()
        assert len(found) == len(expected)
        for (member, content), info in zip(found, expected, strict=True):
            assert member.path == info.name
            assert member.typeflag == info.type.decode()
            assert (member.size, member.offset) == (info.size if info.isfile() else 0, info.offset_data)
            assert (member.mtime, member.linkname) == (int(info.mtime), info.linkname)
            assert content.body == (tar.extractfile(info).read() if info.isfile() else b"")
            assert content.closed
            assert raw[member.offset : member.offset + member.size] == content.body
            assert TarMember.from_line(member.to_line()) == member


@given(archive=archives(), data=st.data())
def test_an_archive_that_ends_too_early_is_refused(archive, data):
    raw = a_tar(*archive)
    end = max((member.offset + -(-member.size // 512) * 512 for member, _ in scan(raw, [])), default=0)
    keep = data.draw(st.integers(0, end + 1023))
    with pytest.raises(IntegrityError):
        scan(raw[:keep], [])


def test_a_member_of_8_gib_and_more_is_understood():
    info = tarfile.TarInfo("base/1/big")
    info.size = 9 * 2**30
    seen = []
    scanner = TarScanner(lambda member: seen.append(member))
    scanner.feed(info.tobuf(format=tarfile.GNU_FORMAT))
    assert seen[0].size == 9 * 2**30
    with pytest.raises(IntegrityError, match="too early"):
        scanner.finish()


def test_a_flipped_bit_in_a_header_is_noticed():
    raw = bytearray(a_tar(tarfile.GNU_FORMAT, [("one", tarfile.REGTYPE, b"x" * 600, 0)]))
    raw[3] ^= 1
    with pytest.raises(IntegrityError, match="checksum"):
        scan(bytes(raw), [])


def test_rubbish_is_no_tar_stream():
    with pytest.raises(IntegrityError):
        scan(b"this is no tar" * 100, [])
