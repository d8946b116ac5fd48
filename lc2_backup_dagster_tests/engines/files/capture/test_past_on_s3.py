"""A past moment out of a real bucket with versioning: through this process and copied by the store itself."""

import time
from datetime import datetime

import pytest

from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.engines.files.capture.capture import FileSource, capture_files
from lc2_backup_dagster.engines.files.capture.past import AsOf, known_at
from lc2_backup_dagster.engines.files.manifest.entry import Copied
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.engines.files.library import Library, facts_of, fill, store_below_public
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

LARGE = b"0123456789abcdef" * 700_000
"""Eleven megabytes: in two parts."""


@pytest.fixture
def source(s3_connection, make_bucket) -> S3Store:
    return S3Store(s3_connection, make_bucket(versioning=True))


def newest_of(source: S3Store) -> datetime:
    """Return the time of the newest version, and wait until the store's clock is beyond it."""
    newest = max(each.info.modified for each in source.list_versions())
    time.sleep(1.1)
    return newest


def test_a_past_moment_of_a_real_bucket_is_restored_byte_for_byte(source, s3_store, key, tmp_path):
    library = Library(source, s3_store, key=key, clock=SetClock(), protection_of=store_below_public, scratch=tmp_path)
    fill(source, {
        "kept.txt": b"kept", "changed": b"1", "deleted": b"22", "public/kept": b"k", "public/changed": b"1",
        "public/gone": b"gone", "undeleted": b"1",
    })  # fmt: skip
    before = library.capture()
    newest_of(source)
    source.delete(["deleted", "undeleted"])
    newest_of(source)
    fill(source, {"changed": LARGE, "public/changed": b"22", "public/added.txt": b"333", "undeleted": b"4444"})
    truth, moment = facts_of(source), newest_of(source)
    fill(source, {"changed": b"later", "public/changed": b"later", "deleted": b"again", "later": b"later"})
    source.delete(["public/gone", "kept.txt", "public/added.txt"])
    seen = datetime.fromisoformat(library.repository.manifest(before).moment.restorable_from)

    with library.repository.begin(Component.FILES, window=None, initiator=TESTER, bases=[before]) as attempt:
        captured = capture_files(
            attempt,
            library.repository,
            FileSource(source, "library", protection_of=store_below_public),
            as_of=AsOf(moment, seen, known_at(moment, library.entries(before), ())),
            scratch=tmp_path,
        )
        draft = a_draft(kind=BackupKind.INCREMENTAL, moment=captured.moment, streams=captured.streams)
        backup = attempt.commit(draft).backup_id

    target = MemoryStore()
    library.restore(backup, target)
    assert facts_of(target) == truth
    assert not captured.partial
    assert captured.counts.unchanged == 3, "kept.txt, public/kept and public/gone are in the backup before"
    assert captured.counts.copied_objects == 4
    entries = {entry.key: entry for entry in library.entries(backup)}
    assert {name for name, entry in entries.items() if isinstance(entry.location, Copied)} == {
        name for name in entries if name.startswith("public/")
    }
    assert all(entries[name].version for name in ("changed", "public/changed", "public/added.txt", "undeleted"))
    assert library.verify(backup).damaged_count == 0
