"""200,000 rows, half of whose files are gone, within a fixed memory (L-23)."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.files.capture.capture import FileSource
from lc2_backup_dagster.engines.files.keeping.keep import RowsOfDump, keep_for_rows
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine, entry_lines
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository.site import open_site_repository
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.engines.files.library import HASH

ROWS = 200_000
# Two lists and the rows as streams, and what three sorts keep; the wanted files would be 60 MB as objects alone.
CAP_BYTES = 90 * 1024 * 1024
_BLOCK = 2000


class Lines:
    """A list of files that nobody holds in memory: every ``step``-th of them."""

    def __init__(self, step: int) -> None:
        self._blocks = (
            b"".join(
                b'{"k":"20097/%09d/1.0","s":7,"t":1763000000000000,"e":"x","h":"%s","l":["o","%s",null,null,null,null]}\n'
                % (number, HASH.encode(), HASH.encode())
                for number in range(start, start + _BLOCK, step)
            )
            for start in range(0, ROWS, _BLOCK)
        )
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while len(self._rest) < size and (block := next(self._blocks, None)):
            self._rest += block
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@contextmanager
def lines(step: int) -> Iterator[Iterator[EntryLine]]:
    yield entry_lines(Lines(step), name="files")


def keep(folder: Path) -> None:
    """Keep half of the files; print the growth of the process."""
    store = DirectoryStore(folder / "bucket", create=True)
    repository = open_site_repository(store, SiteId("retail", "liferay"), wrapper=None, create=True)
    references = lambda: nullcontext(  # noqa: E731
        FileReference(f"20097/{number:09d}/1.0", f"row={number}", 7) for number in range(ROWS)
    )
    with repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt:
        before = peak_bytes()
        kept = keep_for_rows(
            attempt,
            repository,
            FileSource(store, "x"),
            RowsOfDump("dump", datetime(2026, 11, 30, tzinfo=UTC), references),
            listed=lambda: lines(2),
            known=lambda: lines(1),
            versions=False,
            scratch=folder,
        )
        assert (kept.wanted, kept.from_backup, kept.objects_more) == (ROWS // 2, ROWS // 2, ROWS // 2)
        assert kept.stream is not None
        attempt.commit(a_draft(streams=(kept.stream,), window=None))
    sys.stdout.write(str(peak_bytes() - before))


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_memory_does_not_grow_with_rows_and_files(tmp_path: Path) -> None:
    program = f"from pathlib import Path; from {__name__} import keep; keep(Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < CAP_BYTES
