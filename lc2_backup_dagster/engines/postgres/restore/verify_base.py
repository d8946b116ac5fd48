"""Verify an unpacked base backup against the manifest that the server wrote.

``pg_verifybackup`` is the reference and checks the WAL as well; it must be of the data's major version. Where it is
not installed the same comparison of files, sizes and checksums is made here. Both must run before the directory is
started: recovery changes it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from lc2_backup_dagster.engines.postgres.base.backup_manifest import MANIFEST_NAME, manifest_files, read_manifest
from lc2_backup_dagster.engines.postgres.base.checksums import file_checksum
from lc2_backup_dagster.engines.postgres.servers.tool_process import run_tool
from lc2_backup_dagster.engines.postgres.servers.tools import find_programs, program_version
from lc2_backup_dagster.model.errors import IntegrityError, RestoreMismatch, ToolFailed, ToolMissing

# What pg_verifybackup ignores too: WAL is not in the manifest, the two files are written after it.
_IGNORED = ("postgresql.auto.conf", "standby.signal", "recovery.signal", MANIFEST_NAME)


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification that passed.

    Attributes:
        by: ``pg_verifybackup <version>`` or ``lc2-backup``.
        wal_parsed: whether the WAL was read record by record.
    """

    by: str
    wal_parsed: bool


def verify_directory(
    directory: Path, *, major: int, tools_directory: Path | None = None, checksums: bool = True
) -> Verified:
    """Verify a data directory that was never started.

    Args:
        directory: the data directory.
        major: its major version.
        tools_directory: configured directory of PostgreSQL's tools.
        checksums: read every file; False where the content was proven while it was written.

    Raises:
        RestoreMismatch: it differs from its manifest; the message names what.
        IntegrityError: the manifest itself is damaged.
    """
    try:
        place = find_programs("pg_verifybackup", "pg_waldump", major=major, directory=tools_directory)
    except ToolMissing:
        _compare(directory, checksums=checksums)
        return Verified("lc2-backup", wal_parsed=False)
    program = place / "pg_verifybackup"
    try:
        options = ["--exit-on-error", "--quiet"] if checksums else ["--exit-on-error", "--quiet", "--skip-checksums"]
        run_tool([str(program), *options, str(directory)], server=None)
    except ToolFailed as error:
        raise RestoreMismatch(f"{directory} is not what was backed up: {error.message}") from error
    version = program_version(program)
    return Verified(f"pg_verifybackup {version[0] if version else major}", wal_parsed=True)


def _compare(directory: Path, *, checksums: bool) -> None:
    manifest_path = directory / MANIFEST_NAME
    if not manifest_path.is_file():
        raise IntegrityError("the base backup has no backup_manifest")
    read_manifest(manifest_path)
    listed = 0
    for promised in manifest_files(manifest_path):
        path = directory / promised.path
        if promised.path.startswith("pg_wal/") or promised.path in _IGNORED:
            continue
        if not path.is_file():
            raise RestoreMismatch(f"{directory} is not what was backed up: {promised.path} is missing")
        listed += 1
        size = path.stat().st_size
        if size != promised.size:
            raise RestoreMismatch(
                f"{directory} is not what was backed up: {promised.path} has {size} bytes instead of {promised.size}"
            )
        if checksums and file_checksum(path, promised.algorithm)[1] != promised.checksum:
            raise RestoreMismatch(f"{directory} is not what was backed up: {promised.path} has other content")
    present = sum(
        len(names)
        for folder, _, names in os.walk(directory)
        if Path(folder).relative_to(directory).parts[:1] != ("pg_wal",)
    )
    extra = [name for name in _IGNORED if (directory / name).is_file()]
    if present > listed + len(extra):
        raise RestoreMismatch(f"{directory} has {present - listed - len(extra)} files that its manifest does not list")
