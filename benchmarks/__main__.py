"""`make bench`: measure, print tables with ratios. ARGS="--sizes 0.2,2,10 --objects 10000 --only database,files"."""

import argparse
import os
import platform
import shutil
import tempfile
from pathlib import Path

from benchmarks.bench_site import running_bench
from benchmarks.chains import measure_chains
from benchmarks.dagster_cost import measure_dagster
from benchmarks.database import measure_compression, measure_database
from benchmarks.definitions import measure_definitions
from benchmarks.files import WAYS, measure_files
from benchmarks.inventory import measure_inventory
from benchmarks.physical import measure_against_pgbackrest, measure_physical
from benchmarks.shards import measure_shards
from benchmarks.table import print_rows
from benchmarks.wal import measure_wal

_PARTS = (
    "database",
    "physical",
    "pgbackrest",
    "chains",
    "wal",
    "compression",
    "files",
    "shards",
    "inventory",
    "definitions",
    "dagster",
)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--sizes", default="0.2,2", help="gigabytes of database, comma-separated (default: 0.2,2)")
    parser.add_argument("--scale", type=int, default=100, help="scale of pgbench, 16 MB each (default: 100)")
    parser.add_argument("--chain", type=int, default=24, help="increments of a chain (default: 24)")
    parser.add_argument("--seconds", type=int, default=30, help="length of each load on the WAL (default: 30)")
    parser.add_argument("--objects", type=int, default=100_000, help="files that are copied (default: 100000)")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"how they are copied (default: {','.join(WAYS)})")
    parser.add_argument("--listed", type=int, default=1_000_000, help="files that are listed (default: 1000000)")
    parser.add_argument(
        "--entries", type=int, default=10_000_000, help="files of a manifest that is compared (default: 10000000)"
    )
    parser.add_argument(
        "--only", default=",".join(_PARTS), help=f"parts, comma-separated (default: {','.join(_PARTS)})"
    )
    parser.add_argument("--home", type=Path, help="folder for servers and data (default: a temporary one)")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(_PARTS):
        parser.error(f"unknown parts {', '.join(sorted(unknown))}; known are {', '.join(_PARTS)}")
    home = options.home or Path(tempfile.mkdtemp(prefix="lc2-bench-"))
    home.mkdir(parents=True, exist_ok=True)
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}\n")
    try:
        with running_bench(home) as bench:
            if "database" in parts:
                for size in options.sizes.split(","):
                    print_rows(
                        "Database (read back, encrypted; the peer only reads)", measure_database(bench, float(size))
                    )
            # CPU seconds are of the whole machine's part in it: client and server.
            if "physical" in parts:
                measure_physical(bench, scale=options.scale, report=lambda rows: print_rows("Physical", rows))
            if "pgbackrest" in parts:
                measure_against_pgbackrest(
                    bench, scale=options.scale, report=lambda rows: print_rows("Against pgBackRest", rows)
                )
            if "chains" in parts:
                measure_chains(
                    bench,
                    scale=options.scale,
                    length=options.chain,
                    report=lambda rows: print_rows("Chains of increments", rows),
                )
            if "wal" in parts:
                print("\n".join(["", "WAL", *measure_wal(bench, seconds=options.seconds)]))
            if "compression" in parts:
                print("\n".join(["", "Compression (zstd 3, encrypted)", *measure_compression(bench), ""]))
            if "files" in parts:
                measure_files(
                    bench,
                    objects=options.objects,
                    ways=options.ways.split(","),
                    report=lambda rows: print_rows("Files", rows),
                )
            if "shards" in parts:
                # A tenth: small files, of which the fixed cost of a shard is a visible part.
                measure_shards(bench, objects=options.objects // 10, report=lambda rows: print_rows("Shards", rows))
            if "inventory" in parts:
                measure_inventory(
                    bench.home,
                    objects=options.listed,
                    entries=options.entries,
                    report=lambda rows: print_rows("Inventory", rows),
                )
            if "definitions" in parts:
                print("\n".join(["", "Code location", *measure_definitions(projects=50)]))
            if "dagster" in parts:
                print("\n".join(["", "Dagster", *measure_dagster(bench)]))
    finally:
        if options.home is None:
            shutil.rmtree(home, ignore_errors=True)


main()
