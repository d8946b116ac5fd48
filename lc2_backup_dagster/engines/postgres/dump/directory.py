"""Dumps of several jobs: ``pg_dump --format=directory`` as one stream, and back.

Several ``pg_dump`` workers can only write into a directory, a file for each table. The stream ``dump.directory`` is a
tar of that directory, made while the workers write: a file goes into it as soon as no worker has it open, and is
deleted then, so that dumping and storing overlap and scratch holds what is not stored yet. ``toc.dat``, which
``pg_dump`` writes last of all, is the last member.
"""

import contextlib
import os
import shutil
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lc2_backup_dagster.engines.postgres.ports import SupportsRead, naming_full_disk
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tool_process import BackgroundTool
from lc2_backup_dagster.model.errors import StorageFull, ToolFailed

DIRECTORY_STREAM = "dump.directory"
TABLE_OF_CONTENTS = "toc.dat"
_CHUNK_BYTES = 1 << 20
_POLL_SECONDS = 0.02
_PROC = Path("/proc")
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
# A dump's text may be longer than the pages it comes from (bytea doubles, TOAST unpacks), and scratch is shared.
_ROOM_FACTOR = 2


def room_wanted(database_bytes: int) -> int:
    """Return the free bytes of scratch that a parallel dump of a database of this size asks for."""
    return _ROOM_FACTOR * database_bytes


def require_room(scratch: Path, dump_bytes: int) -> None:
    """Make sure that a directory dump of this length can be unpacked for ``pg_restore``, which cannot stream it.

    Raises:
        StorageFull: it cannot.
    """
    # The site's folder may not have been made yet.
    place = next(folder for folder in (scratch, *scratch.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < dump_bytes:
        raise StorageFull(
            f"scratch {scratch} has {free} bytes free, the dump needs {dump_bytes}: it was made by several jobs, "
            "and pg_restore reads such a dump from a directory only",
            hint="free space, or name another database.scratchDirectory in the site file",
        )


class DirectoryDump(BackgroundTool):
    """A running ``pg_dump --format=directory``, read as a tar of what it writes.

    Args:
        command: the command without ``--file``.
        server: whom it talks to.
        directory: where it shall write; must not exist yet, is the caller's to remove.
    """

    def __init__(self, command: Sequence[str], *, server: Server | None, directory: Path) -> None:
        super().__init__([*command, f"--file={directory}"], server=server)
        # As the kernel names it, to be found among the open files.
        self._directory = directory.resolve()
        self._workers: tuple[Path, ...] | None = None
        self._chunks = self._tar()
        self._left = b""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes of the tar; nothing only after ``pg_dump`` has ended with exit code 0.

        Raises:
            ToolFailed: it ended otherwise, or one of the errors that its last words mean.
            StorageFull: no space left in scratch.
        """
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._left = chunk
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def _tar(self) -> Iterator[bytes]:
        while True:
            # Asked first: what lies there after the end is complete, whoever looks.
            ended = self.ended()
            complete = self._names() if ended else self._complete()
            for name in complete:
                if name != TABLE_OF_CONTENTS:
                    yield from self._member(name)
            if ended:
                break
            if not complete:
                time.sleep(_POLL_SECONDS)
        yield from self._member(TABLE_OF_CONTENTS)
        yield _END_OF_TAR

    def _member(self, name: str) -> Iterator[bytes]:
        path = self._directory / name
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = status.st_size, int(status.st_mtime), 0o600
            yield member.tobuf(tarfile.GNU_FORMAT)
            left = member.size
            while left:
                chunk = file.read(min(left, _CHUNK_BYTES))
                if not chunk:
                    raise ToolFailed(f"{path} became shorter while it was stored")
                left -= len(chunk)
                yield chunk
            if file.read(1):
                raise ToolFailed(f"{path} became longer while it was stored")
        if member.size % tarfile.BLOCKSIZE:
            yield bytes(tarfile.BLOCKSIZE - member.size % tarfile.BLOCKSIZE)
        path.unlink()

    def _names(self) -> list[str]:
        try:
            return sorted(path.name for path in self._directory.iterdir())
        except FileNotFoundError:
            return []  # pg_dump has not made it yet

    def _complete(self) -> list[str]:
        """Return the files that no process of ``pg_dump`` has open. Each is opened once, by the one that makes it."""
        names = [name for name in self._names() if name != TABLE_OF_CONTENTS]
        if not names:
            return []
        # The order counts. Whoever made a file that is there already was running before this line, and pg_dump
        # starts all its workers before the first of them makes a file.
        if self._workers is None:
            self._workers = _session_members(self.pid)
        open_files = _open_files(self._workers)
        if open_files is None:
            return []  # the system does not tell: everything is stored after the end
        return [name for name in names if str(self._directory / name) not in open_files]


def _session_members(session: int) -> tuple[Path, ...]:
    """Return the folders below ``/proc`` of all processes of a session; none where the system has no such folders."""
    found: list[Path] = []
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # pid (name) state ppid pgrp session …; the name may hold anything, parentheses too
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session:
                found.append(folder)
    return tuple(found)


def _open_files(processes: Sequence[Path]) -> set[str] | None:
    """Return the paths that these processes have open, or None when it cannot be known."""
    if len(processes) < 2:  # a leader and at least one worker, or the system hides them
        return None
    found: set[str] = set()
    for process in processes:
        try:
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    found.add(str(descriptor.readlink()))
        except FileNotFoundError:
            continue  # it has ended: whether well, pg_dump's exit code tells
        except OSError:
            return None
    return found


def unpack_dump(source: SupportsRead, directory: Path) -> None:
    """Lay the directory of a ``dump.directory`` stream out, for ``pg_restore --format=directory``.

    Args:
        source: the stream.
        directory: where; must not exist yet.

    Raises:
        StorageFull: no space left there.
        ToolFailed: the stream is not such a tar, or ends early.
    """
    directory.mkdir(mode=0o700)
    with naming_full_disk(directory):
        try:
            with tarfile.open(fileobj=source, mode="r|", bufsize=_CHUNK_BYTES) as tar:  # type: ignore[arg-type]
                for member in tar:
                    content = tar.extractfile(member) if member.isreg() and "/" not in member.name else None
                    if content is None or member.name in ("", ".", ".."):
                        raise ToolFailed(f"the dump holds {member.name!r}, which is no file of a pg_dump directory")
                    with (directory / member.name).open("xb") as file:
                        shutil.copyfileobj(content, file, _CHUNK_BYTES)
        except tarfile.TarError as error:
            raise ToolFailed(f"the dump is not the tar of a pg_dump directory: {error}") from error
    # Reads to the end: a source that proves its bytes does so there.
    while source.read(_CHUNK_BYTES):
        pass
    if not (directory / TABLE_OF_CONTENTS).exists():
        raise ToolFailed(f"the dump has no {TABLE_OF_CONTENTS}: it ends early")
