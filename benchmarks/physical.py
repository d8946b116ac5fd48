"""Physical backups of a pgbench database against raw PostgreSQL tools, pgBackRest and Barman, on one machine.

pgBackRest of Debian knows servers up to 15: it backs up a server 15 with the same data and the same changes, which
ours backs up too. Increments of blocks need a server 17, there the raw native tool is the peer.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench_site import Bench
from benchmarks.measured import Measured, measure, worker
from benchmarks.peers import Barman, PgBackRest, server_cpu_seconds
from benchmarks.table import Row
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.tools import find_tools

_FILL_FACTOR = 90
_ROWS_PER_PAGE = 55
_DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
_SHARES = (0.001, 0.01, 0.1)
_PROCESSES = 2


@dataclass(frozen=True)
class _Cost:
    """A command, with what it cost the server as well."""

    measured: Measured
    server_cpu_seconds: float

    @property
    def cpu_seconds(self) -> float:
        return self.measured.cpu_seconds + self.server_cpu_seconds


def measure_physical(bench: Bench, *, scale: int, report: Callable[[list[Row]], None]) -> None:
    """Measure full backups, increments and restores.

    Args:
        bench: running servers; its PostgreSQL is a 17.
        scale: of pgbench: about 16 MB each.
        report: takes rows as soon as they are known.
    """
    size = f"pgbench {scale}"
    tools = find_tools(at_least_major=17)
    _seed(bench.postgres, scale)
    raw = bench.home / "raw"
    raw.mkdir()
    connect = f"-d 'host=127.0.0.1 port={bench.postgres.port} user=postgres'"
    base_command = f"{tools.pg_basebackup} -Ft -X fetch -c fast {connect} -D -"

    def shell(command: str) -> _Cost:
        environment = {**os.environ, "PGPASSWORD": bench.postgres.password}
        return _with_server(bench.postgres, lambda: measure(["sh", "-c", command], environment=environment))

    local = bench.site("physical", destination=bench.directory("repository-physical"))
    s3 = bench.site("physical-s3", destination=bench.s3("backups"))
    shell(f"{base_command} > /dev/null")  # once, so that every side finds the same pages in memory
    nothing = shell(f"{base_command} > /dev/null")
    compressed = shell(f"{base_command} | zstd -3 -q -T{_PROCESSES} > {raw}/full.tar.zst") if _has_zstd() else nothing
    full = _ours(bench, bench.postgres, local)
    report(
        [
            _row(size, "full → directory", full, "pg_basebackup > /dev/null", nothing),
            _row(size, "full → directory", full, "pg_basebackup | zstd -3", compressed),
            _row(size, "full → S3", _ours(bench, bench.postgres, s3), "pg_basebackup > /dev/null", nothing),
        ]
    )
    # The raw tool's chain needs the manifest of its own full backup.
    shell(f"{tools.pg_basebackup} -Fp -X fetch -c fast {connect} -D {raw}/full --no-sync")
    for share in _SHARES:
        _change(bench.postgres, share)
        native = shell(
            f"{base_command} --incremental={raw}/full/backup_manifest | "
            + (f"zstd -3 -q -T{_PROCESSES} > {raw}/incremental" if _has_zstd() else f"cat > {raw}/incremental")
        )
        ours = _ours(bench, bench.postgres, local)
        report([_row(size, f"increment, {share:.1%} changed", ours, "pg_basebackup --incremental | zstd", native)])
    newest = str(_ours(bench, bench.postgres, local).measured.told["backup_id"])
    report([_restore_row(bench, size, "restore chain of 4", local, newest)])
    shutil.rmtree(raw)


def measure_against_pgbackrest(bench: Bench, *, scale: int, report: Callable[[list[Row]], None]) -> None:
    """Measure ours and pgBackRest on one server 15, and Barman's full backup."""
    if shutil.which("pgbackrest") is None or not _DEBIAN_15.is_dir():
        raise SystemExit("pgbackrest and PostgreSQL 15 are not installed: apt-get install pgbackrest postgresql-15")
    size = f"pgbench {scale}"
    settings = {"shared_buffers": "256MB", "max_wal_size": "4GB", "archive_mode": "on", "archive_command": "true"}
    server = PostgresServer(
        bench.home / "postgres-15", password="bench-password", bin_directory=_DEBIAN_15, settings=settings
    )
    try:
        with server:
            _seed(server, scale)
            peer = PgBackRest(server, bench.home / "peers", processes=_PROCESSES)
            site = bench.site("physical-15", destination=bench.directory("repository-15"), port=server.port)
            _ours(bench, server, site)  # once, so that both sides find the same pages in memory
            ours = _ours(bench, server, site)
            theirs = _with_server(server, lambda: peer.backup("full"))
            rows = [_row(size, "full → directory, server 15", ours, "pgBackRest full", theirs, peer.stored_bytes())]
            report(rows)
            target = peer.home / "restored"
            theirs = _Cost(peer.restore(target), 0.0)
            shutil.rmtree(target)
            report([_restore_row(bench, size, "restore full, server 15", site, _id(ours), "pgBackRest", theirs)])
            _change(server, 0.01)
            before = peer.stored_bytes()
            increment = _with_server(server, lambda: peer.backup("incr"))
            report(
                [
                    _row(
                        size,
                        "(pgBackRest's increment, 1.0% changed)",
                        increment,
                        None,
                        None,
                        peer.stored_bytes() - before,
                    )
                ]
            )
            if shutil.which("barman") is not None:
                _barman(bench, server, size, ours, report)
    finally:
        server.remove()


