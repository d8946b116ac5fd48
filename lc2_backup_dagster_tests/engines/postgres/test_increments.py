"""Increments of single files: what they leave, change, cut off and add, whatever pieces they arrive in."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.engines.postgres.backup_manifest import ManifestFile
from lc2_backup_dagster.engines.postgres.chain_plan import plan_chain
from lc2_backup_dagster.engines.postgres.checksums import Crc32c
from lc2_backup_dagster.engines.postgres.increments import PAGE_BYTES, IncrementSink, final_path, unchanged_content
from lc2_backup_dagster.model.errors import ChainBroken, IntegrityError


def a_page(byte: int) -> bytes:
    return bytes([byte]) * PAGE_BYTES


def an_increment(blocks: dict[int, bytes], *, truncation: int) -> bytes:
    """Build a file as PostgreSQL's server sends it."""
    head = struct.pack(f"=III{len(blocks)}I", 0xD3AE1F0D, len(blocks), truncation, *blocks)
    return head + (b"\0" * (-len(head) % PAGE_BYTES) if blocks else b"") + b"".join(blocks.values())


def applied(path, before: bytes, increment: bytes, *, piece_bytes: int = 1 << 20, compare: bool = False) -> bytes:
    path.write_bytes(before)
    sink = IncrementSink(io.FileIO(path, "r+b"), "base/1/1", compare=compare)
    try:
        for at in range(0, len(increment), piece_bytes):
            sink.write(memoryview(increment)[at : at + piece_bytes])
        sink.close()
    except BaseException:
        sink.abandon()
        raise
    return path.read_bytes()


@settings(deadline=None, max_examples=150)
@given(
    before=st.lists(st.integers(0, 255), max_size=12),
    blocks=st.dictionaries(st.integers(0, 15), st.integers(0, 255), max_size=10),
    truncation=st.integers(0, 16),
    piece_bytes=st.integers(1, 3 * PAGE_BYTES),
    compare=st.booleans(),
)
def test_every_block_is_the_listed_one_or_what_may_stay(
    before, blocks, truncation, piece_bytes, compare, tmp_path_factory
):
    blocks = dict(sorted(blocks.items()))
    increment = an_increment({number: a_page(byte) for number, byte in blocks.items()}, truncation=truncation)
    length = max([truncation, *(number + 1 for number in blocks)])
    kept = before[:truncation]
    expected = b"".join(
        a_page(blocks.get(number, kept[number] if number < len(kept) else 0)) for number in range(length)
    )
    path = tmp_path_factory.getbasetemp() / "increment"
    old = b"".join(map(a_page, before))
    assert applied(path, old, increment, piece_bytes=max(piece_bytes, 7), compare=compare) == expected


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
        applied(tmp_path / "file", a_page(1), increment)


def test_names_of_increments():
    assert final_path("base/5/INCREMENTAL.16384.1") == ("base/5/16384.1", True)
    assert final_path("base/5/16384") == ("base/5/16384", False)


def listed(path: str, content: bytes) -> ManifestFile:
    crc = Crc32c()
    crc.update(content)
    return ManifestFile(path, len(content), "CRC32C", crc.hexdigest())


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
