"""The WAL receiver under load: how much it archives per second, and how long WAL waits until it is confirmed.

The server confirms to nobody: what counts as archived is the slot's position, which the receiver moves only after the
bytes were read back from the repository. The lag is the age of that position by the server's own WAL.
"""

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.bench_site import Bench
from benchmarks.measured import measure
from benchmarks.pgbench import seed
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools

_SLOT = "lc2_bench"
_SCALE = 20
_SAMPLE_SECONDS = 0.1
_SETTLE_SECONDS = 60.0
_MIB = 1 << 20
# About 1 MiB of WAL per transaction, rows that do not compress inside the table.
_INSERT = (
    "INSERT INTO wal_load SELECT (SELECT string_agg(md5(random()::text || i || j), '') FROM generate_series(1, 250) j)"
    " FROM generate_series(1, 128) i;\n"
)


@dataclass
class _Lag:
    """What was seen of the slot while the load ran."""

    written: int = 0
    worst_seconds: float = 0.0
    sampled: list[float] = field(default_factory=list[float])
    receiver_peak_bytes: int = 0


def measure_wal(bench: Bench, *, seconds: int) -> list[str]:
    """Run loads against a server whose WAL is archived, to a directory and to S3, and say what was kept up with."""
    seed(bench.postgres, _SCALE)
    bench.postgres.execute(
        "CREATE TABLE IF NOT EXISTS wal_load (content text)", "ALTER TABLE wal_load ALTER content SET STORAGE EXTERNAL"
    )
    inserts = bench.home / "inserts.sql"
    inserts.write_text(_INSERT)
    loads = {
        "pgbench, 4 clients, as fast as it goes": ["-c", "4", "-j", "2"],
        "inserts at 50 MB/s": ["-c", "4", "-j", "2", "--rate=45", "-n", "-f", str(inserts)],
        "inserts as fast as it goes": ["-c", "2", "-j", "2", "-n", "-f", str(inserts)],
    }
    lines: list[str] = []
    for place, destination in {"directory": bench.directory("repository-wal"), "S3": bench.s3("backups")}.items():
        site = bench.site(f"wal-{place}", destination=destination, wal_slot=_SLOT)
        for name, options in loads.items():
            lag = _under_load(bench, site, options, seconds=seconds)
            lag.sampled.sort()
            lines.append(
                f"  {place}, {name}: {lag.written / seconds / 1e6:.1f} MB/s of WAL; confirmed after "
                f"{lag.sampled[len(lag.sampled) // 2]:.2f} s (median), {lag.worst_seconds:.2f} s (worst); "
                f"receiver's peak {lag.receiver_peak_bytes / 1e6:.0f} MB"
            )
            bench.postgres.execute("TRUNCATE wal_load", "CHECKPOINT")
        bench.postgres.execute(f"SELECT pg_drop_replication_slot('{_SLOT}')")
    return lines


def _under_load(bench: Bench, site: Path, options: list[str], *, seconds: int) -> _Lag:
    program = [sys.executable, "-c", "from lc2_backup_dagster.cli.main import main; main()"]
    environment = {**os.environ, **bench.environment, "LC2_BACKUP_SITES": str(site)}
    receiver = subprocess.Popen(
        [*program, "wal-receive", "bench/liferay"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until(lambda: _slot(bench.postgres) is not None, "the receiver did not begin")
        ended, lag = threading.Event(), _Lag()
        watcher = threading.Thread(target=_watch, args=(bench.postgres, receiver.pid, lag, ended))
        watcher.start()
        first = _position(bench.postgres)
        load = [find_tools(at_least_major=17).program("pgbench"), *options, "-T", str(seconds), "-U", "postgres"]
        told = {"PGPASSWORD": bench.postgres.password, "PGHOST": "127.0.0.1", "PGPORT": str(bench.postgres.port)}
        measure([*load, "postgres"], environment={**os.environ, **told}, discard=True)
        last = _position(bench.postgres)
        ended.set()  # what comes after the load waits until a partial is due, which is a setting and no speed
        watcher.join()
        _until(lambda: (_slot(bench.postgres) or 0) >= last, "the receiver did not catch up")
        lag.written = last - first
        return lag
    finally:
        receiver.terminate()
        receiver.wait(60)


def _watch(server: PostgresServer, receiver: int, lag: _Lag, ended: threading.Event) -> None:
    """Sample how old the slot's position is: since when the server's WAL has been beyond it."""
    beyond: deque[tuple[float, int]] = deque()
    process = psutil.Process(receiver)
    with server.server().connect() as connection:
        while not ended.wait(_SAMPLE_SECONDS):
            row = connection.execute(
                "SELECT pg_current_wal_flush_lsn() - '0/0', restart_lsn - '0/0' FROM pg_replication_slots"
                f" WHERE slot_name = '{_SLOT}'"
            ).fetchone()
            if row is None or row[1] is None:
                continue
            now = time.monotonic()
            beyond.append((now, int(row[0])))
            while beyond and beyond[0][1] <= int(row[1]):
                beyond.popleft()
            age = now - beyond[0][0] if beyond else 0.0
            lag.sampled.append(age)
            lag.worst_seconds = max(lag.worst_seconds, age)
            lag.receiver_peak_bytes = max(lag.receiver_peak_bytes, process.memory_info().rss)


def _position(server: PostgresServer) -> int:
    with server.server().connect() as connection:
        row = connection.execute("SELECT pg_current_wal_flush_lsn() - '0/0'").fetchone()
    assert row is not None
    return int(row[0])


def _slot(server: PostgresServer) -> int | None:
    with server.server().connect() as connection:
        row = connection.execute(
            f"SELECT restart_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{_SLOT}' AND active"
        ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def _until(true: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + _SETTLE_SECONDS
    while not true():
        if time.monotonic() > end:
            raise SystemExit(otherwise)
        time.sleep(_SAMPLE_SECONDS)
