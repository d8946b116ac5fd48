"""Lay the documents of an export out in a directory: a new one, or an empty one, whole or not at all."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from secrets import token_hex

from lc2_backup_dagster.engines.exports.document import Document, check_path
from lc2_backup_dagster.model.errors import AccessDenied, ConfigurationError, StorageFull, TargetNotEmpty


@dataclass(frozen=True, slots=True)
class UnpackedExport:
    """What was written.

    Attributes:
        directory: where.
        documents: how many files.
        size_bytes: their length together.
    """

    directory: Path
    documents: int
    size_bytes: int


def check_target(target: Path) -> None:
    """Refuse a directory that is not new or empty (L-27), or that could not be made: others are restored before it.

    Raises:
        TargetNotEmpty: it holds something, is a mount point, a symbolic link, or no directory.
        ConfigurationError: its parent does not exist.
        AccessDenied: this account may not write in its parent.
    """
    if target.is_symlink():
        raise TargetNotEmpty(f"{target} is a symbolic link", hint="name the real directory")
    parent = target.absolute().parent
    if not parent.is_dir():
        raise ConfigurationError(f"there is no directory {parent}", hint="create it first")
    if not os.access(parent, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise AccessDenied(f"{parent} may not be written", hint="choose another directory, or another account")
    if not target.exists():
        return
    if not target.is_dir():
        raise TargetNotEmpty(f"{target} is not a directory", hint="choose a new directory")
    if os.path.ismount(target):
        raise TargetNotEmpty(f"{target} is a mount point", hint="choose a new directory below it")
    if any(target.iterdir()):
        raise TargetNotEmpty(f"{target} is not empty", hint="choose a new directory")


def unpack_export(documents: Iterable[Document], target: Path) -> UnpackedExport:
    """Write documents below a directory that only their owner may enter.

    They are written beside the target, which appears under its name when all are there. After a failure nothing of them
    is left; after the death of the process a directory ``.<name>.lc2-<hex>`` is, which nobody takes for a restored one.

    Args:
        documents: proven ones, in any order.
        target: where to.

    Raises:
        TargetNotEmpty: the target holds something, or came to be in the meantime.
        ConfigurationError: the target's parent does not exist.
        ExportInvalid: a document would lie outside of the target.
        AccessDenied: this account may not write there.
        StorageFull: no space left there.
        BackupError: what the documents raise.
    """
    check_target(target)
    target = target.absolute()
    partial = target.with_name(f".{target.name}.lc2-{token_hex(4)}")
    count = size_bytes = 0
    try:
        partial.mkdir(mode=0o700)
        folder = partial
        for document in documents:
            folder = _write(partial, document, made=folder)
            count += 1
            size_bytes += len(document.content)
        # Replaces an empty directory, and refuses any other.
        partial.rename(target)
    except OSError as error:
        _remove(partial)
        raise _translated(error, target) from error
    except BaseException:
        _remove(partial)
        raise
    return UnpackedExport(target, count, size_bytes)


def _write(root: Path, document: Document, *, made: Path) -> Path:
    """Write a document and return the folder it lies in; ``made`` is one that is there already."""
    check_path(document.path)
    file = root / document.path
    if file.parent != made:
        file.parent.mkdir(parents=True, exist_ok=True)
    # Nothing but this function writes below the root, so no folder on the way can be a link.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(document.content)
    return file.parent


def _translated(error: OSError, target: Path) -> Exception:
    if error.errno in (ENOSPC, EDQUOT):
        return StorageFull(f"no space left for {target}", hint="free space or name another directory")
    if isinstance(error, PermissionError):
        return AccessDenied(f"{target} may not be written", hint="choose another directory, or another account")
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError) or target.exists():
        return TargetNotEmpty(f"{target} came to be during the restore", hint="choose a new directory")
    return error


def _remove(partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)
