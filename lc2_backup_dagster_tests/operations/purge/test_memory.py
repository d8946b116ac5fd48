"""A purge and a collection over 120,000 files within a fixed memory (L-23)."""

import hashlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.manifest.entry import Copied, encode_entry
from lc2_backup_dagster.engines.files.manifest.identity import files_prefix, object_key
from lc2_backup_dagster.model.clock import SystemClock
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.purge import collect_garbage
from lc2_backup_dagster.operations.purge import files as purge_files
from lc2_backup_dagster.operations.purge import references as references
from lc2_backup_dagster.repository.parts import WriteOptions
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.engines.files.library import SITE, an_entry

FILES = 120_000
CAP_BYTES = 28 * 1024 * 1024
MODEL = encode_entry(an_entry("KEY", Copied("ab" * 32), etag="ETAG"))


def identity_of(number: int, generation: int) -> bytes:
    """One in a hundred was copied again for each backup."""
    own = generation if number % 100 == generation else 0
    return hashlib.sha256(b"%d of %d" % (number, own)).hexdigest().encode()


def write(repository: SiteRepository, generation: int) -> str:
    with repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt:
        with attempt.stream_writer("files") as writer:
            for number in range(FILES):
                identity = identity_of(number, generation)
                line = MODEL.replace(b"KEY", b"%09d" % number).replace(b"ab" * 32, identity).replace(b"ETAG", identity)
                writer.write(line)
        return attempt.commit(a_draft(streams=(writer.stream,))).backup_id


class Endless(PrefixedStore):
    """Lists contents that nobody holds in memory: of every kept backup, and as many that nobody names."""

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        if prefix != files_prefix(SITE):
            yield from super().list(prefix, start_after=start_after)
            return
        old = self.now() - timedelta(days=400)
        for number in range(FILES):
            yield ObjectInfo(object_key(SITE, identity_of(number, 0).decode()), 1, old)
            yield ObjectInfo(object_key(SITE, identity_of(number, 99).decode(), part=number % 3), 1, old)


def purge_and_collect(folder: Path) -> None:
    """Print by how much the process has grown."""
    for module in (references, purge_files, collect_garbage):
        module.SORTED_IN_MEMORY = 10_000
    store = Endless(DirectoryStore(folder / "repository", create=True), "")
    small = WriteOptions(part_bytes=512 * 1024)
    repository = open_site_repository(store, SITE, wrapper=None, create=True, clock=SystemClock(), options=small)
    ids = [write(repository, generation) for generation in range(1, 4)]
    repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": ids[:2]})
    before = peak_bytes()
    (outcome,) = purge_files.purge_backups(repository, ids[:2], initiator=TESTER, scratch=folder)
    assert outcome.contents == 2 * FILES // 100 + FILES // 100, "what changed twice, and what the last one has anew"
    garbage = collect_garbage.collect_garbage(repository, scratch=folder)
    assert garbage.contents.count > FILES // 100
    sys.stdout.write(str(peak_bytes() - before))


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_hundred_and_twenty_thousand_files_fit_into_a_fixed_memory(tmp_path: Path) -> None:
    # A process of its own: the peak of this one tells of other tests.
    grown = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path)], check=True, capture_output=True, text=True, timeout=120
    )

    assert int(grown.stdout) < CAP_BYTES, grown.stdout


if __name__ == "__main__":
    purge_and_collect(Path(sys.argv[1]))
