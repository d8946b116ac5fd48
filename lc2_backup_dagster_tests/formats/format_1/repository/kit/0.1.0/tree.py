"""Restore kit of LC2 backup repositories, format 1: writes restored files, links and folders below one new directory.

Lies beside restore.py, which loads it, and says which files are those of a recovery point. FORMAT.md, section 12, has
the rules. What an account may not set (only root gives files to others) is left and counted.
"""
# ruff: noqa: D102 - short enough to be read whole by someone in a hurry; FORMAT.md explains each step

from __future__ import annotations

import grp
import heapq
import itertools
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BLOCK = 1 << 20
Json = dict[str, Any]


class Tree:
    """Links are made when everything else is written: so nothing is ever written through one."""

    def __init__(self, root: Path, note: Callable[[str], None]) -> None:
        self.root, self.note = root, note
        self.links: list[tuple[Path, Json]] = []
        self.folders: list[tuple[Path, Json]] = []
        self.failed = self.left = 0

    def take(self, entry: Json, content: Iterator[bytes]) -> None:
        """Write a file, make a folder, or keep a link for ``finish``."""
        kind = entry["p"][0] if "p" in entry else "f"
        names = (entry["k"][:-1] if kind == "d" else entry["k"]).split("/")
        if not {"", ".", ".."}.isdisjoint(names):
            raise ValueError("its key cannot be a path")
        path = self.root / native("/".join(names))
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "d":
            path.mkdir(mode=0o700, exist_ok=True)  # private until it gets its own mode, and writable until then
            self.folders.append((path, entry))
        elif kind == "l":
            self.links.append((path, entry))
        else:
            self.write(path, entry, content)

    def write(self, path: Path, entry: Json, content: Iterator[bytes]) -> None:
        if os.path.lexists(path):
            raise ValueError(f"{path} exists")
        partial, mode = path.with_name(f".lc2-partial-{os.getpid()}"), 0o600 if "p" in entry else 0o666
        try:
            with open(partial, "wb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, mode)) as file:
                for piece in content:
                    for start in range(0, len(piece), BLOCK):
                        block = piece[start : start + BLOCK]
                        if block == bytes(len(block)):  # zeros need no room on disk
                            file.seek(len(block), os.SEEK_CUR)
                        else:
                            file.write(block)
                file.truncate()
            self.dress(partial, entry)
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)

    def finish(self) -> int:
        """Make the links, give folders owner, mode and time, and return how many of them failed."""
        for path, entry in self.links:
            self.attempt(entry, lambda path=path, entry=entry: path.symlink_to(native(entry["p"][7])))
            if path.is_symlink():
                self.attempt(entry, lambda path=path, entry=entry: self.dress(path, entry))
        for path, entry in reversed(self.folders):  # what lies deeper first
            self.attempt(entry, lambda path=path, entry=entry: self.dress(path, entry))
        if self.links or self.folders:
            self.note(f"{len(self.links)} links and {len(self.folders)} folders, {self.failed} failed")
        if self.left:
            self.note(f"{self.left} have another owner than they had: only root may give files to others")
        return self.failed

    def attempt(self, entry: Json, action: Callable[[], None]) -> None:
        try:
            action()
        except (OSError, ValueError) as error:
            self.failed += 1
            self.note(f"FAILED {entry['k']!r}: {error}")

    def dress(self, path: Path, entry: Json) -> None:
        """Give a path owner, mode and time. The owner comes first: changing it clears setuid and setgid."""
        nanoseconds = 0
        if "p" in entry:
            kind, mode, uid, gid, user, group, nanoseconds = entry["p"][:7]
            owner = number(lambda: pwd.getpwnam(user).pw_uid, uid), number(lambda: grp.getgrnam(group).gr_gid, gid)
            try:
                os.chown(path, *owner, follow_symlinks=False)
            except PermissionError:
                self.left += 1
                mode &= ~0o6000 if kind == "f" else ~0  # never lend out the rights of another owner
            if kind != "l":
                path.chmod(mode)
        moment = entry["t"] * 1000 + nanoseconds
        os.utime(path, ns=(moment, moment), follow_symlinks=False)


def files_of(repository: Any, manifest: Json) -> Iterator[Json]:
    """Yield the files of a backup; of a recovery point as of its moment: what was kept for its rows, else as listed."""
    members = manifest.get("details", {}).get("members")
    if members is None:
        yield from repository.entries(manifest)
        return
    files, streams = repository.manifest(members["files"]["backup_id"]), ["files"]
    if files["details"].get("kept", {}).get("dump") == members.get("database_dump", {}).get("backup_id", ""):
        streams = sorted(files["streams"], reverse=True)  # of equal keys that of files.kept comes first
    merged = heapq.merge(*(repository.entries(files, name) for name in streams), key=lambda each: each["k"])
    for _, same in itertools.groupby(merged, key=lambda each: each["k"]):
        yield next(same)


def native(text: str) -> str:
    """Return a name as this system spells it; bytes that are not UTF-8 come back as they were."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def number(by_name: Callable[[], int], recorded: int) -> int:
    """Return the number that a name has on this machine, or the recorded one where the name is unknown."""
    try:
        return by_name()
    except (KeyError, TypeError, ValueError):
        return recorded
