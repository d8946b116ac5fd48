"""Looking through two backups of 200,000 files within a fixed memory (L-23)."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.files.manifest.differences import DifferenceTotals
from lc2_backup_dagster.engines.files.manifest.entry import STREAM
from lc2_backup_dagster.engines.files.manifest.levels import one_level
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.operations.browse.compare_files import compare_files
from lc2_backup_dagster.operations.browse.find_files import Wanted, find_versions
from lc2_backup_dagster.operations.browse.stored_files import stored_lines
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.engines.files.library import HASH

FILES = 200_000
# Parts of two lists in memory, and what the sort keeps of rows; the lines of one backup would be 40 MB as text alone.
CAP_BYTES = 70 * 1024 * 1024
_BLOCK = 2000


class Lines:
    """A list of files that nobody holds in memory: one in a thousand is of another generation."""

    def __init__(self, generation: int) -> None:
        self._blocks = self._made(generation)
        self._rest = b""

    def _made(self, generation: int) -> Iterator[bytes]:
        for start in range(0, FILES, _BLOCK):
            yield b"".join(
                b'{"k":"20097/%06d/%09d/1.0","s":%d,"t":1763000000000000,"e":"%d","h":"%s","l":["o","%s",null,null,null,null]}\n'
                % (
                    number // 1000,
                    number,
                    number % 100,
                    number % 1000 == 0 and generation,
                    HASH.encode(),
                    HASH.encode(),
                )
                for number in range(start, start + _BLOCK)
            )

    def read(self, size: int, /) -> bytes:
        while len(self._rest) < size and (block := next(self._blocks, None)):
            self._rest += block
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def backed_up(repository: SiteRepository, generation: int) -> CommittedBackup:
    with repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt:
        stream = attempt.write_stream(STREAM, Lines(generation))
        return attempt.commit(a_draft(streams=(stream,), window=None, summary={"source_id": "x"}))


def look_through(folder: Path) -> None:
    """List, compare and search; print the growth of the process."""
    store = DirectoryStore(folder / "bucket", create=True)
    repository = open_site_repository(store, SiteId("retail", "liferay"), wrapper=None, create=True)
    old, new = backed_up(repository, 1), backed_up(repository, 2)
    before = peak_bytes()

    with stored_lines(repository, new, prefix="20097/") as lines:
        levels = list(one_level(lines, prefix="20097/"))
    assert sum(each.files for each in levels) == FILES
    totals = DifferenceTotals()
    with compare_files(repository, old, new, totals) as found:
        # Equal hashes and another etag: the same bytes, at the same time.
        assert sum(1 for _ in found) == 0
    assert totals.unchanged == FILES
    versions = sum(1 for _ in find_versions(repository, [new, old], Wanted(("*/1.0",)), scratch=folder))
    assert versions == FILES + FILES // 1000
    sys.stdout.write(str(peak_bytes() - before))


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_two_lists_of_two_hundred_thousand_files_are_looked_through_in_seventy_megabytes(tmp_path: Path) -> None:
    # A process of its own: the peak of this one tells of other tests.
    grown = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path)], check=True, capture_output=True, text=True, timeout=200
    )

    assert int(grown.stdout) < CAP_BYTES


if __name__ == "__main__":
    look_through(Path(sys.argv[1]))
