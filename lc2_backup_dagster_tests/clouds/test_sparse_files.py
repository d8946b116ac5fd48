"""Files with holes: read without reading the holes, written and copied with holes."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.clouds.local import sparse
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.model.errors import SourceChanged, StoreUnavailable

MIB = 1 << 20
GIB = 1 << 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def a_sparse_file(path: Path, size_bytes: int, data: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        for offset, body in data.items():
            file.seek(offset)
            file.write(body)
        file.truncate(size_bytes)
    return path


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the lengths of everything that is read from files."""
    lengths: list[int] = []
    real = os.pread

    def count(file: int, size: int, offset: int) -> bytes:
        piece = real(file, size, offset)
        lengths.append(len(piece))
        return piece

    monkeypatch.setattr(os, "pread", count)
    return lengths


def test_holes_of_a_huge_file_are_not_read(root, read_bytes):
    middle = os.urandom(MIB)
    a_sparse_file(root / "huge", 20 * GIB, {0: b"head", 10 * GIB: middle, 20 * GIB - 4: b"tail"})

    size, found = 0, {}
    with DirectoryStore(root, posix=True).open("huge") as reader:
        while piece := reader.read(8 * MIB):
            if piece[:1] != b"\0" or piece[-1:] != b"\0":  # looking into all of 20 GiB would take its time
                found[size] = piece.strip(b"\0")
            size += len(piece)

    assert size == 20 * GIB
    assert {offset: body for offset, body in found.items() if offset == 10 * GIB} == {10 * GIB: middle}
    assert b"".join(found.values()) == b"head" + middle + b"tail"
    assert sum(read_bytes) < 2 * MIB


def test_a_huge_file_is_copied_with_its_holes(root, tmp_path):
    source = a_sparse_file(root / "huge", 20 * GIB, {0: b"head", 10 * GIB: os.urandom(MIB), 20 * GIB - 4: b"tail"})
    store = DirectoryStore(tmp_path / "copies", create=True)

    info = store.copy_from(DirectoryStore(root), "huge", "copy", size_bytes=20 * GIB)

    copy = tmp_path / "copies/copy"
    assert info.size_bytes == copy.stat().st_size == 20 * GIB
    assert allocated(copy) <= 2 * MIB
    for offset, length in ((0, 8), (10 * GIB - 4, MIB + 8), (20 * GIB - 8, 8)):
        assert store.get("copy", start=offset, length=length) == DirectoryStore(root).get(
            "huge", start=offset, length=length
        )
    assert source.stat().st_size == 20 * GIB


def test_a_copy_by_hand_keeps_holes_too(root, tmp_path, monkeypatch):
    data = {MIB: os.urandom(MIB), 5 * MIB: b"x"}
    a_sparse_file(root / "file", 8 * MIB, data)
    monkeypatch.setattr(os, "copy_file_range", lambda *_: (_ for _ in ()).throw(OSError(errno.EXDEV, "elsewhere")))
    store = DirectoryStore(tmp_path / "copies", create=True)

    store.copy_from(DirectoryStore(root), "file", "copy", size_bytes=8 * MIB)

    assert (tmp_path / "copies/copy").read_bytes() == (root / "file").read_bytes()
    assert allocated(tmp_path / "copies/copy") <= 2 * MIB


pieces = st.lists(
    st.one_of(
        st.builds(bytes, st.integers(0, 300_000)),
        st.binary(min_size=1, max_size=40),
        st.builds(lambda count: b"\0" * count + b"x", st.integers(60_000, 70_000)),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(content=pieces, cut=st.integers(1, 200_000))
def test_what_is_written_with_holes_reads_as_it_was(tmp_path_factory, content, cut):
    root = tmp_path_factory.mktemp("sparse")
    store, whole = DirectoryStore(root, posix=True), b"".join(content)

    chunks = [whole[start : start + cut] for start in range(0, len(whole), cut)]
    store.put_stream("file", chunks, size_bytes=len(whole))

    assert (root / "file").read_bytes() == whole
    with store.open("file") as reader:
        assert b"".join(iter(lambda: reader.read(100_000), b"")) == whole


def test_zeros_become_holes_in_a_tree_and_stay_zeros_in_a_repository(root, tmp_path):
    body = b"head" + bytes(4 * MIB) + b"tail" + bytes(4 * MIB)
    for place, posix in ((root, True), (tmp_path / "repository", False)):
        DirectoryStore(place, create=True, posix=posix).put("file", body)
        assert (place / "file").read_bytes() == body
        assert (allocated(place / "file") < MIB) is posix


def test_a_file_system_that_knows_no_holes_is_read_whole(root, monkeypatch, read_bytes):
    a_sparse_file(root / "file", 4 * MIB, {MIB: b"data"})

    def refuse(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "lseek", refuse)
    with DirectoryStore(root).open("file") as reader:
        assert reader.read(4 * MIB) == bytes(MIB) + b"data" + bytes(3 * MIB - 4)
    assert sum(read_bytes) == 4 * MIB


def test_other_errors_are_not_taken_for_holes(root, monkeypatch):
    a_sparse_file(root / "file", 4 * MIB, {MIB: b"data"})

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "lseek", fail)
    with DirectoryStore(root).open("file") as reader, pytest.raises(StoreUnavailable):
        reader.read(MIB)


def test_a_hole_that_is_filled_while_it_is_read_is_noticed(root):
    path = a_sparse_file(root / "file", 4 * MIB, {0: b"data"})

    with DirectoryStore(root).open("file") as reader:
        reader.read(MIB)
        with path.open("r+b") as file:
            file.seek(3 * MIB)
            file.write(b"new")
        os.utime(path, ns=(1, 1))
        with pytest.raises(SourceChanged):
            while reader.read(MIB):
                pass


def test_a_dense_file_costs_no_question(root, monkeypatch):
    (root / "file").write_bytes(os.urandom(MIB))
    monkeypatch.setattr(sparse.os, "lseek", None)

    with DirectoryStore(root).open("file") as reader:
        assert len(reader.read(2 * MIB)) == MIB
