"""Unpack a base backup into a new data directory that cannot start before it is complete.

``global/pg_control`` is written under another name and renamed last, after everything else is on disk: a server
refuses a directory without it, so an unfinished restore can never be mistaken for a database.
"""

import contextlib
import ctypes
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lc2_backup_dagster.engines.postgres.account import Account, give_to, server_account
from lc2_backup_dagster.engines.postgres.ports import Progress, SupportsRead, naming_full_disk, no_progress
from lc2_backup_dagster.engines.postgres.tar_index import MemberSink, TarMember, TarScanner
from lc2_backup_dagster.engines.postgres.verify_base import Verified, verify_directory
from lc2_backup_dagster.model.errors import ConfigurationError, IntegrityError, StorageFull, TargetNotEmpty

_CHUNK_BYTES = 1 << 20
_CONTROL = "global/pg_control"
_UNFINISHED = ".lc2-unfinished"
# A backup taken from a standby holds its signal file: the restored server would wait for a primary for ever.
_SIGNALS = ("standby.signal", "recovery.signal")


@dataclass(frozen=True, slots=True)
class RestoredBase:
    """What a restore did.

    Attributes:
        directory: the new data directory.
        files: files written.
        bytes_written: their bytes.
        major: PostgreSQL's major version, from ``PG_VERSION``.
        verified: who verified the directory against the manifest.
        seconds: duration.
    """

    directory: Path
    files: int
    bytes_written: int
    major: int
    verified: Verified | None
    seconds: float


def check_target_directory(target: Path) -> None:
    """Refuse any directory that a restore could damage (L-27).

    Raises:
        TargetNotEmpty: it holds something, is a mount point, a symbolic link, or not a directory.
        ConfigurationError: its parent does not exist.
    """
    if target.is_symlink():
        raise TargetNotEmpty(f"{target} is a symbolic link", hint="name the real directory")
    if not target.exists():
        if not target.parent.is_dir():
            raise ConfigurationError(f"there is no directory {target.parent}", hint="create it first")
        return
    if not target.is_dir():
        raise TargetNotEmpty(f"{target} is not a directory", hint="choose a new directory")
    if os.path.ismount(target):
        raise TargetNotEmpty(f"{target} is a mount point", hint="choose a new directory below it")
    if any(target.iterdir()):
        raise TargetNotEmpty(f"{target} is not empty", hint="choose a new directory; a restore never overwrites one")


def restore_base(
    source: SupportsRead,
    *,
    target_directory: Path,
    account: Account | None = None,
    tools_directory: Path | None = None,
    verify: bool = True,
    durable: bool = True,
    tar_bytes: int | None = None,
    on_progress: Progress = no_progress,
) -> RestoredBase:
    """Unpack the tar of a base backup.

    Args:
        source: the tar stream.
        target_directory: a new or empty directory below an existing one; gets mode 0700.
        account: who shall own it; by default the account that runs servers when this process is root.
        tools_directory: configured directory of PostgreSQL's tools, for ``pg_verifybackup``.
        verify: compare the result with the server's manifest.
        durable: wait until everything is on disk; False for a directory that is thrown away again (a drill).
        tar_bytes: length of the tar if known, to check free space first.
        on_progress: called after every chunk.

    When it raises, what it had written is removed again. Killed half-way, it leaves a directory without
    ``global/pg_control``, which no server starts and no later restore overwrites.

    Raises:
        TargetNotEmpty: see ``check_target_directory``.
        StorageFull: no space.
        IntegrityError: the stream is damaged, or holds what a base backup never holds.
        RestoreMismatch: the directory does not match the server's manifest.
    """
    began = time.monotonic()
    target = target_directory.absolute()
    check_target_directory(target)
    if tar_bytes is not None and (free := shutil.disk_usage(target.parent).free) < tar_bytes:
        raise StorageFull(f"{target.parent} has {free} bytes free, the backup needs {tar_bytes}")
    existed = target.exists()
    try:
        with naming_full_disk(target):
            unpacked = _Unpacked(target, account if account is not None else server_account())
            _unpack(source, unpacked, total_bytes=tar_bytes, on_progress=on_progress)
            unpacked.complete(durable=durable)
            verified = None
            if verify:
                verified = verify_directory(target, major=unpacked.major, tools_directory=tools_directory)
    except BaseException:
        _remove_own(target, existed=existed)
        raise
    return RestoredBase(
        directory=target,
        files=unpacked.files,
        bytes_written=unpacked.bytes_written,
        major=unpacked.major,
        verified=verified,
        seconds=time.monotonic() - began,
    )


