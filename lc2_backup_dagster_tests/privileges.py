"""Root may do everything; some tests have to be nobody for a moment."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def without_privileges() -> Iterator[None]:
    """Be nobody instead of root; anybody else is that already."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def visible_to_all(path: Path) -> Path:
    """Make a folder whose way to it everybody may go: pytest's own belongs to root alone."""
    for parent in (path, *path.parents):
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH | stat.S_IXGRP)
    path.chmod(0o755)
    return path
