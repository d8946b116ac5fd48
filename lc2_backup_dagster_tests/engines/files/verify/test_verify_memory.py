"""A verification of 100,000 objects, what is known of each kept and merged, within a fixed memory (L-23)."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.manifest.entry import Copied, FileEntry
from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.engines.files.verify import survey, verify
from lc2_backup_dagster.engines.files.verify.choices import RandomSample
from lc2_backup_dagster.engines.files.verify.proof_sets import open_proofs
from lc2_backup_dagster.engines.files.verify.proof_writing import ProofWriter
from lc2_backup_dagster.engines.files.verify.proofs import KnownHash, Proof
from lc2_backup_dagster.engines.files.verify.sampling import SampleAim
from lc2_backup_dagster.engines.files.verify.verify import FilesReading, verify_files
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.repository.sealing import ZstdSealer
from lc2_backup_dagster_tests.engines.files.capture.test_memory import key_of, peak_bytes
from lc2_backup_dagster_tests.engines.files.library import AT_ONCE, SITE, an_info

OBJECTS = 100_000
CAP_BYTES = 20 * 1024 * 1024
ROWS_IN_MEMORY = 5000
"""A tenth of what it is, so that a tenth of the objects shows what is held of all of them."""

BODY = b"abc"
SHA256 = hashlib.sha256(BODY).hexdigest()
STORED: datetime = an_info("x").modified


def identity_of(number: int) -> str:
    """Return names whose order has nothing to do with that of the files."""
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=32).hexdigest()


class Endless(DirectoryStore):
    """Has objects that nobody holds in memory; only results are really stored."""

    objects = OBJECTS

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        if not prefix.startswith("files/"):
            yield from super().list(prefix, start_after=start_after)
            return
        for number in range(self.objects):
            yield ObjectInfo(object_key(SITE, identity_of(number)), len(BODY), STORED, "etag")

    @contextmanager
    def open(self, key: str, **options: Any) -> Iterator[Any]:
        if key.startswith("files/"):
            yield SimpleNamespace(info=ObjectInfo(key, len(BODY), STORED, "etag"), read=BytesIO(BODY).read)
            return
        with super().open(key, **options) as reader:
            yield reader

    def now(self) -> datetime:
        return STORED + timedelta(days=40)


def entries(objects: int) -> Iterator[FileEntry]:
    return (
        FileEntry(key_of(number), len(BODY), STORED, Copied(identity_of(number), "etag"), etag="etag")
        for number in range(objects)
    )


def verify_a_library(folder: Path, objects: int) -> None:
    """Keep results of all objects, verify a sample on top of them, merge both; print the growth of the process."""
    store = Endless(folder / "repository", create=True)
    store.objects = objects
    repository: Any = SimpleNamespace(site=SITE, store=store, sealer=ZstdSealer())
    earlier = ProofWriter(repository, started=STORED + timedelta(days=9), patience=AT_ONCE, every_proofs=10**9)
    read_at = int((STORED + timedelta(days=9)).timestamp())
    with RowSorter(folder, run_rows=5000) as names:
        for number in range(0, objects, 2):
            names.add([identity_of(number)])
        earlier.finish(
            (Proof(name, read_at, SHA256) for (name,) in names.rows()),
            (KnownHash(key_of(number), identity_of(number), SHA256) for number in range(0, objects, 2)),
            taken_in={},
            summary={},
        )
    before = peak_bytes()
    reading = FilesReading(
        choice=lambda now: RandomSample(SampleAim(Fraction(1, 1000)), seed="s"),
        keep=True,
        whole=lambda: True,
        max_age_seconds=30 * 86400,
    )
    limits = Limits(max_concurrency=2, journal_entries=500)
    found = verify_files(repository, entries(objects), reading, scratch=folder, limits=limits, patience=AT_ONCE)
    grown = peak_bytes() - before
    assert (found.objects, found.damaged_count, found.sample and found.sample.drawn) == (objects, 0, found.read_objects)
    assert found.over_age == objects - found.read_objects
    with open_proofs(repository, scratch=folder) as kept:
        assert sum(1 for _ in kept.hashes()) == sum(1 for _ in kept.proofs()) == objects // 2 + found.hashed_pending
    sys.stdout.write(str(grown))


def test_a_hundred_thousand_objects_fit_into_a_fixed_memory(tmp_path: Path) -> None:
    # A process of its own: the peak of this one tells of other tests.
    grown = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path), str(OBJECTS), str(ROWS_IN_MEMORY)],
        check=True,
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert int(grown.stdout) < CAP_BYTES


if __name__ == "__main__":
    if len(sys.argv) > 3:
        verify._ROWS_IN_MEMORY = survey._ROWS_IN_MEMORY = survey._UNSORTED_ROWS_IN_MEMORY = int(sys.argv[3])
    verify_a_library(Path(sys.argv[1]), int(sys.argv[2]))
