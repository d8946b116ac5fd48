"""Drive ``BASE_BACKUP`` over the replication protocol: archives, manifest and positions, as the server sends them.

Source: PostgreSQL manual, chapter "Streaming Replication Protocol". Nothing is kept here beyond one chunk. What is in
the archives, and whether it is all, is looked at by ``basebackup``.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lc2_backup_dagster.engines.postgres.base.copies import NEW_SYNTAX_SINCE, Copies, CopyPerArchive, OneCopy
from lc2_backup_dagster.engines.postgres.servers.replication import SystemIdentity, identify
from lc2_backup_dagster.engines.postgres.servers.replication_wire import ReplicationWire
from lc2_backup_dagster.engines.postgres.servers.server import Server, translating
from lc2_backup_dagster.model.errors import IncrementRefused, IntegrityError, ToolFailed
from lc2_backup_dagster.model.lsn import Lsn

if TYPE_CHECKING:
    import psycopg

LABEL = "lc2-backup"
_CHUNK_BYTES = 1 << 20
_UPLOAD_BYTES = 1 << 16
# Refusals before the first byte that say nothing of connection, rights or resources: bad manifest (22, XX), missing
# or late summaries, other timeline or cluster (55), a summary that vanished (58). Judged by SQLSTATE, because the
# text comes in the server's language. Should a full not cure one of them, the full says so itself.
_CURED_BY_A_FULL = ("22", "55", "58", "XX")
_DAMAGED_PAGES = "XX001"
_WARNINGS_KEPT = 5
_CANCEL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Tablespace:
    """A tablespace beyond the two built-in ones.

    Attributes:
        oid: its number, the name of its link in ``pg_tblspc``.
        location: its directory on the server; relative for one that lies inside the data directory.
    """

    oid: int
    location: str


class Archive:
    """One tar of the backup; a source that ends where the archive ends.

    Attributes:
        tablespace: whose files it holds, None for the main data directory.
        ended: it was read to its end.
    """

    def __init__(
        self, stream: "BaseStream", content: Callable[[], memoryview | None], tablespace: Tablespace | None
    ) -> None:
        self._stream = stream
        self._content = content
        self._rest: memoryview | None = None
        self._exhausted = False
        self.tablespace = tablespace
        self.ended = False

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, as many as asked for (at most 1 MiB); nothing at the end of the archive.

        The last archive ends only when the manifest has come too and the server has said that all went well.

        Raises:
            ServerUnavailable: the connection was lost.
            IntegrityError: the server met damaged pages.
            BackupError: whatever else the server's last words mean.
        """
        if self.ended or size == 0:
            return b""
        with self._stream.understood():
            chunk = self._gather(min(size, _CHUNK_BYTES))
            if not chunk:
                self._stream.archive_ended(self)
                self.ended = True
        return chunk

    def _gather(self, size: int) -> bytes:
        # A message has 32 KiB; joining many costs one copy and saves every layer above most of its calls.
        pieces: list[memoryview] = []
        missing = size
        while missing > 0 and not self._exhausted:
            piece = self._rest or self._content()
            self._rest = None
            if piece is None:
                self._exhausted = True
                break
            if len(piece) > missing:
                piece, self._rest = piece[:missing], piece[missing:]
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


class BaseStream:
    """A base backup that has begun. Made by ``base_stream``.

    Attributes:
        identity: the cluster it comes from, asked over its own connection.
        start: redo starts here.
        tablespaces: those beyond the built-in ones, in the order in which they are sent.
        estimated_bytes: size of all archives as the server estimates it, None when it was not asked to.
        stop: the backup is consistent from here on; known when the last archive has ended.
    """

    def __init__(
        self, server: Server, wire: ReplicationWire, *, identity: SystemIdentity, major: int, warnings: deque[str]
    ) -> None:
        self._server = server
        self._wire = wire
        self._warnings = warnings
        self._copies: Copies = OneCopy(wire) if major >= NEW_SYNTAX_SINCE else CopyPerArchive(wire)
        self._manifest: BinaryIO | None = None
        self.identity = identity
        self.start = _position(wire.rows())
        listed = wire.rows()
        self.tablespaces = tuple(Tablespace(int(oid), location or "") for oid, location, _ in listed if oid)
        sizes = [int(size) * 1024 for *_, size in listed if size is not None]
        self.estimated_bytes = sum(sizes) if sizes else None
        self.stop: Lsn | None = None

    def archives(self, manifest: BinaryIO) -> Iterator[Archive]:
        """Yield the archives in the order of the stream, each to be read to its end; the main one comes last.

        Args:
            manifest: takes the server's ``backup_manifest``.

        Raises:
            ToolFailed: an archive was left before its end.
            BackupError: as ``Archive.read``.
        """
        self._manifest = manifest
        for tablespace in (*self.tablespaces, None):
            with self.understood():
                self._copies.open_archive("base.tar" if tablespace is None else f"{tablespace.oid}.tar")
            archive = Archive(self, self._copies.content, tablespace)
            yield archive
            if not archive.ended:
                raise ToolFailed("the base backup was not read to its end")

    def archive_ended(self, archive: Archive) -> None:
        """Take what follows the last archive: the manifest, the stop position, and that all went well."""
        if archive.tablespace is not None:
            return
        assert self._manifest is not None
        for piece in self._copies.manifest():
            self._manifest.write(piece)
        self._manifest.flush()
        self.stop = _position(self._wire.rows())
        self._wire.end()

    @contextmanager
    def understood(self) -> Generator[None]:
        """Translate errors of the connection and of the server in the block."""
        import psycopg

        with translating(self._server):
            try:
                yield
            except psycopg.Error as error:
                if error.sqlstate == _DAMAGED_PAGES:
                    raise IntegrityError(
                        f"{self._server} has damaged pages: {'; '.join([*self._warnings, str(error)])}",
                        hint="the tables of these files (pg_filenode_relation) must be restored from before the damage",
                    ) from error
                raise


