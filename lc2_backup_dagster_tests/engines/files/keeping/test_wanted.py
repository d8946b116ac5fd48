"""Which files a listing owes to rows."""

from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from lc2_backup_dagster.clouds.store import PosixFacts, PosixKind
from lc2_backup_dagster.engines.files.keeping.wanted import WantedFile, wanted_files
from lc2_backup_dagster.engines.files.manifest.entry import Copied, FileEntry, Nothing, encode_entry
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine, entry_lines
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster_tests.engines.files.library import an_entry

MOMENT = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)
BEFORE, SHORTLY, AFTER = (MOMENT + timedelta(minutes=each) for each in (-60, -5, 5))


def wanted(rows: list[tuple[str, int | None]], *listed: FileEntry) -> list[WantedFile]:
    references = (FileReference(key, f"row={key}", size) for key, size in rows)
    return list(wanted_files(references, lines(*listed), moment=MOMENT))


def lines(*entries: FileEntry) -> list[EntryLine]:
    return list(entry_lines(BytesIO(b"".join(encode_entry(each) for each in entries)), name="files"))


def listed(key: str, size_bytes: int, modified: datetime) -> FileEntry:
    return an_entry(key, Copied("ab" * 32), size_bytes=size_bytes, modified=modified)


@pytest.mark.parametrize(
    ("size_bytes", "modified", "is_wanted"),
    [
        (3, BEFORE, False),
        (4, BEFORE, False),  # the row has been wrong for long
        (3, SHORTLY, False),
        (4, SHORTLY, True),  # its row may have been committed behind the moment
        (3, AFTER, True),
        (4, AFTER, True),
        (3, MOMENT, False),
    ],
)
def test_what_is_listed_is_wanted_where_it_may_be_younger_than_the_rows(size_bytes, modified, is_wanted) -> None:
    assert bool(wanted([("a", 3)], listed("a", size_bytes, modified))) is is_wanted


def test_what_is_not_listed_is_wanted_with_every_size_that_rows_promise() -> None:
    found = wanted(
        [("a", 3), ("a", None), ("a", 5), ("b", None), ("d", 1)], listed("c", 1, BEFORE), listed("d", 1, BEFORE)
    )
    assert found == [WantedFile("a", (3, 5)), WantedFile("b")]
    assert [each.fits(4) for each in found] == [False, True]
    assert [WantedFile.of_row(each.row()) for each in found] == found


def test_a_folder_is_no_file_and_a_link_is_one() -> None:
    link = PosixFacts(PosixKind.SYMLINK, 0o777, 0, 0, target="elsewhere")
    folder = PosixFacts(PosixKind.DIRECTORY, 0o755, 0, 0)
    entries = [
        FileEntry("a", 0, AFTER, Nothing(), posix=link),
        FileEntry("b/", 0, AFTER, Nothing(), posix=folder),
    ]
    assert [each.key for each in wanted([("a", 3), ("b/", 3)], *entries)] == ["b/"]


def test_rows_out_of_byte_order_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="byte order"):
        wanted([("b", 1), ("a", 1)])
