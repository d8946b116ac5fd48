"""Where the tablespaces of a restored cluster go.

Nothing is ever put where the original server has its tablespaces just because the backup says so: on the same machine
that would be the living server's data. Whoever restores names a directory for each (L-27).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from lc2_backup_dagster.engines.postgres.restore.target_directory import check_target_directory
from lc2_backup_dagster.engines.postgres.servers.account import Account, give_to
from lc2_backup_dagster.model.errors import ConfigurationError, TargetNotEmpty

LINKS_FOLDER = "pg_tblspc"
MAP_NAME = "tablespace_map"


def place_tablespaces(
    locations: Mapping[int, str], chosen: Mapping[int, Path], *, target: Path, delta: bool
) -> dict[int, Path]:
    """Return the directory of each tablespace, checked. Changes nothing.

    Args:
        locations: tablespaces of the backup: oid → directory on the original server. A relative one lies inside the
            data directory (``allow_in_place_tablespaces``) and stays there.
        chosen: directories for this restore.
        target: the new data directory.
        delta: links that ``target`` has already count as chosen.

    Raises:
        ConfigurationError: one is not chosen, is unknown, or two are the same or lie inside each other.
        TargetNotEmpty: see ``check_target_directory``; or an existing link leads elsewhere.
    """
    unknown = sorted(set(chosen) - set(locations))
    if unknown:
        known = ", ".join(map(str, sorted(locations))) or "none"
        raise ConfigurationError(f"the backup has no tablespace {unknown[0]}", hint=f"it has these: {known}")
    placed: dict[int, Path] = {}
    new: list[Path] = []
    for oid, location in sorted(locations.items()):
        link = target / LINKS_FOLDER / str(oid)
        if not Path(location).is_absolute():
            placed[oid] = link
            continue
        existing = link.readlink() if delta and link.is_symlink() else None
        directory = chosen[oid].absolute() if oid in chosen else existing
        if directory is None:
            raise ConfigurationError(
                f"no directory was named for tablespace {oid} (on the original server: {location})",
                hint=f"name a new directory for it: --tablespace {oid}=DIRECTORY",
            )
        if existing is not None and existing != directory:
            raise TargetNotEmpty(f"{link} leads to {existing}, not to {directory}", hint="leave it out for a delta")
        placed[oid] = directory
        if existing is None:
            new.append(directory)
    _check_apart([target, *(each for oid, each in placed.items() if Path(locations[oid]).is_absolute())])
    for directory in new:
        check_target_directory(directory)
    return placed


def _check_apart(directories: list[Path]) -> None:
    for first in directories:
        for second in directories:
            if first is not second and (first == second or first in second.parents):
                raise ConfigurationError(f"{second} lies inside {first}", hint="give each a directory of its own")


def make_links(placed: Mapping[int, Path], *, target: Path, account: Account | None) -> None:
    """Make the directories, and the links to them in the data directory."""
    folder = target / LINKS_FOLDER
    if placed:
        folder.mkdir(mode=0o700, exist_ok=True)
        give_to(account, folder)
    for oid, directory in placed.items():
        directory.mkdir(mode=0o700, exist_ok=True)
        directory.chmod(0o700)
        give_to(account, directory)
        link = folder / str(oid)
        if directory != link and not link.is_symlink():
            link.symlink_to(directory)
            if account is not None:
                os.chown(link, account.uid, account.gid, follow_symlinks=False)
