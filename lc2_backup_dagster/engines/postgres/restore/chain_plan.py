"""Decide from the manifests of a chain which file of the result comes from which backups. Pure.

The manifest of every backup lists all files of the cluster, those of which it holds changed blocks only under
``INCREMENTAL.<name>``. So before any data is fetched it is known what the newest backup consists of, where each file is
whole for the last time, and whether the chain is complete; nothing is written that a later backup drops or replaces.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lc2_backup_dagster.engines.postgres.base.backup_manifest import ManifestFile
from lc2_backup_dagster.engines.postgres.base.checksums import new_checksum
from lc2_backup_dagster.engines.postgres.restore.increments import (
    PAGE_BYTES,
    UNCHANGED_BYTES,
    final_path,
    unchanged_content,
)
from lc2_backup_dagster.model.errors import ChainBroken, IntegrityError

WAL_FOLDER = "pg_wal"


@dataclass(slots=True)
class PlannedFile:
    """One file of the result.

    Attributes:
        whole_at: number of the backup, from 0 for the full one, that holds it whole for the last time.
        whole: what that backup's manifest says of it.
        increments: what the manifests after that one say of its changed blocks, oldest first.
        is_known: whether ``whole`` describes the result: no increment says that a block or the length changed.
    """

    whole_at: int
    whole: ManifestFile
    increments: list[ManifestFile]
    is_known: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_known = all(_leaves_as_is(each, self.whole.size) for each in self.increments)


def _leaves_as_is(increment: ManifestFile, size: int) -> bool:
    # The manifest has no content, but size and checksum of an increment without blocks tell its truncation length.
    checksum = new_checksum(increment.algorithm)
    if increment.size != UNCHANGED_BYTES or size % PAGE_BYTES or checksum is None:
        return False
    checksum.update(unchanged_content(size // PAGE_BYTES))
    return checksum.hexdigest() == increment.checksum


def plan_chain(manifests: Sequence[Iterable[ManifestFile]], *, names: Sequence[str]) -> dict[str, PlannedFile]:
    """Return what the result consists of: path → where it comes from. WAL is left out: it comes from the newest.

    Args:
        manifests: the files of each backup's manifest, oldest backup first.
        names: the backups' names for messages, in the same order.

    Raises:
        ChainBroken: an increment of a file stands on nothing.
        IntegrityError: a manifest contradicts itself.
    """
    planned: dict[str, PlannedFile] = {}
    waiting: dict[str, list[ManifestFile]] = {}  # increments, newest first, of files not found whole yet
    newest = len(manifests) - 1
    for number in range(newest, -1, -1):
        found: set[str] = set()
        for listed in manifests[number]:
            path, incremental = final_path(listed.path) if number else (listed.path, False)
            if path.startswith(f"{WAL_FOLDER}/") or (number < newest and path not in waiting):
                continue
            if path in found or path in planned:
                raise IntegrityError(f"the manifest of {names[number]} lists {path} twice")
            found.add(path)
            if incremental:
                waiting.setdefault(path, []).append(listed)
            else:
                planned[path] = PlannedFile(number, listed, waiting.pop(path, [])[::-1])
        lost = next((path for path in waiting if path not in found), None)
        if lost is not None:
            raise ChainBroken(
                f"{names[number + 1]} holds changed blocks of {lost}, but {names[number]} has no such file",
                hint="restore another backup",
            )
    if waiting:
        raise ChainBroken(f"{names[0]} holds changed blocks of {next(iter(waiting))} and nothing they stand on")
    return planned
