"""What a delta restore leaves alone and what it deletes."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lc2_backup_dagster.engines.postgres.base.backup_label import LABEL_NAME
from lc2_backup_dagster.engines.postgres.base.checksums import file_checksum
from lc2_backup_dagster.engines.postgres.restore.chain_plan import WAL_FOLDER, PlannedFile
from lc2_backup_dagster.engines.postgres.restore.tablespaces import LINKS_FOLDER
from lc2_backup_dagster.engines.postgres.restore.target_directory import CONTROL, LEFT_ALONE, UNFINISHED, WORK_FOLDER
from lc2_backup_dagster.engines.postgres.restore.unpack import Unpacking

_AT_ONCE = 4


def keep_what_is_right(
    target: Path, planned: Mapping[str, PlannedFile], *, tablespaces: Mapping[int, Path]
) -> tuple[frozenset[str], int]:
    """Delete files that the backup does not have, and return the paths whose content is right, and the number deleted.

    A file is right when size and checksum are those of the manifest. Of files that increments changed the manifests do
    not know the result; their blocks are compared while they are restored.
    """
    candidates: list[tuple[str, Path]] = []
    deleted = 0
    for name, path in _files(target, tablespaces, planned):
        file = planned.get(name)
        if file is None:
            path.unlink()
            deleted += 1
        elif name not in (CONTROL, LABEL_NAME) and file.is_known and path.is_file() and not path.is_symlink():
            candidates.append((name, path))

    def is_right(candidate: tuple[str, Path]) -> bool:
        name, path = candidate
        whole = planned[name].whole
        if path.stat().st_size != whole.size or whole.checksum is None:
            return False
        return file_checksum(path, whole.algorithm) == (whole.size, whole.checksum)

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="compare") as pool:
        right = pool.map(is_right, candidates)
        return frozenset(name for (name, _), same in zip(candidates, right, strict=True) if same), deleted


def remove_empty_directories(target: Path, unpacking: Unpacking, *, tablespaces: Mapping[int, Path]) -> None:
    """Remove directories that the backup does not have; their files are deleted already."""
    for prefix, root in _roots(target, tablespaces, unpacking.directories):
        for folder, names, _ in os.walk(root, topdown=False):
            for name in names:
                path = Path(folder) / name
                inside = prefix + str(path.relative_to(root))
                if inside not in unpacking.directories and _is_ours(inside) and not path.is_symlink():
                    path.rmdir()
    links = target / LINKS_FOLDER
    for link in links.iterdir() if links.is_dir() else ():
        if link.is_symlink() and link.name not in map(str, tablespaces):
            link.unlink()  # only the link: what lies outside the data directory is not deleted


def _files(
    target: Path, tablespaces: Mapping[int, Path], planned: Mapping[str, PlannedFile]
) -> Iterator[tuple[str, Path]]:
    for prefix, root in _roots(target, tablespaces, planned):
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder) / name
                inside = prefix + str(path.relative_to(root))
                if _is_ours(inside):
                    yield inside, path
    wal = target / WAL_FOLDER
    if wal.is_symlink():  # a file system of its own
        for folder, _, names in os.walk(wal):
            for name in names:
                yield f"{WAL_FOLDER}/{name}", Path(folder) / name


def _roots(
    target: Path, tablespaces: Mapping[int, Path], paths: "Mapping[str, object] | set[str]"
) -> Iterator[tuple[str, Path]]:
    """Yield every directory to look into; of a tablespace only the folders of this cluster's version."""
    yield "", target
    for oid, place in tablespaces.items():
        prefix = f"{LINKS_FOLDER}/{oid}/"
        versions = {path[len(prefix) :].split("/")[0] for path in paths if path.startswith(prefix)}
        for version in sorted(versions):
            yield f"{prefix}{version}/", place / version


def _is_ours(path: str) -> bool:
    top = path.split("/")[0]
    return top not in (WORK_FOLDER, *LEFT_ALONE) and path != CONTROL + UNFINISHED
