"""What differs between two lists of files, and how it is told."""

from dataclasses import asdict, replace
from datetime import timedelta
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.manifest.differences import DifferenceTotals, What, difference_of, differences
from lc2_backup_dagster.engines.files.manifest.entry import Copied, FileEntry, encode_entries
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine, entry_lines
from lc2_backup_dagster_tests.engines.files.library import HASH, an_entry

FILE = an_entry("a", Copied("11" * 32), sha256=HASH)
PENDING = replace(FILE, sha256=None)
COPIED_AGAIN = replace(FILE, location=Copied("22" * 32), modified=FILE.modified + timedelta(seconds=5))


def lines_of(entries: list[FileEntry]) -> list[EntryLine]:
    return list(entry_lines(BytesIO(encode_entries(entries)), name="files"))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (FILE, FILE, None),
        (FILE, replace(COPIED_AGAIN, size_bytes=4), What.CONTENT),
        (FILE, replace(COPIED_AGAIN, sha256="cd" * 32), What.CONTENT),
        # Equal bytes, whatever etag and version say.
        (FILE, replace(COPIED_AGAIN, etag="another", version="2"), What.TIME),
        (FILE, replace(COPIED_AGAIN, content_type="text/html"), What.METADATA),
        (FILE, replace(COPIED_AGAIN, metadata={"author": "x"}), What.METADATA),
        (FILE, replace(FILE, location=Copied("22" * 32)), None),
        # A hash that is pending: the etag decides, and without one the time.
        (PENDING, replace(COPIED_AGAIN, sha256=None), What.TIME),
        (PENDING, replace(COPIED_AGAIN, etag="another"), What.CONTENT),
        (replace(PENDING, etag=None), replace(COPIED_AGAIN, etag=None), What.CONTENT),
        (replace(PENDING, etag=None), replace(FILE, etag=None, location=Copied("22" * 32)), None),
        # The same stored object: its hash was computed in between.
        (PENDING, FILE, None),
        (PENDING, replace(FILE, etag="another"), None),
    ],
)
def test_how_two_versions_of_a_file_differ(old: FileEntry, new: FileEntry, what: What | None) -> None:
    assert difference_of(old, new, etags_comparable=True) is what


def test_etags_of_two_sources_prove_nothing() -> None:
    moved = replace(COPIED_AGAIN, sha256=None)

    assert difference_of(PENDING, moved, etags_comparable=True) is What.TIME
    assert difference_of(PENDING, moved, etags_comparable=False) is What.CONTENT


VERSIONS = st.dictionaries(st.text("ab/", min_size=1, max_size=3), st.integers(0, 3), max_size=8)


@given(VERSIONS, VERSIONS)
def test_every_file_of_both_sides_is_told_or_counted_as_unchanged(old: dict[str, int], new: dict[str, int]) -> None:
    def entries(versions: dict[str, int]) -> list[FileEntry]:
        return [
            an_entry(key, Copied(f"{number:064x}"), size_bytes=number, sha256=f"{number:064x}")
            for key, number in sorted(versions.items())
        ]

    totals = DifferenceTotals()
    found = list(differences(lines_of(entries(old)), lines_of(entries(new)), totals, etags_comparable=True))

    assert {(each.key, each.what) for each in found} == {
        *((key, What.ADDED) for key in new.keys() - old.keys()),
        *((key, What.REMOVED) for key in old.keys() - new.keys()),
        *((key, What.CONTENT) for key in old.keys() & new.keys() if old[key] != new[key]),
    }
    assert [each.key for each in found] == sorted(each.key for each in found)
    both = old.keys() & new.keys()
    assert asdict(totals) == {
        "added": len(new) - len(both),
        "added_bytes": sum(size for key, size in new.items() if key not in both),
        "removed": len(old) - len(both),
        "removed_bytes": sum(size for key, size in old.items() if key not in both),
        "content": sum(old[key] != new[key] for key in both),
        "content_bytes": sum(new[key] for key in both if old[key] != new[key]),
        "metadata": 0,
        "time": 0,
        "unchanged": sum(old[key] == new[key] for key in both),
        "unchanged_bytes": sum(new[key] for key in both if old[key] == new[key]),
        "grown_bytes": sum(new.values()) - sum(old.values()),
    }


def test_a_file_that_is_on_one_side_only_is_told_with_that_side() -> None:
    added, removed = differences(
        lines_of([an_entry("b")]), lines_of([an_entry("a")]), DifferenceTotals(), etags_comparable=True
    )

    assert (added.old, added.new) == (None, an_entry("a"))
    assert (removed.old, removed.new) == (an_entry("b"), None)
