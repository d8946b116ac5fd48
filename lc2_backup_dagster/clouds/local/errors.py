"""Operating-system errors turned into the project's own."""

import errno
from collections.abc import Generator
from contextlib import contextmanager

from lc2_backup_dagster.model.errors import AccessDenied, KeyNotRepresentable, StorageFull, StoreUnavailable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
UNREPRESENTABLE = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})


@contextmanager
def translated(operation: str, url: str, key: str = "") -> Generator[None, None, None]:
    """Raise what the enclosed code gets from the operating system as an error of the project.

    Absence (``ENOENT`` and its kin) is judged by the caller, who knows what is absent; what reaches this place
    all the same is no proof of absence and becomes ``StoreUnavailable`` (L-28).

    Raises:
        StorageFull: no space, no quota, or larger than the file system takes.
        AccessDenied: a right is missing or the file system is read-only.
        KeyNotRepresentable: the file system refuses the name.
        StoreUnavailable: any other error of input or output.
    """
    try:
        yield
    except OSError as error:
        place = f"{operation} '{key}' in {url}" if key else f"{operation} in {url}"
        reason = error.strerror or str(error)
        if error.errno in FULL:
            raise StorageFull(
                f"{place}: {reason}", hint="free space on that file system or raise the quota", key=key
            ) from error
        if error.errno in DENIED:
            raise AccessDenied(
                f"{place}: {reason}", hint="give the service's user the right on that folder", key=key
            ) from error
        if error.errno in UNREPRESENTABLE:
            raise KeyNotRepresentable(
                f"{place}: {reason}", hint="this file system cannot hold the name", key=key
            ) from error
        raise StoreUnavailable(f"{place}: {reason}", key=key) from error
