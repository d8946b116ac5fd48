"""A past moment out of 300,000 versions in no order, compared with a backup, within a fixed memory (L-23)."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectVersion
from lc2_backup_dagster.engines.files.capture.changes import Added, Change
from lc2_backup_dagster.engines.files.capture.past import Known, PastFindings, changes_as_of
from lc2_backup_dagster.engines.files.capture.versions import PastListing
from lc2_backup_dagster.engines.files.manifest.entry import Protection
from lc2_backup_dagster_tests.engines.files.capture.test_memory import CAP_BYTES, key_of, peak_bytes
from lc2_backup_dagster_tests.engines.files.library import an_entry, an_info

KEYS, VERSIONS = 100_003, 300_000


def versions(begin: datetime) -> Iterator[ObjectVersion]:
    for number in range(VERSIONS):
        modified = begin + timedelta(seconds=number)
        info = ObjectInfo(key_of(number * 7919 % KEYS), 3, modified, f"etag {number}", f"{number:032d}")
        yield ObjectVersion(info, is_delete_marker=number % 50 == 0, is_latest=False)


def pass_over_the_versions(scratch: Path) -> None:
    before = peak_bytes()
    begin = an_info("x").modified
    known = (Known(an_entry(key_of(number)), proven=False) for number in range(KEYS))
    findings = PastFindings()
    with PastListing(scratch, run_rows=20_000) as listing:
        listing.take(versions(begin))
        found: Iterator[Change] = changes_as_of(
            known, listing.newest(), findings, protection_of=lambda key: Protection.CLIENT
        )
        added = replaced = 0
        for change in found:
            added += isinstance(change, Added)
            replaced += 1
        assert not listing.ordered
        assert (added, replaced, findings.missing.count) == (0, KEYS, 0)
        assert listing.superseded > 100_000
    sys.stdout.write(str(peak_bytes() - before))


def test_three_hundred_thousand_versions_fit_into_sixty_megabytes(tmp_path: Path) -> None:
    # A process of its own: the peak of this one tells of other tests.
    grown = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path)], check=True, capture_output=True, text=True, timeout=120
    )

    assert int(grown.stdout) < CAP_BYTES


if __name__ == "__main__":
    pass_over_the_versions(Path(sys.argv[1]))
