"""What the physical benchmarks share: a pgbench database that changes, and the cost of a command with its server's."""

import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench_site import Bench
from benchmarks.measured import Measured, measure, worker
from benchmarks.peers import server_cpu_seconds
from benchmarks.table import Row
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools

PROCESSES = 2
"""Threads or processes of every side."""

_FILL_FACTOR = 90
_ROWS_PER_PAGE = 55
_DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


@dataclass(frozen=True)
class Cost:
    """A command, with what it cost the server as well."""

    measured: Measured
    server_cpu_seconds: float = 0.0

    @property
    def cpu_seconds(self) -> float:
        """CPU time of client and server."""
        return self.measured.cpu_seconds + self.server_cpu_seconds

    @property
    def backup_id(self) -> str:
        """Id of the backup that was made."""
        return str(self.measured.told["backup_id"])


@contextmanager
def server_15(bench: Bench) -> Generator[PostgresServer]:
    """Run a server 15 of Debian, the newest that Debian's pgBackRest knows."""
    if shutil.which("pgbackrest") is None or not _DEBIAN_15.is_dir():
        raise SystemExit("pgbackrest and PostgreSQL 15 are not installed: apt-get install pgbackrest postgresql-15")
    settings = {"shared_buffers": "256MB", "max_wal_size": "4GB", "archive_mode": "on", "archive_command": "true"}
    server = PostgresServer(
        bench.home / "postgres-15", password="bench-password", bin_directory=_DEBIAN_15, settings=settings
    )
    try:
        with server:
            yield server
    finally:
        server.remove()


def seed(server: PostgresServer, scale: int) -> None:
    """Make the tables of pgbench anew, about 16 MB for each step of the scale, with room on every page."""
    program = find_tools(at_least_major=17).program("pgbench")
    environment = {**os.environ, "PGPASSWORD": server.password, "PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
    command = [program, "-i", "-q", "-s", str(scale), "-F", str(_FILL_FACTOR), "-U", "postgres", "postgres"]
    measure(command, environment=environment, discard=True)
    server.execute("CHECKPOINT")


def change(server: PostgresServer, share: float, *, turn: int = 0) -> None:
    """Change one row on that share of the pages of the largest table; another turn takes other pages."""
    step = round(_ROWS_PER_PAGE / share)
    first = turn * _ROWS_PER_PAGE % step
    server.execute(f"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % {step} = {first}", "CHECKPOINT")


def with_server(server: PostgresServer, run: Callable[[], Measured]) -> Cost:
    """Run something and add what the server worked meanwhile."""
    before = server_cpu_seconds(server)
    measured = run()
    return Cost(measured, server_cpu_seconds(server) - before)


def ours(bench: Bench, server: PostgresServer, site: Path) -> Cost:
    """Make a backup of ours, in a process of its own."""
    return with_server(server, lambda: worker("database", site, bench.environment))


def our_restore(bench: Bench, site: Path, backup_id: str) -> Cost:
    """Restore a backup of ours into a new directory, and remove it again."""
    target = bench.home / f"restored-{backup_id}"
    restored = worker("restore-server", site, bench.environment, backup_id, str(target))
    shutil.rmtree(target)
    return Cost(restored)


def row(
    size: str,
    what: str,
    ours: Cost,
    peer: str | None = None,
    theirs: Cost | None = None,
    peer_stored_bytes: int | None = None,
) -> Row:
    """Put one measurement of ours beside its peer's."""
    told = ours.measured.told
    return Row(
        size=size,
        what=f"{what} ({told['strategy']})" if "strategy" in told else what,
        seconds=told.get("operation_seconds", ours.measured.seconds),
        cpu_seconds=ours.cpu_seconds,
        peak_bytes=ours.measured.peak_bytes,
        moved_bytes=told.get("plain_bytes"),
        stored_bytes=told.get("stored_bytes", peer_stored_bytes if theirs is None else None),
        first_byte_seconds=told.get("first_byte_seconds"),
        peer=peer,
        peer_seconds=(theirs.measured.told.get("operation_seconds") or theirs.measured.seconds) if theirs else None,
        peer_cpu_seconds=theirs.cpu_seconds if theirs else None,
        peer_stored_bytes=peer_stored_bytes if theirs else None,
    )
