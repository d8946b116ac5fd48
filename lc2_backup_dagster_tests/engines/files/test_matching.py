from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.matching import RowMatch, match_rows
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster_tests.engines.files.library import an_entry


def a_row(key: str, size_bytes: int | None = 3, row_id: str = "DLFileEntry 1") -> FileReference:
    return FileReference(key, row_id, size_bytes)


def before_tilde(key: str) -> str:
    return key.partition("~")[0]


def test_rows_and_files_that_fit_are_complete() -> None:
    match = match_rows([a_row("a"), a_row("a"), a_row("b", None)], [an_entry("a"), an_entry("b")])

    assert match == RowMatch(rows=3, files=2)
    assert match.complete


def test_dangling_rows_orphans_and_other_sizes_are_named() -> None:
    match = match_rows(
        [a_row("a", 4), a_row("c", row_id="DLFileVersion 9")],
        [an_entry("a"), an_entry("b"), an_entry("thumb/1")],
        is_generated=lambda key: key.startswith("thumb/"),
    )

    assert match.dangling == ["c (DLFileVersion 9)"] and match.dangling_count == 1
    assert match.orphans == ["b"] and match.orphan_count == 1
    assert match.size_mismatches == ["a (DLFileEntry 1): row 4, file 3"]
    assert not match.complete


def test_samples_are_bounded_and_counts_are_not() -> None:
    match = match_rows([a_row(f"{number:04d}") for number in range(150)], [an_entry("x")])

    assert match.dangling_count == 150 and len(match.dangling) == 100


def test_rows_out_of_byte_order_are_refused_with_the_collation_to_use() -> None:
    with pytest.raises(ConfigurationError, match='COLLATE "C"'):
        match_rows([a_row("b"), a_row("a")], [])


def test_a_suffix_is_seen_through_although_it_changes_the_order(tmp_path: Path) -> None:
    entries = [an_entry(key) for key in sorted(["d/1.1~u1", "d/1.10~u2", "d/1.2", "d/1.3~u4", "d/1.3~u5"])]

    match = match_rows(
        [a_row("d/1.1"), a_row("d/1.10"), a_row("d/1.2"), a_row("d/1.3~u5"), a_row("d/1.2~gone")],
        entries,
        base_key=before_tilde,
        scratch=tmp_path,
    )

    assert match.dangling == ["d/1.2~gone (DLFileEntry 1)"]
    assert match.orphans == ["d/1.3~u4"]


@given(st.sets(st.text("ab~", max_size=4)), st.sets(st.text("ab~", max_size=4)))
def test_matching_agrees_with_sets(rows: set[str], files: set[str]) -> None:
    match = match_rows([a_row(key) for key in sorted(rows)], [an_entry(key) for key in sorted(files)])

    assert match.dangling_count == len(rows - files)
    assert match.orphan_count == len(files - rows)
