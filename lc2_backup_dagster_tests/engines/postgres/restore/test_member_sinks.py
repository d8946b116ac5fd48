"""A delta writes only what differs, and leaves nothing behind the end."""

import io
import os

from lc2_backup_dagster.engines.postgres.restore.member_sinks import ComparedFile

STEP = 64 * 1024


def compared(path, before: bytes, after: bytes, *, piece_bytes: int = 1 << 20) -> int:
    path.write_bytes(before)
    told = []
    sink = ComparedFile(io.FileIO(path, "r+b"))
    sink.tell(told.append)
    for at in range(0, len(after), piece_bytes):
        sink.write(memoryview(after)[at : at + piece_bytes])
    sink.close()
    assert path.read_bytes() == after
    [written] = told
    return written


def test_only_the_steps_that_differ_are_written(tmp_path):
    content = os.urandom(10 * STEP)
    changed = bytearray(content)
    changed[3 * STEP + 5] ^= 1
    assert compared(tmp_path / "file", content, content) == 0
    assert compared(tmp_path / "file", bytes(changed), content) == STEP


def test_what_lies_behind_the_end_is_cut_off_and_what_is_missing_is_added(tmp_path):
    content = os.urandom(2 * STEP + 7)
    assert compared(tmp_path / "file", content + b"more", content, piece_bytes=1000) == 0
    assert compared(tmp_path / "file", content[:STEP], content) == STEP + 7
    assert compared(tmp_path / "file", content, b"") == 0
