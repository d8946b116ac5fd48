"""Local disk for what must lie there for a while; what a killed process left is removed by the next run."""

import os
import shutil
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lc2_backup_dagster.model.errors import AccessDenied, StorageFull
from lc2_backup_dagster.model.site import SiteId


@contextmanager
def scratch_folder(root: Path, site: SiteId, purpose: str) -> Generator[Path]:
    """Give an empty folder that is gone afterwards, and remove those of dead processes.

    Folders are named after machine and process: a process that lives keeps its own, whatever runs beside it.

    Args:
        root: the site's scratch directory.
        site: whose.
        purpose: what for, a word; leftovers are looked for under the same word.

    Raises:
        StorageFull: there is no room for it.
        AccessDenied: this account may not make it.
    """
    # By user: a scratch directory that several accounts share (/tmp) must not let one shut out the others.
    own = root / f"lc2-backup-{os.getuid()}"
    parent = own / site.project / site.application
    folder = parent / f"{purpose}.{socket.gethostname()}.{os.getpid()}"
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        if own.is_symlink() or own.stat().st_uid != os.getuid():
            raise AccessDenied(
                f"scratch folder {own} belongs to somebody else",
                hint="remove it, or name another database.scratchDirectory in the site file",
            )
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.glob(f"{purpose}.{socket.gethostname()}.*"):
            if not _alive(left.name.rpartition(".")[2]):
                shutil.rmtree(left, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    except PermissionError as error:
        raise AccessDenied(
            f"scratch folder {folder} cannot be made: permission denied",
            hint="name another database.scratchDirectory in the site file",
        ) from error
    except OSError as error:
        raise StorageFull(
            f"scratch folder {folder} cannot be made: {error.strerror}",
            hint="free space, or name another database.scratchDirectory in the site file",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: str) -> bool:
    if not pid.isdecimal() or pid == str(os.getpid()):
        return pid != str(os.getpid())
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
