"""Increments of single files, newest first: what they leave, change, cut off and add, whatever pieces they come in."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.engines.postgres.base.backup_manifest import ManifestFile
from lc2_backup_dagster.engines.postgres.base.checksums import Crc32c
from lc2_backup_dagster.engines.postgres.restore.chain_plan import plan_chain
from lc2_backup_dagster.engines.postgres.restore.increments import (
    PAGE_BYTES,
    ChangedFile,
    IncrementSink,
    UnderlyingSink,
    final_path,
    unchanged_content,
)
from lc2_backup_dagster.model.errors import ChainBroken, IntegrityError


def a_page(byte: int) -> bytes:
    return bytes([byte]) * PAGE_BYTES


def an_increment(blocks: dict[int, bytes], *, truncation: int) -> bytes:
    """Build a file as PostgreSQL's server sends it."""
    head = struct.pack(f"=III{len(blocks)}I", 0xD3AE1F0D, len(blocks), truncation, *blocks)
    return head + (b"\0" * (-len(head) % PAGE_BYTES) if blocks else b"") + b"".join(blocks.values())


def fed(sink, content: bytes, piece_bytes: int) -> None:
    try:
        for at in range(0, len(content), piece_bytes):
            sink.write(memoryview(content)[at : at + piece_bytes])
        sink.close()
    except BaseException:
        sink.abandon()
        raise


def put_together(path, full: bytes, increments: list[bytes], *, piece_bytes: int = 1 << 20, compare: bool = False):
    """Put a file together from a full backup and increments, oldest first; return what is told of the result."""
    changed = ChangedFile("base/1/1", compare=compare)
    if not compare:
        path.write_bytes(b"")
    for increment in reversed(increments):
        fed(IncrementSink(io.FileIO(path, "r+b"), changed), increment, piece_bytes)
    told = []
    promised = listed("base/1/1", full)
    sink = UnderlyingSink(
        io.FileIO(path, "r+b"), changed, promised=promised, on_result=lambda *result: told.append(result)
    )
    fed(sink, full, piece_bytes)
    [result] = told
    return result


def crc32c(content: bytes) -> str:
    crc = Crc32c()
    crc.update(content)
    return crc.hexdigest()


PAGES = st.integers(0, 255)
INCREMENTS = st.tuples(st.dictionaries(st.integers(0, 15), PAGES, max_size=10), st.integers(0, 16))


def followed(before: list[int], blocks: dict[int, int], truncation: int) -> list[int]:
    """Return the file after an increment, by what the manual says of one: the model of the test."""
    kept = before[:truncation]
    length = max([truncation, *(number + 1 for number in blocks)])
    return [blocks.get(number, kept[number] if number < len(kept) else 0) for number in range(length)]


@settings(deadline=None, max_examples=200)
@given(
    full=st.lists(PAGES, max_size=12),
    torn=st.integers(0, PAGE_BYTES - 1),
    chain=st.lists(INCREMENTS, min_size=1, max_size=4),
    there=st.none() | st.lists(PAGES, max_size=20),
    piece_bytes=st.integers(7, 3 * PAGE_BYTES),
)
def test_newest_first_is_what_the_increments_say_one_after_the_other(
    full, torn, chain, there, piece_bytes, tmp_path_factory
):
    """Whatever was there before (a delta compares), and also where the full file ends within a block."""
    expected = full
    for blocks, truncation in chain:
        expected = followed(expected, blocks, truncation)
    increments = [
        an_increment({number: a_page(blocks[number]) for number in sorted(blocks)}, truncation=truncation)
        for blocks, truncation in chain
    ]
    path = tmp_path_factory.getbasetemp() / "put-together"
    if there is not None:
        path.write_bytes(b"".join(map(a_page, there)))
    whole = b"".join(map(a_page, full))
    result = put_together(path, whole, increments, piece_bytes=piece_bytes, compare=there is not None)
    content = b"".join(map(a_page, expected))
    assert path.read_bytes() == content
    assert result == (len(content), crc32c(content))
    if full and not chain[0][0] and chain[0][1] > len(full):
        cut = whole[: len(whole) - torn]
        put_together(path, cut, increments[:1], piece_bytes=piece_bytes)
        assert path.read_bytes() == cut + bytes(chain[0][1] * PAGE_BYTES - len(cut))


