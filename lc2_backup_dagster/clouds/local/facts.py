"""Owners, modes and times of files, links and folders: read from the system, and given as far as the process may."""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from lc2_backup_dagster.clouds.store import PosixFacts, PosixKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_KINDS = {stat.S_IFREG: PosixKind.FILE, stat.S_IFLNK: PosixKind.SYMLINK, stat.S_IFDIR: PosixKind.DIRECTORY}
# Not ours to set; an owner that this user namespace does not map; a file system without owners or modes.
_NOT_OURS = frozenset({errno.EPERM, errno.EINVAL, errno.ENOTSUP})


class Names:
    """Users and groups of this machine, each asked once: a directory service may be far away."""

    def __init__(self) -> None:
        self.user = lru_cache(4096)(_user)
        self.group = lru_cache(4096)(_group)
        self.uid = lru_cache(4096)(_uid)
        self.gid = lru_cache(4096)(_gid)

    def ids_of(self, facts: PosixFacts) -> tuple[int, int]:
        """Return the numbers of owner and group on this machine: by name where it is known, else as recorded."""
        uid = self.uid(facts.user) if facts.user is not None else None
        gid = self.gid(facts.group) if facts.group is not None else None
        return facts.uid if uid is None else uid, facts.gid if gid is None else gid


def facts_of(status: os.stat_result, names: Names, *, target: bytes | None = None) -> PosixFacts:
    """Return the facts of what was looked at without following links."""
    return PosixFacts(
        kind=_KINDS.get(stat.S_IFMT(status.st_mode), PosixKind.SPECIAL),
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        user=names.user(status.st_uid),
        group=names.group(status.st_gid),
        target=None if target is None else target.decode("utf-8", "surrogateescape"),
        nanoseconds=status.st_mtime_ns % 1000,
    )


def modified_of(status: os.stat_result) -> datetime:
    """Return the time of the last write to the microsecond below; times beyond year 1 and 9999 become those."""
    return _EPOCH + timedelta(microseconds=min(max(status.st_mtime_ns // 1000, _EARLIEST), _LATEST))


def attainable(facts: PosixFacts, *, ids: tuple[int, int], names: Names) -> PosixFacts:
    """Return what ``dress`` gives a file of this process: who is not root owns what it writes.

    Args:
        facts: as they should be.
        ids: the numbers that owner and group have on this machine.
        names: of this machine.
    """
    uid, gid = ids
    if os.geteuid() != 0:
        uid = os.geteuid()
        gid = gid if gid in (os.getegid(), *os.getgroups()) else os.getegid()
    mode = _without_lent_rights(facts.mode, owned=(uid == ids[0], gid == ids[1]))
    if facts.kind is not PosixKind.FILE:
        mode = facts.mode
    return replace(facts, mode=mode, uid=uid, gid=gid, user=names.user(uid), group=names.group(gid))


def dress(file: int, facts: PosixFacts, *, ids: tuple[int, int], modified: datetime) -> None:
    """Give an open file or folder its owner, mode and time, as far as this process may.

    The owner comes first: changing it clears setuid and setgid. A file that keeps another owner or group than it
    should have does not get setuid or setgid, which would lend out the rights of the wrong one.
    """
    _own(os.fstat(file), ids, lambda uid, gid: os.fchown(file, uid, gid))
    now = os.fstat(file)
    mode = facts.mode
    if stat.S_ISREG(now.st_mode):
        mode = _without_lent_rights(mode, owned=(now.st_uid == ids[0], now.st_gid == ids[1]))
    _if_allowed(lambda: os.fchmod(file, mode))
    times = _times(facts, modified)
    _if_allowed(lambda: os.utime(file, ns=times))


def dress_link(name: bytes, facts: PosixFacts, *, inside: int, ids: tuple[int, int], modified: datetime) -> None:
    """Give a link in an open folder its owner and time, as far as this process may; Linux has no modes of links."""

    def own(uid: int, gid: int) -> None:
        os.chown(name, uid, gid, dir_fd=inside, follow_symlinks=False)

    _own(os.stat(name, dir_fd=inside, follow_symlinks=False), ids, own)
    times = _times(facts, modified)
    _if_allowed(lambda: os.utime(name, ns=times, dir_fd=inside, follow_symlinks=False))


def _without_lent_rights(mode: int, *, owned: tuple[bool, bool]) -> int:
    user, group = owned
    return mode & ~(0 if user else stat.S_ISUID) & ~(0 if group else stat.S_ISGID)


def _own(now: os.stat_result, ids: tuple[int, int], own: Callable[[int, int], None]) -> None:
    if (now.st_uid, now.st_gid) == ids:
        return
    if not _if_allowed(lambda: own(*ids)):
        _if_allowed(lambda: own(-1, ids[1]))  # a user may give a file to any group of their own


def _if_allowed(action: Callable[[], None]) -> bool:
    try:
        action()
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        return False
    return True


def _times(facts: PosixFacts, modified: datetime) -> tuple[int, int]:
    moment = (modified - _EPOCH) // timedelta(microseconds=1) * 1000 + facts.nanoseconds
    return moment, moment


def _user(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _group(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):  # ValueError: no name that a system could have
        return None


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None
