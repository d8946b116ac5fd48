"""Files in many small objects: first copy, runs without and with changes, restore; beside rclone and restic.

rclone copies between two buckets of the same server, by the server itself or through the client as ours does. restic
knows no bucket as a source: it backs up a folder with the same files, and so does ours for that comparison.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from benchmarks.bench_site import BACKUPS, LIBRARY, RESTORED, Bench
from benchmarks.measured import Measured, measure, worker
from benchmarks.rclone import rclone
from benchmarks.table import Row
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.store import ObjectStore

_SHARES = (0.001, 0.01, 0.1)
_SMALLEST, _LARGEST = 4 * 1024, 1024 * 1024
_LOG_MEDIAN, _LOG_SPREAD = 9.7, 1.2
"""Natural logarithm of 16 KB, and how far sizes spread around it: many small files, few large ones."""
_SEEDERS = 8

Report = Callable[[list[Row]], None]
"""Takes rows as soon as they are known."""


WAYS = ("client", "store", "folder")
"""Through the client and by the store, beside rclone; out of a folder, beside restic."""


def measure_files(bench: Bench, *, objects: int, ways: Sequence[str], report: Report) -> None:
    """Copy objects of 4 KB to 1 MB in both protections beside rclone, then a folder of the same beside restic."""
    if "folder" in ways:
        folder = bench.home / "library-folder"
        _seed(DirectoryStore(folder, create=True), objects)
        _from_folder(bench, folder, objects, report)
        shutil.rmtree(folder)
    between = [way for way in ways if way != "folder"]
    if between:
        _seed(bench.bucket(LIBRARY), objects)
    for protection in between:
        _between_buckets(bench, protection, objects, report)


def _between_buckets(bench: Bench, protection: str, objects: int, report: Report) -> None:
    backups, peer_bucket = f"{BACKUPS}-{protection}", f"rclone-{protection}"
    for bucket in (backups, peer_bucket, f"{peer_bucket}-back"):
        bench.objects.create_bucket(bucket)
    site = bench.site(f"files-{protection}", destination=bench.s3(backups), protection=protection)
    server_side = protection == "store"
    peer = f"rclone sync ({'by the server' if server_side else 'through the client'})"

    def theirs(source: str, target: str) -> Measured:
        credentials = bench.environment["BENCH_KEY"], bench.environment["BENCH_SECRET"]
        return rclone(
            bench.objects.endpoint,
            "sync",
            source,
            target,
            "--checksum",
            credentials=credentials,
            server_side=server_side,
        )

    def compare(what: str) -> Measured:
        ours = worker("files", site, bench.environment)
        report([_row(f"{what}, {protection}", ours, theirs(LIBRARY, peer_bucket), peer)])
        return ours

    compare("first copy")
    last = compare("nothing changed")
    for share in _SHARES:
        _change(bench.bucket(LIBRARY), objects, share)
        last = compare(f"{share:.1%} changed")
    _restore(bench, site, last, theirs(peer_bucket, f"{peer_bucket}-back"), f"restore, {protection}", peer, report)


def _from_folder(bench: Bench, folder: Path, objects: int, report: Report) -> None:
    bench.objects.create_bucket("restic")
    site = bench.site("files-folder", destination=bench.directory("repository-files"), source=folder)
    peer = _Restic(bench.home / "restic", folder)

    def compare(what: str) -> Measured:
        ours = worker("files", site, bench.environment)
        report([_row(f"{what}, folder → folder", ours, peer.backup(), "restic backup")])
        return ours

    compare("first copy")
    last = compare("nothing changed")
    for share in _SHARES:
        _change(DirectoryStore(folder), objects, share)
        last = compare(f"{share:.1%} changed")
    restored = peer.restore(bench.home / "restic-restored")
    _restore(bench, site, last, restored, "restore, folder → S3", "restic restore, folder → folder", report)


def _restore(bench: Bench, site: Path, last: Measured, theirs: Measured, what: str, peer: str, report: Report) -> None:
    ours = worker("restore-files", site, bench.environment, last.told["backup_id"], what.replace(" ", "-"))
    row = Row(
        size=f"{last.told['objects']:,} files",
        what=what,
        seconds=ours.told["operation_seconds"],
        cpu_seconds=ours.cpu_seconds,
        peak_bytes=ours.peak_bytes,
        moved_bytes=last.told["logical_bytes"],
        peer=peer,
        peer_seconds=theirs.seconds,
        peer_cpu_seconds=theirs.cpu_seconds,
    )
    report([row])
    restored = bench.bucket(RESTORED)
    restored.delete(found.key for found in restored.list())


def _contents(objects: int, *, seed: int) -> Iterator[tuple[str, int, int]]:
    """Yield key, size and seed of the content of every object; sizes do not change with the seed."""
    for number in range(objects):
        size = int(Random(number).lognormvariate(_LOG_MEDIAN, _LOG_SPREAD))
        key = f"20101/{20_100 + number // 1000}/{number:09d}/1.0"
        yield key, min(max(size, _SMALLEST), _LARGEST), seed * objects + number


def _write(store: ObjectStore, contents: Iterator[tuple[str, int, int]]) -> None:
    def put(one: tuple[str, int, int]) -> None:
        key, size, seed = one
        store.put(key, Random(seed).randbytes(size), create_only=False)

    with ThreadPoolExecutor(_SEEDERS) as pool:
        for _ in pool.map(put, contents):
            pass


def _seed(store: ObjectStore, objects: int) -> None:
    _write(store, _contents(objects, seed=0))


def _change(store: ObjectStore, objects: int, share: float) -> None:
    """Replace a share of the files by others of the same length."""
    chosen, turn = Random(share), round(1 / share)
    _write(store, (each for each in _contents(objects, seed=turn) if chosen.random() < share))


class _Restic:
    """restic with a local repository; it encrypts, and compresses as zstd does by default."""

    def __init__(self, repository: Path, source: Path) -> None:
        program = shutil.which("restic")
        if program is None:
            raise SystemExit("restic is not installed: apt-get install restic")
        self._program = program
        self._source = source
        told = {
            "RESTIC_REPOSITORY": str(repository),
            "RESTIC_PASSWORD": "bench",
            "RESTIC_CACHE_DIR": f"{repository}-cache",
        }
        self._environment = {**os.environ, **told}
        self._run("init")

    def backup(self) -> Measured:
        return self._run("backup", str(self._source))

    def restore(self, target: Path) -> Measured:
        measured = self._run("restore", "latest", "--target", str(target))
        shutil.rmtree(target)
        return measured

    def _run(self, *words: str) -> Measured:
        return measure([self._program, "--quiet", *words], environment=self._environment, discard=True)


def _row(what: str, ours: Measured, theirs: Measured, peer: str) -> Row:
    return Row(
        size=f"{ours.told['objects']:,} files",
        what=what,
        seconds=ours.told["operation_seconds"],
        cpu_seconds=ours.cpu_seconds,
        peak_bytes=ours.peak_bytes,
        moved_bytes=ours.told["copied_bytes"],
        stored_bytes=ours.told["copied_stored_bytes"],
        peer=f"{peer}, peak {theirs.tree_peak_bytes / 1e6:,.0f} MB",
        peer_seconds=theirs.seconds,
        peer_cpu_seconds=theirs.cpu_seconds,
    )
