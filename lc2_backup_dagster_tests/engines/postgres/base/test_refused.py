"""Base backups whose bytes were changed between server and us: found out before anyone may commit them."""

import io
import re
import tarfile
from collections import deque
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.base.capture import capture_base_backup
from lc2_backup_dagster.engines.postgres.base.stream_names import TAR_STREAM
from lc2_backup_dagster.engines.postgres.servers.replication_wire import ReplicationWire
from lc2_backup_dagster.model.errors import IntegrityError, ToolFailed
from lc2_backup_dagster_tests.engines.postgres.asking import emptied, nothing_left
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.fixtures_postgres import backup_server


@pytest.fixture
def scratch(tmp_path):
    directory = tmp_path / "scratch"
    directory.mkdir()
    yield directory
    assert emptied(directory), "scratch was not cleaned"


def rewritten(tar: Path, target: Path, *, leave_out=lambda name: False, change=lambda name, content: content) -> Path:
    with tarfile.open(tar) as source, tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as copy:
        for member in source:
            if leave_out(member.name):
                continue
            content = change(member.name, source.extractfile(member).read() if member.isfile() else b"")
            member.size = len(content)
            copy.addfile(member, io.BytesIO(content))
    return target


@pytest.fixture
def tampered(monkeypatch, tmp_path):
    """Return a function that changes what the server sends: the tar, the manifest, or the messages around them."""

    def tamper(*, tar=lambda content: content, manifest=lambda content: content, messages=lambda found: found):
        original = ReplicationWire.message
        queue: deque[bytes | None] = deque()

        def message(wire):
            if not queue:
                sent = [bytes(found) for found in iter(lambda: original(wire), None)]
                split = sent.index(b"m")
                content = [b"".join(m[1:] for m in part if m[:1] == b"d") for part in (sent[:split], sent[split:])]
                changed = [sent[0], b"d" + tar(content[0]), b"m", b"d" + manifest(content[1])]
                queue.extend([*messages(changed), None])
            found = queue.popleft()
            return found if found is None else memoryview(found)

        monkeypatch.setattr(ReplicationWire, "message", message)

    return tamper


def changed_tar(tmp_path: Path, **changes):
    def change(content: bytes) -> bytes:
        (tmp_path / "sent.tar").write_bytes(content)
        return rewritten(tmp_path / "sent.tar", tmp_path / "changed.tar", **changes).read_bytes()

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"leave_out": lambda name: name == "PG_VERSION"}, "lacks 1 files of its manifest: PG_VERSION"),
        ({"leave_out": lambda name: re.match("pg_wal/[0-9A-F]{24}$", name)}, "lacks WAL"),
        ({"leave_out": lambda name: name == "backup_label"}, "lacks 1 files of its manifest: backup_label"),
        ({"change": lambda name, c: c + b"\n" if name == "PG_VERSION" else c}, "4 bytes of PG_VERSION.*promises 3"),
        (
            {"change": lambda name, c: c.replace(b"WAL LOCATION: 0", b"WAL LOCATION: F", 1)},
            "backup_label and backup_manifest disagree",
        ),
    ],
)
def test_a_base_backup_that_is_not_whole_is_refused(damage, message, tampered, postgres, tmp_path, scratch):
    tampered(tar=changed_tar(tmp_path, **damage))
    streams = FileStreams(tmp_path)
    with pytest.raises(IntegrityError, match=message):
        capture_base_backup(backup_server(postgres), write=streams, scratch=scratch)
    assert streams.completed == [TAR_STREAM], "something was written beside the archive"
    nothing_left(postgres)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", "unreadable"),
        (lambda content: content.replace(b'"Size": 3,', b'"Size": 4,', 1), "own checksum"),
        (lambda content: content[: len(content) // 2], "unreadable"),
    ],
)
def test_a_damaged_manifest_is_refused(change, message, tampered, postgres, tmp_path, scratch):
    tampered(manifest=change)
    streams = FileStreams(tmp_path)
    with pytest.raises(IntegrityError, match=message):
        capture_base_backup(backup_server(postgres), write=streams, scratch=scratch)
    assert streams.completed == [TAR_STREAM]


def test_a_tar_cut_short_by_a_server_that_claims_success_is_refused(tampered, postgres, tmp_path, scratch):
    tampered(tar=lambda content: content[:-1024])
    streams = FileStreams(tmp_path)
    with pytest.raises(IntegrityError, match="too early"):
        capture_base_backup(backup_server(postgres), write=streams, scratch=scratch)
    assert streams.completed == []


def test_a_stream_without_its_manifest_is_refused(tampered, postgres, tmp_path, scratch):
    tampered(messages=lambda found: found[:2])
    streams = FileStreams(tmp_path)
    with pytest.raises(ToolFailed, match="lacks the manifest"):
        capture_base_backup(backup_server(postgres), write=streams, scratch=scratch)
    assert streams.completed == []


def test_an_archive_of_another_name_is_refused(tampered, postgres, tmp_path, scratch):
    tampered(messages=lambda found: [b"n16999.tar\0/elsewhere\0", *found[1:]])
    streams = FileStreams(tmp_path)
    with pytest.raises(ToolFailed, match=r"lacks archive base\.tar"):
        capture_base_backup(backup_server(postgres), write=streams, scratch=scratch)
    assert streams.started == []