def _barman(bench: Bench, server: PostgresServer, size: str, ours: _Cost, report: Callable[[list[Row]], None]) -> None:
    barman = Barman(server, bench.home / "peers")
    try:
        theirs = _with_server(server, barman.backup)
        report(
            [_row(size, "full → directory, server 15", ours, "Barman (zstd, no cipher)", theirs, barman.stored_bytes())]
        )
    finally:
        barman.close()


def _seed(server: PostgresServer, scale: int) -> None:
    tools = find_tools(at_least_major=17)
    environment = {**os.environ, "PGPASSWORD": server.password, "PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
    command = [
        tools.program("pgbench"),
        "-i",
        "-q",
        "-s",
        str(scale),
        "-F",
        str(_FILL_FACTOR),
        "-U",
        "postgres",
        "postgres",
    ]
    measure(command, environment=environment, discard=True)
    server.execute("CHECKPOINT")


def _change(server: PostgresServer, share: float) -> None:
    """Change one row on that share of the pages of the largest table; the fill factor leaves it on its page."""
    step = round(_ROWS_PER_PAGE / share)
    server.execute(f"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % {step} = 0", "CHECKPOINT")


def _ours(bench: Bench, server: PostgresServer, site: Path) -> _Cost:
    return _with_server(server, lambda: worker("database", site, bench.environment))


def _with_server(server: PostgresServer, run: Callable[[], Measured]) -> _Cost:
    before = server_cpu_seconds(server)
    measured = run()
    return _Cost(measured, server_cpu_seconds(server) - before)


def _id(cost: _Cost) -> str:
    return str(cost.measured.told["backup_id"])


def _row(
    size: str, what: str, ours: _Cost, peer: str | None, theirs: _Cost | None, peer_stored_bytes: int | None = None
) -> Row:
    told = ours.measured.told
    return Row(
        size=size,
        what=f"{what} ({told['kind']})" if "kind" in told else what,
        seconds=told.get("operation_seconds", ours.measured.seconds),
        cpu_seconds=ours.cpu_seconds,
        peak_bytes=ours.measured.peak_bytes,
        moved_bytes=told.get("plain_bytes"),
        stored_bytes=told.get("stored_bytes", peer_stored_bytes if theirs is None else None),
        first_byte_seconds=told.get("first_byte_seconds"),
        peer=peer,
        peer_seconds=theirs.measured.seconds if theirs else None,
        peer_cpu_seconds=theirs.cpu_seconds if theirs else None,
        peer_stored_bytes=peer_stored_bytes if theirs else None,
    )


def _restore_row(
    bench: Bench, size: str, what: str, site: Path, backup_id: str, peer: str | None = None, theirs: _Cost | None = None
) -> Row:
    target = bench.home / f"restored-{backup_id}"
    restored = worker("restore-server", site, bench.environment, backup_id, str(target))
    shutil.rmtree(target)
    return _row(size, what, _Cost(restored, 0.0), peer, theirs)


def _has_zstd() -> bool:
    return shutil.which("zstd") is not None
