"""One pass of a capture over a large library in which nothing is copied; prints what it cost as one JSON line.

``python -m benchmarks.inventory_worker FOLDER COUNT [ENDPOINT]``: with an endpoint the library is listed there, else
the listing is made up on the way, so that only sorting, comparing and writing the manifest are measured.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.large_library import digest_bytes, entries, listing
from benchmarks.worker import peak_bytes
from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.clouds.registry import create_key_file, open_key_file
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore
from lc2_backup_dagster.engines.files.capture.capture import FileSource, capture_files
from lc2_backup_dagster.engines.files.manifest.entry import STREAM, FileEntry, decode_entries, encode_entry
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.operations.capture.heap import share_one_heap
from lc2_backup_dagster.repository.attempt import Attempt, ManifestDraft
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository

_SITE = SiteId("bench", "liferay")
_WHO = Initiator(actor="benchmark", source="cli")


class _MadeUp(DirectoryStore):
    """A store that lists a library nobody stores."""

    count = 0

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        return listing(self.count)


def main() -> None:
    """Write the manifest of the backup before, then measure one capture that finds nothing to copy."""
    folder, count, endpoint = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None
    share_one_heap()
    repository = _repository(folder)
    if not repository.backups(Component.FILES):
        with repository.begin(Component.FILES, window=None, initiator=_WHO) as attempt:
            with attempt.stream_writer(STREAM) as writer:
                for entry in entries(count, versions=endpoint is None):
                    writer.write(encode_entry(entry))
            _commit(attempt, writer.stream)
        print(json.dumps({}))
        return
    base = repository.backups(Component.FILES)[-1]
    began = time.monotonic()
    source = _source(folder, count, endpoint)
    with repository.begin(Component.FILES, window=None, initiator=_WHO, bases=[base.backup_id]) as attempt:
        with repository.open_stream(repository.manifest(base.backup_id), STREAM) as reader:
            previous: Iterator[FileEntry] = decode_entries(reader, name=STREAM)
            captured = capture_files(
                attempt, repository, FileSource(store=source, source_id="bench"), previous=previous, scratch=folder
            )
        _commit(attempt, *captured.streams)
    counts = captured.counts
    if counts.copied_objects or counts.unchanged != count:
        raise SystemExit(f"{counts.unchanged} of {count} were found unchanged, {counts.copied_objects} were copied")
    stored = sum(stream.stored_bytes for stream in captured.streams)
    told = {
        "operation_seconds": time.monotonic() - began,
        "peak_bytes": peak_bytes(),
        "stored_bytes": stored,
        "bytes_per_entry_beyond_digests": (stored - digest_bytes(count, versions=endpoint is None)) / count,
    }
    print(json.dumps(told))


def _repository(folder: Path) -> SiteRepository:
    key_file = folder / "bench.key"
    if not key_file.exists():
        create_key_file(key_file)
    store = DirectoryStore(folder / "repository", create=True)
    return open_site_repository(store, _SITE, wrapper=open_key_file(key_file), create=True)


def _source(folder: Path, count: int, endpoint: str | None) -> ObjectStore:
    if endpoint is not None:
        access = S3Access(endpoint=endpoint, access_key="bench", secret_key="bench")
        return S3Store(S3Connection(access), "library", ordered_listing=True)
    source = _MadeUp(folder / "source", create=True)
    source.count = count
    return source


def _commit(attempt: Attempt, *streams: object) -> None:
    moment = Moment(attempt.started, attempt.started)
    attempt.commit(ManifestDraft(BackupKind.FULL, moment, None, ("full", "a benchmark"), streams))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
