"""Put captured streams together with nothing but tar and PostgreSQL's own programs: the reference for captures."""

import os
import subprocess
import tarfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import google_crc32c

from lc2_backup_dagster.engines.postgres.base.backup_manifest import manifest_files
from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM, archive_stream
from lc2_backup_dagster.engines.postgres.servers.account import server_account
from lc2_backup_dagster.engines.postgres.servers.scratch import started
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.servers.tools import find_programs
from lc2_backup_dagster_tests.engines.postgres.collected import FileStreams


def unpacked(streams: FileStreams, target: Path, *, tablespaces: Mapping[int, Path] | None = None) -> Path:
    """Unpack the archives of one backup; each tablespace into its directory, linked as ``pg_basebackup`` does."""
    places: list[tuple[int | None, Path]] = [(None, target), *(tablespaces or {}).items()]
    for oid, place in places:
        place.mkdir(mode=0o700, parents=True)
        with tarfile.open(streams.path(archive_stream(oid))) as tar:
            tar.extractall(place, filter="fully_trusted")
        if oid is not None:
            (target / f"pg_tblspc/{oid}").symlink_to(place)
    (target / MANIFEST_STREAM).write_bytes(streams.path(MANIFEST_STREAM).read_bytes())
    return target


def run_program(name: str, *arguments: object, major: int) -> None:
    """Run a program of exactly this major version; its complaints are the failure's message."""
    program = find_programs(name, major=major) / name
    answer = subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr + answer.stdout


def verify(directory: Path, *, major: int) -> None:
    """Let ``pg_verifybackup`` compare with the manifest and read the WAL."""
    run_program("pg_verifybackup", "--exit-on-error", directory, major=major)


def compare_with_manifest(directory: Path) -> None:
    """Compare every file with the manifest, for majors whose ``pg_verifybackup`` is not at hand."""
    listed = list(manifest_files(directory / MANIFEST_STREAM))
    assert len(listed) > 800
    for promised in listed:
        content = (directory / promised.path).read_bytes()
        # the server writes the four bytes of the value as they lie in its memory
        crc = google_crc32c.value(content).to_bytes(4, "little").hex()
        assert (len(content), "CRC32C", crc) == (promised.size, promised.algorithm, promised.checksum), promised.path


@contextmanager
def running(directory: Path, *, database: str = "postgres", tools_directory: Path | None = None):
    """Start a directory whose tablespaces stay linked where they are, and yield its address.

    A ``tablespace_map`` would make the server link them to where the source has its own.
    """
    (directory / "tablespace_map").unlink(missing_ok=True)
    own(directory)
    with started(
        directory, database=database, tools_directory=tools_directory, timeout_seconds=60, fsync=False
    ) as server:
        yield server


def own(directory: Path) -> None:
    """Give a directory and its tablespaces to the account that runs servers."""
    account = server_account()
    if account is None:
        return
    for place in [directory, *(link.resolve() for link in (directory / "pg_tblspc").iterdir())]:
        for folder, _, names in os.walk(place):
            for path in [folder, *(Path(folder) / name for name in names)]:
                os.chown(path, account.uid, account.gid, follow_symlinks=False)


def truth(server: Server, tables: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
    """Return content hashes of tables and large objects, per database."""
    found: dict[str, object] = {}
    for database, names in tables.items():
        with server.connect(database) as connection:
            for name in names:
                found[f"{database}.{name}"] = connection.execute(
                    f"SELECT count(*), coalesce(sum(hashtext(t::text)::bigint), 0) FROM {name} t".encode()
                ).fetchone()
            found[f"{database} relations"] = connection.execute(
                "SELECT count(*), min(relname) FROM pg_class"
                " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            ).fetchone()
            found[f"{database} large objects"] = connection.execute(
                "SELECT count(*), coalesce(sum(hashtext(encode(lo_get(oid), 'hex'))::bigint), 0)"
                " FROM pg_largeobject_metadata"
            ).fetchone()
    return found
