"""POSIX facts of an entry as a short row of JSON values, and what a restore could not set of them. Pure."""

from functools import lru_cache
from typing import Any

from lc2_backup_dagster.clouds.store import PosixFacts, PosixKind

_IDS = range(2**32 - 1)  # the last number means "leave as it is" to the system
_MODES = range(0o10000)
_KEPT = (PosixKind.FILE, PosixKind.SYMLINK, PosixKind.DIRECTORY)


def facts_row(facts: PosixFacts) -> list[Any]:
    """Return kind, mode, uid, gid, user, group and nanoseconds; of a link also where it leads."""
    row = [str(facts.kind), facts.mode, facts.uid, facts.gid, facts.user, facts.group, facts.nanoseconds]
    return row if facts.target is None else [*row, facts.target]


def facts_of_row(row: list[Any]) -> PosixFacts:
    """Read a row.

    Raises:
        ValueError: a value that no file system gives, or a kind that is not kept.
        TypeError: a value of another type.
    """
    kind, mode, uid, gid, user, group, nanoseconds, *rest = row
    known = _kind(kind, mode, uid, gid, user, group)
    if type(nanoseconds) is not int or not 0 <= nanoseconds < 1000:
        raise ValueError(f"{nanoseconds!r} are no nanoseconds")
    if known is not PosixKind.SYMLINK and not rest:
        return PosixFacts(known, mode, uid, gid, user, group, None, nanoseconds)
    (target,) = rest
    if known is not PosixKind.SYMLINK or not isinstance(target, str) or not target or "\0" in target:
        raise ValueError(f"{target!r} is nowhere that {kind!r} can lead")
    return PosixFacts(known, mode, uid, gid, user, group, target, nanoseconds)


@lru_cache(4096, typed=True)  # millions of files have a few owners and modes; typed, because True would pass for 1
def _kind(kind: Any, mode: Any, uid: Any, gid: Any, user: Any, group: Any) -> PosixKind:
    for number, allowed in ((mode, _MODES), (uid, _IDS), (gid, _IDS)):
        if type(number) is not int or number not in allowed:
            raise ValueError(f"{number!r} is not below {allowed.stop}")
    for name in (user, group):
        if name is not None and not isinstance(name, str):
            raise TypeError(f"{name!r} is not a name")
    if kind not in _KEPT:
        raise ValueError(f"{kind!r} is not kept")
    return PosixKind(kind)


def unset(wanted: PosixFacts, got: PosixFacts, *, ids: tuple[int, int]) -> str:
    """Say what of the facts a restored path does not have; nothing when it has all.

    Args:
        wanted: as recorded.
        got: as they are.
        ids: the numbers that owner and group have on the machine of the target.
    """
    found: list[str] = []
    if (got.uid, got.gid) != ids:
        found.append(f"owner {_owner(got)} instead of {_owner(wanted)}")
    if got.mode != wanted.mode and wanted.kind is not PosixKind.SYMLINK:
        found.append(f"mode {got.mode:04o} instead of {wanted.mode:04o}")
    return ", ".join(found)


def _owner(facts: PosixFacts) -> str:
    return f"{facts.user or facts.uid}:{facts.group or facts.gid}"