@contextmanager
def base_stream(
    server: Server,
    *,
    major: int,
    parent_manifest: Path | None = None,
    estimate: bool = False,
    while_waiting: Callable[[], None] = lambda: None,
) -> Generator[BaseStream]:
    """Begin a base backup and close its connection at the end, whatever happens in between.

    Args:
        server: any database of the cluster, as a role with REPLICATION.
        major: the server's major version.
        parent_manifest: make an increment to the backup of this ``backup_manifest``.
        estimate: let the server estimate the size first; it looks at every file for that.
        while_waiting: called again and again while the server sends nothing; what it raises ends the backup.

    Raises:
        IncrementRefused: the server cannot make this increment.
        ServerUnavailable: no connection.
        BackupError: what else the server's refusal means.
    """
    with server.connect(replication=True) as connection:
        warnings: deque[str] = deque(maxlen=_WARNINGS_KEPT)
        connection.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
        wire = ReplicationWire(connection.pgconn, while_waiting=while_waiting)
        with _stopping_the_server(connection), _refusing(parent_manifest, server):
            identity = identify(connection)
            if parent_manifest is not None:
                _upload(wire, parent_manifest)
            wire.send(_command(major, incremental=parent_manifest is not None, estimate=estimate))
            stream = BaseStream(server, wire, identity=identity, major=major, warnings=warnings)
        yield stream


def _command(major: int, *, incremental: bool, estimate: bool) -> str:
    # The WAL is in the archive, so the server need not wait until it is archived elsewhere too.
    if major < NEW_SYNTAX_SINCE:
        return (
            f"BASE_BACKUP LABEL '{LABEL}' {'PROGRESS ' if estimate else ''}FAST WAL NOWAIT "
            "MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C' TABLESPACE_MAP"
        )
    return (
        f"BASE_BACKUP (LABEL '{LABEL}', CHECKPOINT 'fast', WAL true, WAIT false, MANIFEST 'yes', "
        "MANIFEST_CHECKSUMS 'CRC32C', TABLESPACE_MAP true"
        f"{', PROGRESS true' if estimate else ''}{', INCREMENTAL true' if incremental else ''})"
    )


def _upload(wire: ReplicationWire, manifest: Path) -> None:
    from psycopg.pq import ExecStatus

    wire.send("UPLOAD_MANIFEST")
    wire.expect(ExecStatus.COPY_IN)
    with manifest.open("rb") as file:
        wire.put(iter(lambda: file.read(_UPLOAD_BYTES), b""))
    wire.end()


@contextmanager
def _refusing(parent_manifest: Path | None, server: Server) -> Generator[None]:
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        if parent_manifest is not None and (error.sqlstate or "")[:2] in _CURED_BY_A_FULL:
            text = " ".join(str(error).split())
            raise IncrementRefused(f"{server} refuses this increment: {text}", hint="take a full backup") from error
        raise


@contextmanager
def _stopping_the_server(connection: "psycopg.Connection[Any]") -> Generator[None]:
    """Cancel the command when the wait for its first answer is broken off; a silent server notices no closed socket."""
    import psycopg

    try:
        yield
    except psycopg.Error:
        raise
    except BaseException:
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_CANCEL_SECONDS)
        raise


def _position(rows: list[list[str | None]]) -> Lsn:
    try:
        [[position, timeline]] = rows
        return Lsn.parse(position or "", timeline=int(timeline or ""))
    except ValueError as error:
        raise ToolFailed(f"the server answered BASE_BACKUP with {rows} instead of a position") from error
