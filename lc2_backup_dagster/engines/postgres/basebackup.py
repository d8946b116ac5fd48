"""Capture a full base backup as one tar stream, and prove that it is whole before anyone may commit it.

``pg_basebackup`` writes the tar to its standard output; while it passes by its members are indexed. Afterwards the
server's own manifest is compared with what went through: every file, every size, every WAL segment from start to
stop (L-12). The tar is stored as ``base.tar``, the index as ``base.index`` (one JSON line per member, in stream
order: path, type, size, offset of the content, mtime, mode), so that one file can be read without the rest.
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lc2_backup_dagster.engines.postgres.backup_manifest import (
    MANIFEST_NAME,
    BackupManifest,
    manifest_files,
    read_manifest,
    wal_segment_names,
)
from lc2_backup_dagster.engines.postgres.ports import Progress, Stream, WriteStream, naming_full_disk, no_progress
from lc2_backup_dagster.engines.postgres.preflight import ServerFacts, check_server
from lc2_backup_dagster.engines.postgres.server import Server
from lc2_backup_dagster.engines.postgres.tar_index import MemberSink, TarMember, TarScanner
from lc2_backup_dagster.engines.postgres.tool_process import ToolStream
from lc2_backup_dagster.engines.postgres.tools import Tools
from lc2_backup_dagster.engines.postgres.wal_hold import WalHold, hold_wal
from lc2_backup_dagster.model.errors import IntegrityError, ToolFailed
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.window import Moment

TAR_STREAM = "base.tar"
INDEX_STREAM = "base.index"
_LABEL_NAME = "backup_label"
_MAX_LABEL_BYTES = 1 << 20
_LABEL_START = re.compile(r"^START WAL LOCATION: (\S+) ", re.MULTILINE)
_WAL_SEGMENT = re.compile(r"^pg_wal/[0-9A-F]{24}$")


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """A captured full base backup.

    Attributes:
        streams: ``base.tar`` and ``base.index``.
        start_lsn: redo starts here.
        stop_lsn: the first position at which the backup is consistent; its moment.
        timeline: of both.
        system_identifier: of the cluster, as text.
        moment: the latest observed time whose WAL position lies at or before ``stop_lsn``.
        server_version: like ``17.10``.
        tool_version: of ``pg_basebackup``.
        checksums_on: whether pages carry checksums (then the server verified them while sending).
        wal_segment_bytes: size of a WAL segment.
        tar_bytes: length of the tar.
        files: number of files in the server's manifest.
        backup_label: its text.
        manifest_sha256: checksum of the server's ``backup_manifest``, as it states it itself.
    """

    streams: tuple[Stream, ...]
    start_lsn: Lsn
    stop_lsn: Lsn
    timeline: int
    system_identifier: str
    moment: Moment
    server_version: str
    tool_version: str
    checksums_on: bool
    wal_segment_bytes: int
    tar_bytes: int
    files: int
    backup_label: str
    manifest_sha256: str


def capture_base_backup(
    server: Server, tools: Tools, *, write: WriteStream, scratch: Path, on_progress: Progress = no_progress
) -> BaseBackup:
    """Stream a full base backup to ``write``.

    Args:
        server: any database of the cluster, as a role with REPLICATION.
        tools: client tools, at least as new as the server.
        write: consumes one stream to its end; called for ``base.tar`` and then for ``base.index``.
        scratch: directory for the index and the server's manifest (about 300 bytes per file of the cluster); what
            lies there (``lc2-basebackup-*``) is removed at the end, or by whoever cleans up after a killed process.
        on_progress: called after every chunk.

    Nothing is written before all checks of ``check_server`` have passed. When it raises, the streams written so far
    are worthless. After a kill nothing stays on the server: the slot is temporary.

    Raises:
        IntegrityError: what came through is not what the server's manifest promises.
        ToolFailed: ``pg_basebackup`` failed; or what its last words mean (``ServerUnavailable``, ``StorageFull`` …).
        PermanentError: what ``check_server`` found.
    """
    facts = check_server(server, tools, physical=True, dump=False)
    with (
        naming_full_disk(scratch),
        tempfile.TemporaryDirectory(prefix="lc2-basebackup-", dir=scratch) as directory,
        hold_wal(server) as hold,
    ):
        index_path, manifest_path = Path(directory) / "index", Path(directory) / MANIFEST_NAME
        with (
            index_path.open("wb") as index,
            manifest_path.open("wb") as manifest_file,
            ToolStream(_command(server, tools), server=server) as tool,
        ):
            tar = _ObservedTar(tool, index=index, manifest=manifest_file, hold=hold)
            tar.report_to(on_progress, facts.cluster_bytes)
            tar_stream = write(TAR_STREAM, tar)
            if not tar.ended:
                raise ToolFailed("the base backup was not read to its end")
        hold.stop()
        manifest = read_manifest(manifest_path)
        _check_whole(manifest, manifest_path, index_path, wal_segment_bytes=facts.wal_segment_bytes)
        _check_same_cluster(manifest, hold)
        with index_path.open("rb") as index_lines:
            index_stream = write(INDEX_STREAM, index_lines)
        return _result(manifest, facts, tools, hold, tar, streams=(tar_stream, index_stream))


def _command(server: Server, tools: Tools) -> list[str]:
    return [
        tools.pg_basebackup, "--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast",
        "--manifest-checksums=SHA256", "--no-password", "--label=lc2-backup", f"--dbname={server.conninfo()}",
    ]  # fmt: skip


class _ObservedTar:
    """The tar stream of a tool, indexed as it is read."""

    def __init__(self, tool: ToolStream, *, index: BinaryIO, manifest: BinaryIO, hold: WalHold) -> None:
        self._tool = tool
        self._index = index
        self._manifest = manifest
        self._hold = hold
        self._scanner = TarScanner(self._on_member)
        self._on_progress: Progress = no_progress
        self._total: int | None = None
        self.label = bytearray()
        self.ended = False

    @property
    def bytes_read(self) -> int:
        """Bytes that went through."""
        return self._tool.bytes_read

    def report_to(self, on_progress: Progress, total_bytes: int | None) -> None:
        """Report progress from now on."""
        self._on_progress, self._total = on_progress, total_bytes

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; nothing only when tool, tar and hold have all come to a clean end."""
        chunk = self._tool.read(size)
        self._hold.check()
        if chunk:
            self._scanner.feed(chunk)
            self._on_progress(self._tool.bytes_read, self._total)
        elif size and not self.ended:
            self._scanner.finish()
            self._index.flush()
            self._manifest.flush()
            self.ended = True
        return chunk

    def _on_member(self, member: TarMember) -> MemberSink | None:
        self._index.write(member.to_line())
        if member.path == MANIFEST_NAME:
            return _Copy(self._manifest)
        if member.path == _LABEL_NAME and member.size <= _MAX_LABEL_BYTES:
            return _Label(self.label)
        return None