def _unpack(source: SupportsRead, unpacked: "_Unpacked", *, total_bytes: int | None, on_progress: Progress) -> None:
    scanner = TarScanner(unpacked.on_member)
    with contextlib.closing(unpacked):
        while chunk := source.read(_CHUNK_BYTES):
            scanner.feed(chunk)
            on_progress(scanner.position, total_bytes)
        scanner.finish()


class _Unpacked:
    """The directory as it grows."""

    def __init__(self, target: Path, account: Account | None) -> None:
        self._target = target
        self._account = account
        self._open: _File | None = None
        self._control: Path | None = None
        self.files = 0
        self.bytes_written = 0
        target.mkdir(mode=0o700, exist_ok=True)
        target.chmod(0o700)
        give_to(account, target)

    @property
    def major(self) -> int:
        """Major version of the data."""
        try:
            return int((self._target / "PG_VERSION").read_text(encoding="ascii").split(".")[0])
        except (OSError, ValueError) as error:
            raise IntegrityError("the stream has no readable PG_VERSION, it is not a base backup") from error

    def on_member(self, member: TarMember) -> MemberSink | None:
        """Create a directory, or a file that takes the member's content."""
        path = self._inside(member.path)
        if not (member.is_file or member.typeflag == "5"):
            raise IntegrityError(f"the base backup has a link or device, which is not supported: {member.path}")
        if member.path in _SIGNALS:
            return None
        try:
            return self._create(member, path)
        except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
            raise IntegrityError(f"the base backup's members do not fit together at {member.path!r}") from error

    def _create(self, member: TarMember, path: Path) -> MemberSink | None:
        if not member.is_file:
            path.mkdir(mode=0o700, exist_ok=True)
            path.chmod(member.mode & 0o750 | 0o700)
            give_to(self._account, path)
            return None
        self.files += 1
        self.bytes_written += member.size
        if member.path == _CONTROL:
            path = self._control = path.with_name(path.name + _UNFINISHED)
        self._open = _File(path, member, self._account)
        return self._open

    def _inside(self, name: str) -> Path:
        parts = name.removeprefix("./").split("/")
        if name.startswith("/") or "\0" in name or ".." in parts or (name != "." and "" in parts):
            raise IntegrityError(f"the base backup has a path that leads out of its directory: {name!r}")
        # Only directories are ever created, never links, so no parent can lead elsewhere.
        return self._target.joinpath(*(part for part in parts if part != "."))

    def close(self) -> None:
        """Close a file that a broken stream left open."""
        if self._open is not None:
            self._open.abandon()

    def complete(self, *, durable: bool) -> None:
        """Make everything durable, then let the directory be a database."""
        if self._control is None:
            raise IntegrityError(f"the stream has no {_CONTROL}, it is not a base backup")
        self.major  # noqa: B018 - raises when it is no base backup
        if durable:
            _sync_file_system(self._target)
        self._control.rename(self._target / _CONTROL)
        if durable:
            _sync_path(self._control.parent)
            _sync_path(self._target.parent)


class _File:
    """One file being written; its close does not wait for the disk, ``complete`` does for all."""

    def __init__(self, path: Path, member: TarMember, account: Account | None) -> None:
        # 'x': two members of one name would mean that the stream is not what it says
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, member.mode & 0o640 | 0o600)
        give_to(account, descriptor)
        self._file: BinaryIO = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, chunk: memoryview, /) -> None:
        while chunk:
            chunk = chunk[self._file.write(chunk) :]

    def close(self) -> None:
        self._file.close()

    def abandon(self) -> None:
        """Close without complaint."""
        with contextlib.suppress(OSError):
            self._file.close()


def _remove_own(target: Path, *, existed: bool) -> None:
    """Remove what this restore wrote; the directory was absent or empty when it began."""
    for entry in target.iterdir() if target.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    if not existed:
        with contextlib.suppress(OSError):
            target.rmdir()


def _sync_file_system(directory: Path) -> None:
    """Make all that was written below a directory durable with one call; fsync of each file is many times slower."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(descriptor)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
