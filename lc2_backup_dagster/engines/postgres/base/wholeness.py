"""Prove that a captured base backup is whole: the server's manifest against what went through, and the WAL (L-12)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lc2_backup_dagster.engines.postgres.base.backup_manifest import BackupManifest, manifest_files, wal_segment_names
from lc2_backup_dagster.engines.postgres.base.tar_index import TarMember
from lc2_backup_dagster.model.errors import IntegrityError

_WAL_SEGMENT = re.compile(r"^pg_wal/[0-9A-F]{24}$")


@dataclass(frozen=True, slots=True)
class ArchiveIndex:
    """The index of one archive.

    Attributes:
        path: the file with its lines.
        prefix: where its members lie in the data directory: empty, or ``pg_tblspc/<oid>/``.
    """

    path: Path
    prefix: str


def check_whole(
    manifest: BackupManifest, manifest_path: Path, indexes: Sequence[ArchiveIndex], *, wal_segment_bytes: int
) -> None:
    """Compare the manifest with the indexes of what went through, given in the order of the stream.

    Servers send files in the manifest's order, so both are walked together and hardly anything is ever waiting.

    Raises:
        IntegrityError: a file or a WAL segment is missing, or a file has another size.
    """
    missing_wal = {
        name for needed in manifest.wal_ranges for name in wal_segment_names(needed, segment_bytes=wal_segment_bytes)
    }
    promised = manifest_files(manifest_path)
    waiting: dict[str, int] = {}  # promised, not met yet
    early: dict[str, int] = {}  # met, not promised yet
    for path, size in _files(indexes):
        if _WAL_SEGMENT.match(path):  # segments are not in the manifest, their .done files are
            if size == wal_segment_bytes:
                missing_wal.discard(path.removeprefix("pg_wal/"))
            continue
        early[path] = size
        following = next(promised, None)
        if following is not None:
            waiting[following.path] = following.size
            _match(following.path, waiting, early)
        _match(path, waiting, early)
    for following in promised:
        waiting[following.path] = following.size
        _match(following.path, waiting, early)
    if waiting:
        raise IntegrityError(f"the base backup lacks {len(waiting)} files of its manifest: {_some(waiting)}")
    if missing_wal:
        raise IntegrityError(f"the base backup lacks WAL that it needs: {_some(missing_wal)}")


def _files(indexes: Sequence[ArchiveIndex]) -> Iterator[tuple[str, int]]:
    for index in indexes:
        with index.path.open("rb") as lines:
            for member in map(TarMember.from_line, lines):
                if member.is_file:
                    yield index.prefix + member.path, member.size


def _match(path: str, waiting: dict[str, int], early: dict[str, int]) -> None:
    if path in waiting and path in early:
        promised, found = waiting.pop(path), early.pop(path)
        if promised != found:
            raise IntegrityError(f"the base backup has {found} bytes of {path}, its manifest promises {promised}")


def _some(names: "dict[str, int] | set[str]") -> str:
    return ", ".join(sorted(names)[:5]) + (", …" if len(names) > 5 else "")