class _Copy:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, chunk: memoryview, /) -> None:
        self._file.write(chunk)

    def close(self) -> None:
        self._file.flush()


class _Label:
    def __init__(self, content: bytearray) -> None:
        self._content = content

    def write(self, chunk: memoryview, /) -> None:
        self._content += chunk

    def close(self) -> None:
        pass


def _check_whole(manifest: BackupManifest, manifest_path: Path, index_path: Path, *, wal_segment_bytes: int) -> None:
    """Compare the manifest with the index of what went through.

    Servers send files in the manifest's order, so both are walked together and hardly anything is ever waiting.
    """
    missing_wal = {
        name for needed in manifest.wal_ranges for name in wal_segment_names(needed, segment_bytes=wal_segment_bytes)
    }
    promised = manifest_files(manifest_path)
    waiting: dict[str, int] = {}  # promised, not met yet
    early: dict[str, int] = {}  # met, not promised yet
    with index_path.open("rb") as lines:
        for member in map(TarMember.from_line, lines):
            if not member.is_file or member.path == MANIFEST_NAME:
                continue
            if _WAL_SEGMENT.match(member.path):  # segments are not in the manifest, their .done files are
                if member.size == wal_segment_bytes:
                    missing_wal.discard(member.path.removeprefix("pg_wal/"))
                continue
            early[member.path] = member.size
            following = next(promised, None)
            if following is not None:
                waiting[following.path] = following.size
                _match(following.path, waiting, early)
            _match(member.path, waiting, early)
    for following in promised:
        waiting[following.path] = following.size
        _match(following.path, waiting, early)
    if waiting:
        raise IntegrityError(f"the base backup lacks {len(waiting)} files of its manifest: {_some(waiting)}")
    if missing_wal:
        raise IntegrityError(f"the base backup lacks WAL that it needs: {_some(missing_wal)}")


def _match(path: str, waiting: dict[str, int], early: dict[str, int]) -> None:
    if path in waiting and path in early:
        promised, found = waiting.pop(path), early.pop(path)
        if promised != found:
            raise IntegrityError(f"the base backup has {found} bytes of {path}, its manifest promises {promised}")


def _some(names: "dict[str, int] | set[str]") -> str:
    return ", ".join(sorted(names)[:5]) + (", …" if len(names) > 5 else "")


def _check_same_cluster(manifest: BackupManifest, hold: WalHold) -> None:
    told = manifest.system_identifier
    if told is not None and told != hold.identity.system_identifier:
        raise IntegrityError(
            f"the base backup is of cluster {told}, the connection was to {hold.identity.system_identifier}"
        )


def _result(
    manifest: BackupManifest,
    facts: ServerFacts,
    tools: Tools,
    hold: WalHold,
    tar: _ObservedTar,
    *,
    streams: tuple[Stream, ...],
) -> BaseBackup:
    # A timeline switch while a standby was backed up splits the range.
    start = min((needed.start for needed in manifest.wal_ranges), key=lambda lsn: (lsn.timeline, lsn.value))
    stop = max((needed.end for needed in manifest.wal_ranges), key=lambda lsn: (lsn.timeline, lsn.value))
    label = tar.label.decode("utf-8", "replace")
    told = _LABEL_START.search(label)
    if told is None or Lsn.parse(told[1], timeline=start.timeline) != start:
        raise IntegrityError(f"backup_label and backup_manifest disagree on the start, {start}: {label!r}")
    sample = hold.latest_at(stop.value)
    return BaseBackup(
        streams=streams,
        start_lsn=start,
        stop_lsn=stop,
        timeline=stop.timeline,
        system_identifier=hold.identity.system_identifier,
        moment=Moment(sample.time, sample.time, lsn=str(stop), timeline=stop.timeline),
        server_version=facts.version,
        tool_version=tools.version,
        checksums_on=facts.checksums_on,
        wal_segment_bytes=facts.wal_segment_bytes,
        tar_bytes=tar.bytes_read,
        files=manifest.files,
        backup_label=label,
        manifest_sha256=manifest.checksum,
    )
