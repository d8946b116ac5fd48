"""Files: first copy, a run without changes, a run with some, a restore; against rclone on the same server."""

import os
import shutil
import sys
from pathlib import Path
from random import Random

from benchmarks.bench_site import BACKUPS, LIBRARY, Bench
from benchmarks.measured import Measured, measure, worker
from benchmarks.table import Row
from lc2_backup_dagster.demo.seed.liferay_library import seed_liferay_library
from lc2_backup_dagster.demo.seed.scale import LiferayScale

_CHANGED_SHARE = 0.01


def measure_files(bench: Bench, *, documents: int) -> list[Row]:
    """Seed a library and copy it in both protections beside ``rclone sync`` (server-side and through the client)."""
    scale = LiferayScale(documents=documents)
    seed_liferay_library(bench.bucket(LIBRARY), scale)
    rows: list[Row] = []
    for protection in ("client", "store"):
        site = bench.site(f"files-{protection}", destination=_destination(bench, protection), protection=protection)
        rclone = _Rclone(bench, f"rclone-{protection}", server_side=protection == "store")
        first, theirs = worker("files", site, bench.environment), rclone.sync()
        rows.append(_row(f"first copy, {protection}", first, theirs, rclone.name))
        same, theirs = worker("files", site, bench.environment), rclone.sync()
        rows.append(_row(f"nothing changed, {protection}", same, theirs, rclone.name))
        _change(bench, documents)
        some, theirs = worker("files", site, bench.environment), rclone.sync()
        rows.append(_row(f"1 % changed, {protection}", some, theirs, rclone.name))
        back = worker("restore-files", site, bench.environment, some.told["backup_id"], f"restored-{protection}")
        theirs = rclone.sync_back()
        rows.append(
            Row(
                f"{some.told['objects']} files",
                f"restore, {protection}",
                back.told["operation_seconds"],
                back.cpu_seconds,
                back.peak_bytes,
                moved_bytes=some.told["logical_bytes"],
                peer=rclone.name,
                peer_seconds=theirs.seconds,
                peer_cpu_seconds=theirs.cpu_seconds,
            )
        )
    return rows


def _destination(bench: Bench, protection: str) -> str:
    bucket = f"{BACKUPS}-{protection}"
    bench.objects.create_bucket(bucket)
    return bench.s3(bucket)


def _change(bench: Bench, documents: int) -> None:
    """Replace one in a hundred files by others of the same length."""
    store = bench.bucket(LIBRARY)
    random = Random(documents)
    keys = [item for item in store.list() if random.random() < _CHANGED_SHARE and "/0/" not in item.key]
    for item in keys:
        store.put(item.key, random.randbytes(item.size_bytes), create_only=False)


class _Rclone:
    """``rclone sync`` between two buckets of the same server, with its checks at their cheapest."""

    def __init__(self, bench: Bench, bucket: str, *, server_side: bool) -> None:
        self.name = f"rclone sync ({'server-side' if server_side else 'through the client'})"
        self._bench = bench
        self._bucket = bucket
        self._server_side = server_side
        self._program = str(Path(sys.executable).parent / "rclone")
        if not os.access(self._program, os.X_OK):
            self._program = shutil.which("rclone") or "rclone"
        bench.objects.create_bucket(bucket)
        bench.objects.create_bucket(f"{bucket}-back")

    def sync(self) -> Measured:
        return self._run(f"a:{LIBRARY}", f"b:{self._bucket}")

    def sync_back(self) -> Measured:
        return self._run(f"b:{self._bucket}", f"a:{self._bucket}-back")

    def _run(self, source: str, target: str) -> Measured:
        environment = {**os.environ, "RCLONE_CONFIG": os.devnull}
        for remote in "ab":
            settings = {
                "type": "s3",
                "provider": "SeaweedFS",
                "endpoint": self._bench.objects.endpoint,
                "access_key_id": self._bench.environment["BENCH_KEY"],
                "secret_access_key": self._bench.environment["BENCH_SECRET"],
                "no_check_bucket": "true",
            }
            environment |= {f"RCLONE_CONFIG_{remote.upper()}_{name.upper()}": text for name, text in settings.items()}
        command = [self._program, "sync", source, target, "--checksum", "--transfers=8", "--checkers=8"]
        # Two remotes of one server: rclone copies inside it only when it is told that it may.
        command.append("--server-side-across-configs=" + ("true" if self._server_side else "false"))
        command += ["--exclude", "*/0/*/**", "--fast-list", "--quiet"]
        return measure(command, environment=environment, discard=True)


def _row(what: str, ours: Measured, theirs: Measured, peer: str) -> Row:
    return Row(
        size=f"{ours.told['objects']} files",
        what=what,
        seconds=ours.told["operation_seconds"],
        cpu_seconds=ours.cpu_seconds,
        peak_bytes=ours.peak_bytes,
        moved_bytes=ours.told["copied_bytes"],
        stored_bytes=ours.told["copied_stored_bytes"],
        peer=peer,
        peer_seconds=theirs.seconds,
        peer_cpu_seconds=theirs.cpu_seconds,
    )
