"""Physical backups of a pgbench database against raw PostgreSQL tools, pgBackRest and Barman, on one machine.

pgBackRest of Debian knows servers up to 15: it backs up a server 15 with the same data and the same changes, which
ours backs up too. Increments of blocks need a server 17, there the raw native tool is the peer.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench_site import Bench
from benchmarks.measured import measure
from benchmarks.peers import Barman, PgBackRest
from benchmarks.pgbench import PROCESSES, Cost, change, our_restore, ours, row, seed, server_15, with_server
from benchmarks.table import Row
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools

_SHARES = (0.001, 0.01, 0.1)
_SHARE_DOUBLED = 0.01

Report = Callable[[list[Row]], None]
"""Takes rows as soon as they are known."""


def measure_physical(bench: Bench, *, scale: int, report: Report) -> None:
    """Measure full backups and increments, at last with the database doubled.

    Args:
        bench: running servers; its PostgreSQL is a 17.
        scale: of pgbench: about 16 MB each.
        report: takes rows as soon as they are known.
    """
    size = f"pgbench {scale}"
    raw = _RawTools(bench)
    seed(bench.postgres, scale)
    local = bench.site("physical", destination=bench.directory("repository-physical"))
    s3 = bench.site("physical-s3", destination=bench.s3("backups"))
    raw.run(raw.base_backup)  # once, so that every side finds the same pages in memory
    nothing, compressed = raw.run(raw.base_backup), raw.run(raw.base_backup + raw.compressed)
    full = ours(bench, bench.postgres, local)
    report(
        [
            row(size, "full → directory", full, "pg_basebackup > /dev/null", nothing),
            row(size, "full → directory", full, "pg_basebackup | zstd -3", compressed),
            row(size, "full → S3", ours(bench, bench.postgres, s3), "pg_basebackup > /dev/null", nothing),
        ]
    )
    raw.remember_manifest()
    increments: dict[float, Cost] = {}
    for share in _SHARES:
        increments[share] = _increment(bench, raw, local, share, size, report)
    bench.postgres.execute("CREATE TABLE doubled AS SELECT * FROM pgbench_accounts")
    # What the first reader of a page notes on it would be counted as change.
    bench.postgres.execute("VACUUM (FREEZE)")
    bench.postgres.execute("CHECKPOINT")
    ours(bench, bench.postgres, local)
    raw.remember_manifest()
    doubled = _increment(bench, raw, local, _SHARE_DOUBLED, f"{size}, doubled", report, turn=1)
    before = increments[_SHARE_DOUBLED]
    what = f"increment, {_SHARE_DOUBLED:.1%} of the first half changed"
    stored = int(before.measured.told["stored_bytes"])
    report([row(f"{size}, doubled", what, doubled, "ours before it was doubled", before, stored)])
    shutil.rmtree(raw.folder)


def _increment(
    bench: Bench, raw: "_RawTools", site: Path, share: float, size: str, report: Report, *, turn: int = 0
) -> Cost:
    change(bench.postgres, share, turn=turn)
    native = raw.run(f"{raw.base_backup} --incremental={raw.manifest}{raw.compressed}")
    made = ours(bench, bench.postgres, site)
    peer = "pg_basebackup --incremental | zstd"
    report([row(size, f"increment, {share:.1%} changed", made, peer, native, raw.output.stat().st_size)])
    raw.remember_manifest()  # the peer's next increment holds the next change only, as ours does
    return made


class _RawTools:
    """PostgreSQL's own client, compressed by zstd with the level and the threads of ours."""

    def __init__(self, bench: Bench) -> None:
        if shutil.which("zstd") is None:
            raise SystemExit("zstd is not installed: apt-get install zstd")
        self._server = bench.postgres
        self.folder = bench.home / "raw"
        self.folder.mkdir()
        self.output = self.folder / "output"
        self.manifest = self.folder / "backup_manifest"
        connect = f"-d 'host=127.0.0.1 port={bench.postgres.port} user=postgres'"
        self.base_backup = f"{find_tools(at_least_major=17).pg_basebackup} -Ft -X fetch -c fast {connect} -D -"
        self.compressed = f" | zstd -3 -q -T{PROCESSES} > {self.output}"

    def run(self, command: str) -> Cost:
        environment = {**os.environ, "PGPASSWORD": self._server.password}
        return with_server(self._server, lambda: measure(["sh", "-c", command], environment=environment, discard=True))

    def remember_manifest(self) -> None:
        """Take a backup for the sake of its manifest, on which the next increment stands."""
        self.run(f"{self.base_backup} | tar -xOf - backup_manifest > {self.manifest}")


def measure_against_pgbackrest(bench: Bench, *, scale: int, report: Report) -> None:
    """Measure ours and pgBackRest on one server 15, and Barman's full backup."""
    size = f"pgbench {scale}"
    with server_15(bench) as server:
        seed(server, scale)
        peer = PgBackRest(server, bench.home / "peers", processes=PROCESSES)
        site = bench.site("physical-15", destination=bench.directory("repository-15"), port=server.port)
        ours(bench, server, site)  # once, so that both sides find the same pages in memory
        made = ours(bench, server, site)
        theirs = with_server(server, lambda: peer.backup("full"))
        report([row(size, "full → directory, server 15", made, "pgBackRest full", theirs, peer.stored_bytes())])
        restored = our_restore(bench, site, made.backup_id)
        report([row(size, "restore full, server 15", restored, "pgBackRest", Cost(peer.restored()))])
        change(server, 0.01)
        before = peer.stored_bytes()
        increment = with_server(server, lambda: peer.backup("incr"))
        stored = peer.stored_bytes() - before
        report([row(size, "(pgBackRest's increment, 1.0% changed)", increment, peer_stored_bytes=stored)])
        if shutil.which("barman") is not None:
            _barman(bench, server, size, made, report)


def _barman(bench: Bench, server: PostgresServer, size: str, made: Cost, report: Report) -> None:
    barman = Barman(server, bench.home / "peers")
    try:
        theirs = with_server(server, barman.backup)
        what, peer = "full → directory, server 15", "Barman (zstd, no cipher)"
        report([row(size, what, made, peer, theirs, barman.stored_bytes())])
    finally:
        barman.close()
