"""Keys as folders and file names, walked with open directories so that no link and no ``..`` leads out of the root.

Every step opens the next folder relative to the one before and refuses symbolic links, so another process that
swaps a folder for a link in the middle of an operation gains nothing.
"""

import errno
import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from lc2_backup_dagster.model.errors import KeyNotRepresentable

STAGING = b".lc2-staging"
"""Hidden folder of half-written files in the root; no key may begin with it and no listing shows it."""

UNFINISHED = stat.S_ISVTX | stat.S_IRWXU
"""Mode of a folder that a restore has made and not finished; nothing else makes private folders with a sticky bit."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def encoded(text: str) -> bytes:
    """Return the bytes of a key or prefix; undecodable bytes of file names come back as they were.

    Raises:
        KeyNotRepresentable: the text has no bytes.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise KeyNotRepresentable(f"key {text!r} cannot be written as UTF-8", key=text) from error


def segments_of(key: str) -> list[bytes]:
    """Return the names along a key, as bytes.

    Raises:
        KeyNotRepresentable: the key is empty or absolute, ends with a slash, has an empty, ``.`` or ``..`` segment
            or a NUL, lies in the staging folder, or cannot be written as bytes.
    """
    whole = encoded(key)
    segments = whole.split(b"/")
    reason = None
    if not whole:
        reason = "is empty"
    elif b"\0" in whole:
        reason = "contains a NUL"
    elif b"" in segments:
        reason = "begins or ends with a slash or has two in a row"
    elif b"." in segments or b".." in segments:
        reason = "has a segment '.' or '..'"
    elif segments[0] == STAGING:
        reason = f"lies in the reserved folder {STAGING.decode()}"
    if reason:
        raise KeyNotRepresentable(f"key {key!r} {reason}; a directory store cannot hold it", key=key)
    return segments


def segments_of_folder(key: str) -> list[bytes]:
    """Return the names along the key of a folder, which ends with a slash.

    Raises:
        KeyNotRepresentable: see ``segments_of``.
    """
    return segments_of(key.removesuffix("/"))


def open_folder(name: bytes, *, inside: int) -> int:
    """Open a folder by its name in an open one, refusing links; the caller closes the descriptor.

    Raises:
        FileNotFoundError: it does not exist.
        NotADirectoryError: it is a file or a link.
    """
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=inside)


@contextmanager
def folder(root: bytes, segments: Sequence[bytes], *, create: bool = False) -> Generator[int, None, None]:
    """Open the folder reached from ``root`` by ``segments`` and close it afterwards.

    Args:
        root: path of the root; a link at the root itself is followed.
        segments: names below it.
        create: make what is missing, durably.

    Raises:
        FileNotFoundError: the root, or without ``create`` a folder, does not exist.
        NotADirectoryError: one of the names is a file or a link.
    """
    current = os.open(root, _FOLDER)
    try:
        for name in segments:
            following = _enter(name, inside=current, create=create)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def _enter(name: bytes, *, inside: int, create: bool) -> int:
    # A delete elsewhere may remove the emptied folder between our mkdir and our open: make it again.
    while True:
        try:
            return open_folder(name, inside=inside)
        except FileNotFoundError:
            if not create:
                raise
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=inside)
            # Without this a crash could lose the new folder together with the synced file inside it.
            os.fsync(inside)


def make_folder(root: bytes, segments: Sequence[bytes], *, take_over: bool) -> bool:
    """Make a folder that only this process's user may enter, and say whether it has to be finished.

    It is durable once the folder above is synced: now, or where that one is unfinished itself, when it is finished.

    Args:
        root: path of the root.
        segments: names below it.
        take_over: also make one that is there already, and belongs to this user, writable for it.

    Raises:
        NotADirectoryError: something else lies there, or above.
    """
    while True:
        try:
            with folder(root, segments[:-1], create=True) as above:
                with suppress(FileExistsError):
                    os.mkdir(segments[-1], UNFINISHED, dir_fd=above)
                    if not _is_unfinished(os.fstat(above)):
                        os.fsync(above)
                    return True
                return _is_to_be_finished(segments[-1], inside=above, take_over=take_over)
        except FileNotFoundError:
            # Removed beside us, as in ``_enter``: make it again, unless it is the root that is gone.
            with folder(root, ()):
                pass


def _is_to_be_finished(name: bytes, *, inside: int, take_over: bool) -> bool:
    there = os.stat(name, dir_fd=inside, follow_symlinks=False)
    if not stat.S_ISDIR(there.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if take_over and there.st_uid == os.geteuid() and there.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        file = open_folder(name, inside=inside)
        try:
            os.fchmod(file, stat.S_IMODE(there.st_mode) | stat.S_IRWXU)
        finally:
            os.close(file)
    return take_over or _is_unfinished(there)


def _is_unfinished(status: os.stat_result) -> bool:
    mode = status.st_mode & (UNFINISHED | stat.S_IRWXG | stat.S_IRWXO)  # setgid comes by itself from above
    return status.st_uid == os.geteuid() and mode == UNFINISHED


def remove_emptied(root: bytes, folders: set[tuple[bytes, ...]]) -> None:
    """Remove those folders, and the folders above them, that hold nothing; never the root.

    Safe beside writers: ``rmdir`` removes only what is empty, and a writer whose folder vanished makes it again.
    """
    while folders:
        deepest = max(folders, key=len)
        folders.discard(deepest)
        if not deepest:
            continue
        try:
            with folder(root, deepest[:-1]) as above:
                os.rmdir(deepest[-1], dir_fd=above)
        except (FileNotFoundError, NotADirectoryError):
            pass  # gone already: what is above it may be empty all the same
        except OSError:
            continue  # not empty, or not ours to remove: the objects are deleted, which is what was asked
        folders.add(deepest[:-1])


def remove_folder(root: bytes, segments: Sequence[bytes]) -> None:
    """Remove a folder if it is one and empty; what is in it was not asked for, and stays."""
    with folder(root, ()):
        pass
    try:
        with folder(root, segments[:-1]) as above:
            os.rmdir(segments[-1], dir_fd=above)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
