"""Finding what changed in a library of millions of objects, none of which has: time, memory, size of the manifest."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measured import Measured, measure
from benchmarks.rclone import rclone
from benchmarks.table import Row
from lc2_backup_dagster.demo.servers.ports import free_ports


def measure_inventory(home: Path, *, objects: int, entries: int, report: Callable[[list[Row]], None]) -> None:
    """Measure the listing and comparison of a library beside rclone's, and the comparison alone of a larger one.

    Args:
        home: folder for the repositories.
        objects: of the library that is listed over HTTP.
        entries: of the manifest that is compared with a listing made up on the way.
        report: takes rows as soon as they are known.
    """
    with _listing_server(objects) as endpoint:
        ours = _pass(home / "listed", objects, endpoint)
        dry = rclone(endpoint, "check", "library", "library-without-1000", "--size-only", failing=True)
        report([_row(f"{objects:,} objects", "list, sort, compare, write the manifest", ours, dry)])
    for count in sorted({objects, entries}):
        ours = _pass(home / f"made-up-{count}", count)
        report([_row(f"{count:,} entries", "the same without listing", ours)])


def _pass(folder: Path, count: int, endpoint: str | None = None) -> Measured:
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.inventory_worker", str(folder), str(count)]
    command += [endpoint] if endpoint else []
    measure(command)
    measured = measure(command)
    shutil.rmtree(folder)
    return measured


@contextmanager
def _listing_server(count: int) -> Generator[str]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "benchmarks.listing_server", str(port), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def _row(size: str, what: str, ours: Measured, theirs: Measured | None = None) -> Row:
    beyond = ours.told["bytes_per_entry_beyond_digests"]
    return Row(
        size=size,
        what=f"{what}; {beyond:.1f} bytes an entry beyond digests",
        seconds=ours.told["operation_seconds"],
        cpu_seconds=ours.cpu_seconds,
        peak_bytes=ours.peak_bytes,
        stored_bytes=ours.told["stored_bytes"],
        peer=f"rclone check, peak {theirs.peak_bytes / 1e6:,.0f} MB" if theirs else None,
        peer_seconds=theirs.seconds if theirs else None,
        peer_cpu_seconds=theirs.cpu_seconds if theirs else None,
    )
