"""A library of 300,000 files within a fixed memory (L-23)."""

import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.capture.changes import changes
from lc2_backup_dagster.engines.files.capture.copying import Outcome, Result
from lc2_backup_dagster.engines.files.capture.inventory import take_inventory
from lc2_backup_dagster.engines.files.capture.transfer import Transfer
from lc2_backup_dagster.engines.files.manifest.entry import Bundled, FileEntry, Protection
from lc2_backup_dagster.engines.files.manifest.ordering import OrderedLines
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster_tests.engines.files.library import HASH, a_part, an_entry, an_info
from lc2_backup_dagster_tests.fakes import MemoryStore

FILES = 300_000
CAP_BYTES = 60 * 1024 * 1024


def key_of(number: int) -> str:
    return f"20097/{number // 1000:06d}/{number:09d}/1.0"


class Endless(MemoryStore):
    """Lists a library that nobody holds in memory, the last thousand files first."""

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        modified = an_info("x").modified
        for number in chain(range(FILES - 1000, FILES), range(FILES - 1000)):
            # one in a hundred was changed since
            yield ObjectInfo(key_of(number), 3, modified, "new" if number % 100 == 0 else None)


@dataclass
class Untouched:
    """Copies nothing."""

    stopping: threading.Event = field(default_factory=threading.Event)

    def bundle(self, members: list[ObjectInfo]) -> Outcome:
        return Outcome([Result(info.key, an_entry(info.key)) for info in members], copied_bytes=1)


class Silent:
    def add(self, line: bytes, *, size_bytes: int) -> None: ...

    def write_if_due(self) -> None: ...


def previous() -> Iterator[FileEntry]:
    template = an_entry("x", Bundled(HASH, "data-1", 0, 3, a_part(3)), etag=None)
    size_bytes, modified, location = template.size_bytes, template.modified, template.location
    return (FileEntry(key_of(number), size_bytes, modified, location, sha256=HASH) for number in range(FILES))


def pass_over_the_library(scratch: Path) -> None:
    """Take the inventory, compare, and write the new manifest to nowhere; print the growth of the process."""
    before = peak_bytes()
    written = 0

    def write(data: bytes) -> None:
        nonlocal written
        written += data.count(b"\n")

    store = Endless()
    with take_inventory(store, scratch=scratch) as inventory, OrderedLines(write, folder=scratch) as lines:
        transfer = Transfer(
            Untouched(),  # type: ignore[arg-type]
            lines,
            Silent(),  # type: ignore[arg-type]
            source=store,
            destination=store,
            protection_of=lambda key: Protection.CLIENT,
            limits=Limits(max_concurrency=2),
        )
        counts = transfer.run(changes(previous(), inventory.objects(), protection_of=lambda key: Protection.CLIENT))
        assert written == counts.objects == FILES
        assert counts.changed == FILES // 100
        assert not inventory.ordered
    sys.stdout.write(str(peak_bytes() - before))


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_three_hundred_thousand_files_fit_into_sixty_megabytes(tmp_path: Path) -> None:
    # A process of its own: the peak of this one tells of other tests.
    grown = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path)], check=True, capture_output=True, text=True, timeout=120
    )

    assert int(grown.stdout) < CAP_BYTES


if __name__ == "__main__":
    pass_over_the_library(Path(sys.argv[1]))
