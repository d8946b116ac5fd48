"""Chains of real backups, and PostgreSQL's own ``pg_combinebackup`` to compare a restore with."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.base.capture import BaseBackup, capture_base_backup
from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM
from lc2_backup_dagster.engines.postgres.restore.base import StoredBase
from lc2_backup_dagster.engines.postgres.servers.tools import find_programs
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams
from lc2_backup_dagster_tests.fixtures_postgres import backup_server


class BackupChain:
    """Backups of one server, each an increment of the one before it, kept in files."""

    def __init__(self, server: PostgresServer, directory: Path):
        self.server = server
        self.directory = directory
        self.backups: list[tuple[BaseBackup, FileStreams]] = []

    def take(self, *, full: bool = False) -> BaseBackup:
        """Take the next backup: the first one is full, later ones are increments."""
        place = self.directory / f"backup-{len(self.backups)}"
        scratch = self.directory / "scratch"
        place.mkdir(parents=True)
        scratch.mkdir(exist_ok=True)
        streams = FileStreams(place)
        parent = None if full or not self.backups else self.backups[-1][1].path(MANIFEST_STREAM)
        backup = capture_base_backup(backup_server(self.server), parent_manifest=parent, write=streams, scratch=scratch)
        assert backup.incremental == (parent is not None)
        self.backups.append((backup, streams))
        return backup

    def stored(self, *numbers: int) -> list[StoredBase]:
        """Return these backups (all by default) as a restore takes them."""
        chosen = numbers or range(len(self.backups))
        return [stored_base(*self.backups[number], name=f"backup-{number}") for number in chosen]

    def combined(self, place: Path, *numbers: int) -> Path:
        """Let ``pg_combinebackup`` make a directory of these backups (all by default); the same tars unpacked."""
        inputs: list[Path] = []
        mapping: list[str] = []
        for number in numbers or range(len(self.backups)):
            backup, streams = self.backups[number]
            plain = place / f"plain-{number}"
            unpack(streams.path("base.tar"), plain)
            shutil.copy(streams.path(MANIFEST_STREAM), plain / MANIFEST_STREAM)
            (plain / "tablespace_map").unlink(missing_ok=True)
            for tablespace in backup.tablespaces:
                outside = place / f"plain-{number}-{tablespace.oid}"
                unpack(streams.path(f"tablespace-{tablespace.oid}.tar"), outside)
                (plain / "pg_tblspc" / str(tablespace.oid)).symlink_to(outside)
                mapping = [each for each in mapping if not each.endswith(f"combined-{tablespace.oid}")]
                mapping.append(f"--tablespace-mapping={outside}={place}/combined-{tablespace.oid}")
            inputs.append(plain)
        result = place / "combined"
        program = find_programs("pg_combinebackup", major=self.server.major) / "pg_combinebackup"
        subprocess.run(
            [program, "--no-sync", *mapping, "-o", result, *inputs], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
        )
        return result


def stored_base(backup: BaseBackup, streams: FileStreams, *, name: str) -> StoredBase:
    return StoredBase(
        name,
        {stream.name: stream.plain_bytes for stream in backup.streams},
        streams.open,
        tablespaces={each.oid: each.location for each in backup.tablespaces},
        system_identifier=backup.system_identifier,
        open_range=streams.open_range,
        indexes=frozenset(stream.name for stream in backup.streams if stream.name.endswith(".index")),
    )


def unpack(tar: Path, place: Path) -> None:
    place.mkdir()
    with tarfile.open(tar) as archive:
        archive.extractall(place, filter="fully_trusted")


def content(directory: Path, *, without: tuple[str, ...] = ()) -> dict[str, bytes | None]:
    """Return path → content of everything below a directory (None for directories), tablespaces followed."""
    found: dict[str, bytes | None] = {}
    for folder, names, files in os.walk(directory, followlinks=True):
        inside = Path(folder).relative_to(directory)
        found.update({str(inside / name): None for name in names})
        found.update({str(inside / name): (Path(folder) / name).read_bytes() for name in files})
    return {path: body for path, body in found.items() if path not in without}


def differing(left: dict[str, bytes | None], right: dict[str, bytes | None]) -> list[str]:
    """Return the paths that are not the same in both."""
    return sorted(path for path in left.keys() | right.keys() if left.get(path, b"-") != right.get(path, b"-"))
