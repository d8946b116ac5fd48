"""What is written goes to the disk at once and out of memory; nothing of it is lost, no descriptor stays open."""

import io
import os
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.restore import page_cache
from lc2_backup_dagster.engines.postgres.restore.member_sinks import NewFile
from lc2_backup_dagster.engines.postgres.restore.page_cache import PageCache


@pytest.fixture
def told(monkeypatch):
    """Every range that the operating system is told of, with the file's name."""
    told = []
    real = os.posix_fadvise

    def tell(descriptor, begin, length, advice):
        told.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, begin, length))
        real(descriptor, begin, length, advice)

    monkeypatch.setattr(page_cache, "_STEP_BYTES", 4 << 20)
    monkeypatch.setattr(page_cache, "_BEHIND_BYTES", 8 << 20)
    monkeypatch.setattr(os, "posix_fadvise", tell)
    return told


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def written(path, size_bytes: int, cache: PageCache) -> bytes:
    content = os.urandom(size_bytes)
    sink = NewFile(io.FileIO(path, "xb"), cache)
    for at in range(0, size_bytes, 1 << 20):
        sink.write(memoryview(content)[at : at + (1 << 20)])
    sink.close()
    return content


def test_every_byte_of_large_files_is_sent_and_let_go_of_in_order(told, tmp_path):
    before = open_descriptors()
    cache = PageCache()
    sizes = {"large": (18 << 20) + 5, "small": 5000, "larger": 9 << 20}
    contents = {name: written(tmp_path / name, size, cache) for name, size in sizes.items()}
    behind = open_descriptors() - before
    assert 0 < behind <= 3
    cache.close()
    assert open_descriptors() == before
    assert {name: (tmp_path / name).read_bytes() for name in sizes} == contents
    for name in ("large", "larger"):
        ranges = sorted(each[1:] for each in told if each[0] == name)
        assert ranges[::2] == ranges[1::2]  # once to send it, once to let go of it
        ends = [begin + length for begin, length in ranges[::2]]
        assert [begin for begin, _ in ranges[::2]] == [0, *ends[:-1]]
        assert ends[-1] > sizes[name] - (1 << 20)
    assert not [each for each in told if each[0] == "small"]
