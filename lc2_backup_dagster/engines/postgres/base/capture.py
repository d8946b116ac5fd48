"""Capture a base backup, full or incremental, and prove that it is whole before anyone may commit it.

Everything comes over the replication protocol (``base_stream``); no program and no agent is needed. The tar of the
data directory is stored as ``base.tar``, that of each further tablespace as ``tablespace-<oid>.tar``. While they pass
by their members are indexed: ``base.index`` and ``tablespace-<oid>.index`` have one JSON line per member, in stream
order (path, type, size, offset of the content, mtime, mode), so that one file can be read without the rest.
``backup_manifest`` is the server's own, byte for byte: the next increment gives it back to the server.

Afterwards the manifest is compared with what went through: every file, every size, every WAL segment from start to
stop (L-12). What was asked for and what came is compared too: an increment that is none is refused (L-11).
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lc2_backup_dagster.engines.postgres.base.backup_label import LABEL_NAME, parse_label
from lc2_backup_dagster.engines.postgres.base.backup_manifest import MANIFEST_NAME, BackupManifest, read_manifest
from lc2_backup_dagster.engines.postgres.base.preflight import check_scratch
from lc2_backup_dagster.engines.postgres.base.stream import Archive, BaseStream, Tablespace, base_stream
from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM, archive_stream, index_stream
from lc2_backup_dagster.engines.postgres.base.tar_index import MemberSink, TarMember, TarScanner
from lc2_backup_dagster.engines.postgres.base.wal_hold import WalHold, hold_wal
from lc2_backup_dagster.engines.postgres.base.wholeness import ArchiveIndex, check_whole
from lc2_backup_dagster.engines.postgres.ports import Progress, Stream, WriteStream, naming_full_disk, no_progress
from lc2_backup_dagster.engines.postgres.servers.facts import INCREMENTS_SINCE
from lc2_backup_dagster.engines.postgres.servers.preflight import ServerFacts, check_server
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.errors import IncrementRefused, IntegrityError
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.window import Moment

_MAX_LABEL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """A captured base backup.

    Attributes:
        streams: archives in the order of the stream, ``backup_manifest``, indexes.
        start_lsn: redo starts here.
        stop_lsn: the first position at which the backup is consistent; its moment.
        timeline: of ``stop_lsn``.
        incremental_from: ``start_lsn`` of the backup that this is an increment of; None for a full one.
        tablespaces: those beyond the two built-in ones.
        system_identifier: of the cluster, as text.
        moment: the latest observed time whose WAL position lies at or before ``stop_lsn``.
        server_version: like ``17.10``.
        major: like 17.
        checksums_on: whether pages carry checksums (then the server verified them while sending).
        page_bytes: size of a page.
        wal_segment_bytes: size of a WAL segment.
        tar_bytes: length of all archives.
        files: number of files in the server's manifest.
        backup_label: its text.
        manifest_sha256: checksum of the server's ``backup_manifest``, as it states it itself.
    """

    streams: tuple[Stream, ...]
    start_lsn: Lsn
    stop_lsn: Lsn
    timeline: int
    incremental_from: Lsn | None
    tablespaces: tuple[Tablespace, ...]
    system_identifier: str
    moment: Moment
    server_version: str
    major: int
    checksums_on: bool
    page_bytes: int
    wal_segment_bytes: int
    tar_bytes: int
    files: int
    backup_label: str
    manifest_sha256: str

    @property
    def incremental(self) -> bool:
        """Whether it holds only what has changed since its parent."""
        return self.incremental_from is not None


def capture_base_backup(
    server: Server,
    *,
    facts: ServerFacts | None = None,
    parent_manifest: Path | None = None,
    write: WriteStream,
    scratch: Path,
    on_progress: Progress = no_progress,
) -> BaseBackup:
    """Stream a base backup to ``write``.

    Args:
        server: any database of the cluster, as a role with REPLICATION.
        facts: what ``check_server`` has said just now, or None to ask it first.
        parent_manifest: ``backup_manifest`` of the parent, for an increment; None for a full backup.
        write: consumes one stream to its end; called for each archive while the server sends it, then for
            ``backup_manifest`` and for each index.
        scratch: directory for the indexes and the manifest (about 400 bytes per file of the cluster); what lies
            there (``lc2-basebackup-*``) is removed at the end, or by whoever cleans up after a killed process.
        on_progress: called after every chunk. The size of an increment is not known in advance.

    Nothing is written before all checks of ``check_server`` have passed. When it raises, the streams written so far
    are worthless. After a kill nothing stays on the server: the slot is temporary.

    Raises:
        IncrementRefused: the server cannot make this increment, for a reason that a full backup would cure.
        IntegrityError: what came through is not what the server's manifest promises; or the server met damaged pages.
        ServerUnavailable: a connection was lost, or none is free.
        PermanentError: what ``check_server`` found.
    """
    facts = facts or check_server(server, None, physical=True, dump=False)
    parent = None if parent_manifest is None else _parent(parent_manifest, facts, server)
    check_scratch(scratch, parent_manifest=parent_manifest)
    total_unknown = facts.cluster_bytes is None and parent is None
    with (
        naming_full_disk(scratch),
        tempfile.TemporaryDirectory(prefix="lc2-basebackup-", dir=scratch) as directory,
        hold_wal(server) as hold,
    ):
        manifest_path = Path(directory) / MANIFEST_NAME
        with base_stream(
            server,
            major=facts.major,
            parent_manifest=parent_manifest,
            estimate=total_unknown,
            while_waiting=hold.check,
        ) as stream:
            _check_same_cluster(stream.identity.system_identifier, hold)
            total = stream.estimated_bytes if total_unknown else None if parent is not None else facts.cluster_bytes
            archives = _Archives(Path(directory), hold, on_progress, total)
            with manifest_path.open("wb") as manifest_file:
                streams = [archives.write(archive, write) for archive in stream.archives(manifest_file)]
        hold.stop()
        manifest = read_manifest(manifest_path)
        check_whole(manifest, manifest_path, archives.indexes, wal_segment_bytes=facts.wal_segment_bytes)
        incremental_from = _check_consistent(manifest, stream, hold, label=archives.label_text, parent=parent)
        for name, path in [
            (MANIFEST_STREAM, manifest_path),
            *((index.path.name, index.path) for index in archives.indexes),
        ]:
            with path.open("rb") as source:
                streams.append(write(name, source))
        sample = hold.latest_at(manifest.stop.value)
        return BaseBackup(
            streams=tuple(streams),
            start_lsn=manifest.start,
            stop_lsn=manifest.stop,
            timeline=manifest.stop.timeline,
            incremental_from=incremental_from,
            tablespaces=stream.tablespaces,
            system_identifier=hold.identity.system_identifier,
            moment=Moment(sample.time, sample.time, lsn=str(manifest.stop), timeline=manifest.stop.timeline),
            server_version=facts.version,
            major=facts.major,
            checksums_on=facts.checksums_on,
            page_bytes=facts.page_bytes,
            wal_segment_bytes=facts.wal_segment_bytes,
            tar_bytes=archives.bytes_read,
            files=manifest.files,
            backup_label=archives.label_text,
            manifest_sha256=manifest.checksum,
        )


def _parent(manifest: Path, facts: ServerFacts, server: Server) -> BackupManifest:
    if facts.major < INCREMENTS_SINCE:
        raise IncrementRefused(f"{server} is PostgreSQL {facts.major}, which makes no increments")
    if not facts.summarize_wal:
        raise IncrementRefused(
            f"{server} runs with summarize_wal=off, an increment needs WAL summaries",
            hint="ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf(); then take a full backup",
        )
    return read_manifest(manifest)


class _Archives:
    """The archives as they are written and indexed, one after the other."""

    def __init__(self, directory: Path, hold: WalHold, on_progress: Progress, total: int | None) -> None:
        self._directory = directory
        self._hold = hold
        self._on_progress = on_progress
        self._total = total
        self._label = bytearray()
        self.indexes: list[ArchiveIndex] = []
        self.bytes_read = 0

    @property
    def label_text(self) -> str:
        """The ``backup_label``, which lies in the main archive."""
        return self._label.decode("utf-8", "replace")

    def write(self, archive: Archive, write: WriteStream) -> Stream:
        """Hand an archive to ``write`` and index it meanwhile."""
        oid = None if archive.tablespace is None else archive.tablespace.oid
        index = ArchiveIndex(self._directory / index_stream(oid), "" if oid is None else f"pg_tblspc/{oid}/")
        self.indexes.append(index)
        with index.path.open("wb") as lines:
            label = self._label if oid is None else None
            return write(archive_stream(oid), _IndexedTar(archive, index=lines, label=label, took=self._took))

    def _took(self, chunk: bytes) -> None:
        self._hold.check()
        self.bytes_read += len(chunk)
        self._on_progress(self.bytes_read, self._total)


class _IndexedTar:
    """An archive that is indexed as it is read."""

    def __init__(
        self, archive: Archive, *, index: BinaryIO, label: bytearray | None, took: Callable[[bytes], None]
    ) -> None:
        self._archive = archive
        self._index = index
        self._label = label
        self._took = took
        self._scanner = TarScanner(self._on_member)

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; nothing only when server, tar and hold have all come to a clean end."""
        chunk = self._archive.read(size)
        if chunk:
            self._scanner.feed(chunk)
            self._took(chunk)
        elif size:
            self._scanner.finish()
            self._index.flush()
            self._took(b"")
        return chunk

    def _on_member(self, member: TarMember) -> MemberSink | None:
        self._index.write(member.to_line())
        if self._label is not None and member.path == LABEL_NAME and member.size <= _MAX_LABEL_BYTES:
            return _Label(self._label)
        return None


