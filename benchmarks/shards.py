"""What cutting a library into shards costs and wins: in one piece, in shards one after the other, in shards at once."""

import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from benchmarks.bench_site import Bench
from benchmarks.measured import Measured, worker
from benchmarks.table import Row

_FOLDERS = 4
_FILE_BYTES = 4096
_LIBRARY = "library-shards"
_SEEDERS = 8


def measure_shards(bench: Bench, *, objects: int, report: Callable[[list[Row]], None]) -> None:
    """Copy a library of small files in four folders: first all of it, then with nothing changed, then with 1 %."""
    bench.objects.create_bucket(_LIBRARY)
    _write(bench, range(objects), seed=0)
    sites: dict[str, Path] = {}
    for name in ("whole", "one after the other", "at once"):
        backups = f"backups-{name.replace(' ', '-')}"
        bench.objects.create_bucket(backups)
        folder = bench.site(f"shards {name}", destination=bench.s3(backups))
        text = (folder / "site.yaml").read_text().replace("bucket: library,", f"bucket: {_LIBRARY},")
        if name != "whole":
            shards = ", ".join(folder_of(number) for number in range(_FOLDERS))
            text = text.replace("files:\n", f"files:\n  shards: [{shards}]\n", 1)
        (folder / "site.yaml").write_text(text)
        sites[name] = folder
    for turn, what in enumerate(("first copy", "nothing changed", "1 % changed")):
        if what == "1 % changed":
            _write(bench, range(0, objects, 100), seed=turn)
        whole = worker("files", sites["whole"], bench.environment)
        chained = worker("files-shards", sites["one after the other"], bench.environment, f"chained {turn}")
        at_once = _at_once(bench, sites["at once"], f"at once {turn}")
        report([_row(objects, f"{what}, {_FOLDERS} shards one after the other", chained, whole)])
        report([_row(objects, f"{what}, {_FOLDERS} shards at once", at_once, whole)])


def folder_of(number: int) -> str:
    """Return the folder of a file, which is a shard."""
    return f"{'abcdefgh'[number % _FOLDERS]}/"


def _write(bench: Bench, numbers: range, *, seed: int) -> None:
    store = bench.bucket(_LIBRARY)

    def put(number: int) -> None:
        content = Random(f"{seed} {number}").randbytes(_FILE_BYTES)
        store.put(f"{folder_of(number)}{number:08d}", content, create_only=False)

    with ThreadPoolExecutor(_SEEDERS) as pool:
        list(pool.map(put, numbers))


def _at_once(bench: Bench, site: Path, ticket: str) -> Measured:
    """Carry out each step in a process of its own, the shards at once, as an executor of processes does."""
    began, before = time.monotonic(), _cpu_seconds()
    steps = [worker("shards-begin", site, bench.environment, ticket)]
    with ThreadPoolExecutor(_FOLDERS + 1) as pool:
        captures = [
            pool.submit(worker, "shards-capture", site, bench.environment, ticket, str(number))
            for number in range(_FOLDERS + 1)
        ]
        steps += [each.result() for each in captures]
    steps.append(worker("shards-commit", site, bench.environment, ticket))
    return Measured(
        time.monotonic() - began,
        _cpu_seconds() - before,  # of all together: at once, each step would count the others' too
        max(step.peak_bytes for step in steps),
        max(step.tree_peak_bytes for step in steps),
        steps[-1].told,
    )


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _row(objects: int, what: str, ours: Measured, whole: Measured) -> Row:
    return Row(
        f"{objects} files",
        what,
        ours.seconds,
        ours.cpu_seconds,
        ours.peak_bytes,
        moved_bytes=ours.told["copied_bytes"],
        stored_bytes=ours.told["copied_stored_bytes"],
        peer="in one piece",
        peer_seconds=whole.seconds,
        peer_cpu_seconds=whole.cpu_seconds,
    )