@settings(deadline=None)
@given(data=st.data(), full=st.lists(PAGES, min_size=1, max_size=12), piece_bytes=st.integers(7, 3 * PAGE_BYTES))
def test_where_only_blocks_were_replaced_the_checksum_follows_from_them(data, full, piece_bytes, tmp_path_factory):
    """The case of almost every file: its length stays."""
    blocks = st.dictionaries(st.integers(0, len(full) - 1), PAGES, max_size=8)
    expected, increments = full, []
    for replaced in data.draw(st.lists(blocks, min_size=1, max_size=3)):
        expected = followed(expected, replaced, len(full))
        pages = {number: a_page(replaced[number]) for number in sorted(replaced)}
        increments.append(an_increment(pages, truncation=len(full)))
    path = tmp_path_factory.getbasetemp() / "replaced"
    result = put_together(path, b"".join(map(a_page, full)), increments, piece_bytes=piece_bytes)
    content = b"".join(map(a_page, expected))
    assert path.read_bytes() == content
    assert result == (len(content), crc32c(content))


def test_a_block_that_a_newer_backup_has_is_not_written_by_an_older_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    changed, written = ChangedFile("base/1/1"), []
    for blocks in ({1: 9, 2: 9}, {0: 5, 1: 5, 2: 5}):
        sink = IncrementSink(io.FileIO(path, "r+b"), changed)
        sink.tell(written.append)
        fed(sink, an_increment({number: a_page(byte) for number, byte in blocks.items()}, truncation=3), 1000)
    assert written == [2 * PAGE_BYTES, PAGE_BYTES]
    assert path.read_bytes() == a_page(5) + a_page(9) + a_page(9)


@pytest.mark.parametrize(
    "increment",
    [
        b"",
        b"\0" * 12,
        an_increment({0: a_page(1)}, truncation=1)[:-1],
        an_increment({0: a_page(1)}, truncation=1) + b"x",
        an_increment({}, truncation=1) + b"x",
        an_increment({1 << 30: a_page(1)}, truncation=1),
        struct.pack("=III", 0xD3AE1F0D, 1 << 31, 0),
    ],
)
def test_what_is_no_whole_increment_is_refused(increment, tmp_path):
    with pytest.raises(IntegrityError):
        put_together(tmp_path / "file", a_page(1), [increment])


def test_names_of_increments():
    assert final_path("base/5/INCREMENTAL.16384.1") == ("base/5/16384.1", True)
    assert final_path("base/5/16384") == ("base/5/16384", False)


def listed(path: str, content: bytes) -> ManifestFile:
    return ManifestFile(path, len(content), "CRC32C", crc32c(content))


def test_the_plan_knows_what_stays_as_it_was():
    page = a_page(1)
    full = [listed("base/1/1", page), listed("base/1/2", page), listed("base/1/3", page)]
    second = [
        listed("base/1/INCREMENTAL.1", unchanged_content(1)),
        listed("base/1/INCREMENTAL.2", unchanged_content(0)),  # truncated
        listed("base/1/3", page * 2),
    ]
    planned = plan_chain([full, second], names=["full", "second"])
    assert {path: (each.whole_at, each.is_known) for path, each in planned.items()} == {
        "base/1/1": (0, True),
        "base/1/2": (0, False),
        "base/1/3": (1, True),
    }


def test_an_increment_that_stands_on_nothing_names_file_and_backups():
    changed = [listed("base/1/INCREMENTAL.7", unchanged_content(1))]
    with pytest.raises(ChainBroken, match="third holds changed blocks of base/1/7, but second has no such file"):
        plan_chain([[listed("base/1/7", a_page(1))], [], changed], names=["full", "second", "third"])
    with pytest.raises(ChainBroken, match="but full has no such file"):
        plan_chain([[], changed], names=["full", "second"])
    with pytest.raises(IntegrityError, match="twice"):
        plan_chain([[listed("a", b""), listed("a", b"")]], names=["full"])
