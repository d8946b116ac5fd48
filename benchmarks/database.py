"""Database: base backup and dump against PostgreSQL's own tools, for several sizes."""

import os
import shutil
from dataclasses import dataclass

from benchmarks.bench_site import Bench
from benchmarks.measured import Measured, measure, worker
from benchmarks.table import Row, mb
from lc2_backup_dagster.demo.seed.liferay_content import article_entropy
from lc2_backup_dagster.demo.seed.liferay_database import seed_liferay_database
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.engines.postgres.servers.tools import find_tools

_RANDOM_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class _Case:
    label: str
    ours: Measured
    peer: Measured
    peer_name: str


def measure_database(bench: Bench, gigabytes: float) -> list[Row]:
    """Seed a database of a size, back it up and dump it beside PostgreSQL's own tools, restore it, drop it."""
    name = f"bench_{str(gigabytes).replace('.', '_')}"
    bench.postgres.create_database(name)
    scale = LiferayScale(size_bytes=int(gigabytes * 1024**3), documents=200)
    seeded = seed_liferay_database(bench.postgres.server(name), scale)
    bench.postgres.execute("CHECKPOINT")
    tools = find_tools(at_least_major=bench.postgres.major)
    server = bench.postgres.server(name)
    environment = {**os.environ, "PGPASSWORD": bench.environment["BENCH_PASSWORD"]}
    local = bench.site(f"{name}-local", destination=bench.directory(f"repository-{name}"), database=name)
    s3 = bench.site(f"{name}-s3", destination=bench.s3("backups"), database=name)

    def shell(command: str) -> Measured:
        return measure(["sh", "-c", f"{command} > /dev/null"], environment=environment, discard=True)

    raw_command = (
        f"{tools.pg_basebackup} -D - -Ft -X fetch -c fast --manifest-checksums=SHA256 -d '{server.conninfo()}'"
    )
    shell(raw_command)  # once, so that both sides find the same pages in memory
    raw = shell(raw_command)
    cases = [
        _Case(
            "base backup → directory", worker("database", local, bench.environment), raw, "pg_basebackup > /dev/null"
        ),
        _Case("base backup → S3", worker("database", s3, bench.environment), raw, "pg_basebackup > /dev/null"),
    ]
    custom = shell(f"{tools.pg_dump} -Fc -d '{server.conninfo()}'")
    cases.append(_Case("dump → directory", worker("dump", local, bench.environment), custom, "pg_dump -Fc > /dev/null"))
    base, dump = cases[0].ours.told["backup_id"], cases[2].ours.told["backup_id"]
    target = bench.home / f"restored-{name}"
    restored = worker("restore-server", local, bench.environment, base, str(target))
    reloaded = worker("restore-dump", local, bench.environment, dump, f"{name}_restored")
    shutil.rmtree(target)
    rows = [_row(gigabytes, case) for case in cases]
    rows += [
        Row(f"{gigabytes} GB", "restore base backup", restored.seconds, restored.cpu_seconds, restored.peak_bytes),
        Row(f"{gigabytes} GB", "restore dump (2 jobs)", reloaded.seconds, reloaded.cpu_seconds, reloaded.peak_bytes),
    ]
    for each in (f"{name}_restored", name):
        bench.postgres.execute(f"DROP DATABASE {each}")
    shutil.rmtree(bench.home / f"repository-{name}")
    del seeded
    return rows


def measure_compression(bench: Bench) -> list[str]:
    """Dump text of known entropy, and apart from it a table of random bytes."""
    told: list[str] = []
    for label, scale in (
        ("Liferay-shaped text", LiferayScale(documents=200)),
        ("with random bytea", LiferayScale(documents=200, size_bytes=20_000_000, incompressible_bytes=_RANDOM_BYTES)),
    ):
        name = f"compression_{len(told)}"
        bench.postgres.create_database(name)
        seed_liferay_database(bench.postgres.server(name), scale)
        site = bench.site(name, destination=bench.directory(f"repository-{name}"), database=name)
        dump = worker("dump", site, bench.environment).told
        ratio = dump["plain_bytes"] / dump["stored_bytes"]
        told.append(f"{label}: dump {mb(dump['plain_bytes'])} → {mb(dump['stored_bytes'])} stored, {ratio:.2f}:1")
        bench.postgres.execute(f"DROP DATABASE {name}")
        shutil.rmtree(bench.home / f"repository-{name}")
    told.append(f"entropy of the seeded article text: {article_entropy(LiferayScale())}")
    return told


def _row(gigabytes: float, case: _Case) -> Row:
    ours = case.ours
    return Row(
        size=f"{gigabytes} GB",
        what=case.label,
        seconds=ours.told["operation_seconds"],
        cpu_seconds=ours.cpu_seconds,
        peak_bytes=ours.peak_bytes,
        moved_bytes=ours.told["plain_bytes"],
        stored_bytes=ours.told["stored_bytes"],
        first_byte_seconds=ours.told["first_byte_seconds"],
        peer=case.peer_name,
        peer_seconds=case.peer.seconds,
        peer_cpu_seconds=case.peer.cpu_seconds,
    )