class _Label:
    def __init__(self, content: bytearray) -> None:
        self._content = content

    def write(self, chunk: memoryview, /) -> None:
        self._content += chunk

    def close(self) -> None:
        pass


def _check_same_cluster(told: str | None, hold: WalHold) -> None:
    """Refuse a backup whose connections reached two servers, behind one address."""
    if told is not None and told != hold.identity.system_identifier:
        raise IntegrityError(
            f"the base backup is of cluster {told}, the connection was to {hold.identity.system_identifier}"
        )


def _check_consistent(
    manifest: BackupManifest, stream: BaseStream, hold: WalHold, *, label: str, parent: BackupManifest | None
) -> Lsn | None:
    """Compare what server, manifest and label say of the backup; return what it is an increment of."""
    _check_same_cluster(manifest.system_identifier, hold)
    if (manifest.start, manifest.stop) != (stream.start, stream.stop):
        raise IntegrityError(
            f"the server says that the base backup needs WAL from {stream.start} to {stream.stop}, "
            f"its manifest from {manifest.start} to {manifest.stop}"
        )
    told = parse_label(label)
    if told.start != manifest.start:
        raise IntegrityError(f"backup_label and backup_manifest disagree on the start, {manifest.start}: {label!r}")
    expected = None if parent is None else parent.start
    if told.incremental_from != expected:
        raise IntegrityError(
            f"an increment of the backup from {expected} was asked for, the server made one of {told.incremental_from}"
            if expected
            else f"a full backup was asked for, the server made an increment of {told.incremental_from}"
        )
    return told.incremental_from
