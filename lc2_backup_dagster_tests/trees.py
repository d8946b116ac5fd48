"""Trees of files, links and folders on disk, and everything that a restore must bring back of them."""

import os
import stat
from pathlib import Path
from typing import Any

Facts = dict[str, tuple[Any, ...]]


def facts_of_tree(root: Path, *, owners: bool = True) -> Facts:
    """Return path below the root → kind, time, mode or target, content, owner; our own staging folder is left out."""
    found: Facts = {}
    for folder, folders, files in os.walk(root):
        if folder == str(root):
            folders[:] = [name for name in folders if name != ".lc2-staging"]
        for path in (Path(folder) / name for name in (*folders, *files)):
            status = path.lstat()
            facts: list[Any] = [stat.S_IFMT(status.st_mode), status.st_mtime_ns]
            if stat.S_ISLNK(status.st_mode):
                facts.append(os.readlink(path))  # noqa: PTH115 - Path.readlink tidies what it reads
            else:
                facts.append(oct(stat.S_IMODE(status.st_mode)))
            if stat.S_ISREG(status.st_mode):
                facts.append(path.read_bytes())
            if owners:
                facts += [status.st_uid, status.st_gid]
            found[str(path.relative_to(root))] = tuple(facts)
    return found
