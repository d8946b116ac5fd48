"""The directory a restore goes into: what is refused, what a failure removes, and when it is on disk (L-27)."""

import contextlib
import ctypes
import json
import os
import shutil
from pathlib import Path

from lc2_backup_dagster.model.errors import ConfigurationError, TargetNotEmpty

CONTROL = "global/pg_control"
UNFINISHED = ".lc2-unfinished"
# Holds the manifests while a restore runs. With it a restore that was killed can be told from a foreign directory.
WORK_FOLDER = ".lc2-restore"
_MARKER = "marker.json"
# A file system's own folder at the top of a mount point; not ours to delete.
LEFT_ALONE = ("lost+found",)


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
        raise TargetNotEmpty(
            f"{target} is not empty",
            hint="choose a new directory; only a delta restore writes into one that holds data of the same system",
        )


def check_delta_directory(target: Path, *, system_identifier: str | None) -> None:
    """Refuse a directory that a delta restore must not write into.

    Raises:
        TargetNotEmpty: it is no data directory, of another system, in use, or has foreign file systems inside.
        ConfigurationError: it does not exist.
    """
    if target.is_symlink():
        raise TargetNotEmpty(f"{target} is a symbolic link", hint="name the real directory")
    if not target.is_dir():
        raise ConfigurationError(f"there is no directory {target} for a delta restore", hint="restore without delta")
    found = identifier_of(target)
    if found is None:
        raise TargetNotEmpty(
            f"{target} is neither a data directory nor an unfinished restore", hint="choose a new directory"
        )
    if found != system_identifier:
        raise TargetNotEmpty(
            f"{target} belongs to system {found}, the backup is of system {system_identifier}",
            hint="a delta restore goes into a directory of the same system only; choose a new directory",
        )
    pid = running_postmaster(target)
    if pid is not None:
        raise TargetNotEmpty(f"a server runs on {target} (process {pid})", hint="stop it first")
    for folder, names, _ in os.walk(target):
        for name in names:
            path = Path(folder) / name
            if os.path.ismount(path) and path != target / "pg_wal":
                raise TargetNotEmpty(
                    f"{path} is a mount point inside the data directory", hint="unmount it, or choose a new directory"
                )


def identifier_of(directory: Path) -> str | None:
    """Return the system identifier of a data directory, also of one whose restore broke off; None if it has none."""
    control = directory / CONTROL
    for path in (control, control.with_name(control.name + UNFINISHED)):
        with contextlib.suppress(OSError), path.open("rb") as file:
            # ControlFileData begins with it (pg_control.h), in the byte order of the machine
            head = file.read(8)
            if len(head) == 8:
                return str(int.from_bytes(head, "little"))
    with contextlib.suppress(OSError, ValueError, KeyError):
        marker = json.loads((directory / WORK_FOLDER / _MARKER).read_text(encoding="ascii"))
        return str(marker["system_identifier"])
    return None


def mark(target: Path, *, system_identifier: str | None) -> Path:
    """Make the folder that says that a restore is at work here, and return it."""
    folder = target / WORK_FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    if system_identifier is not None:
        (folder / _MARKER).write_text(json.dumps({"system_identifier": system_identifier}), encoding="ascii")
    return folder


def disable(target: Path) -> None:
    """Take ``pg_control`` away, durably, so that no server starts on the directory from now on."""
    control = target / CONTROL
    if control.exists():
        control.rename(control.with_name(control.name + UNFINISHED))
        sync_path(control.parent)


def running_postmaster(directory: Path) -> int | None:
    """Return the process that ``postmaster.pid`` names if it lives, else None."""
    try:
        text = (directory / "postmaster.pid").read_text(encoding="utf-8", errors="replace")
        pid = abs(int(text.split("\n")[0]))
    except (OSError, ValueError):
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:
        return pid  # of another user
    except (ProcessLookupError, OverflowError):
        return None
    return pid


def remove_content(directory: Path, *, existed: bool) -> None:
    """Remove what a failed restore wrote; the directory was absent or empty when it began."""
    for entry in directory.iterdir() if directory.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    if not existed:
        with contextlib.suppress(OSError):
            directory.rmdir()


def sync_file_system(directory: Path) -> None:
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


def sync_path(path: Path) -> None:
    """Make a directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
