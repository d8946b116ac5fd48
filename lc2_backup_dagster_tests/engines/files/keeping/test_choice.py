"""Which content of a file rows meant: by size first, then by time."""

from datetime import UTC, datetime, timedelta

import pytest

from lc2_backup_dagster.clouds.store import ObjectVersion
from lc2_backup_dagster.engines.files.keeping.choice import best_content, best_version
from lc2_backup_dagster.engines.files.keeping.wanted import WantedFile
from lc2_backup_dagster_tests.engines.files.library import an_entry, an_info

MOMENT = datetime(2026, 11, 30, 2, 0, 0, 500_000, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return MOMENT + timedelta(minutes=minutes)


def a_version(name: str, size_bytes: int, minutes: float, *, marker: bool = False) -> ObjectVersion:
    info = an_info("a", size_bytes=size_bytes, modified=at(minutes), etag=name, version=name)
    return ObjectVersion(info, is_delete_marker=marker, is_latest=False)


def an_old(name: str, size_bytes: int, minutes: float):
    return an_entry("a", size_bytes=size_bytes, modified=at(minutes), etag=name)


@pytest.mark.parametrize(
    ("sizes", "versions", "best"),
    [
        ((3,), [("late", 3, 5), ("now", 3, -1), ("old", 3, -9)], "now"),
        ((3,), [("late", 3, 5), ("resized", 4, -1), ("old", 3, -9)], "old"),
        ((3,), [("later", 3, 9), ("late", 3, 5), ("old", 4, -9)], "late"),
        ((), [("late", 3, 5), ("now", 4, -1)], "now"),
        ((3, 4), [("now", 4, -1), ("old", 3, -9)], "now"),
        ((3,), [("old", 4, -9)], None),
    ],
)
def test_the_newest_fitting_version_that_is_not_younger_than_the_rows_is_best(sizes, versions, best) -> None:
    found = best_version(WantedFile("a", sizes), [a_version(*each) for each in versions], MOMENT)
    assert (found and found.version) == best


def test_a_delete_marker_is_no_content_and_the_first_of_equally_old_ones_counts() -> None:
    versions = [a_version("gone", 0, -1, marker=True), a_version("newer", 3, -2), a_version("older", 3, -2)]
    found = best_version(WantedFile("a"), versions, MOMENT)
    assert found is not None and found.version == "newer"


def test_what_a_backup_holds_of_the_chosen_version_is_taken_over() -> None:
    held, version = an_old("now", 3, -1), a_version("now", 3, -1).info
    assert best_content(WantedFile("a", (3,)), version, [held], MOMENT) is held


def test_the_source_knows_of_a_version_behind_the_one_of_the_backup() -> None:
    version = a_version("now", 3, -1).info
    assert best_content(WantedFile("a", (3,)), version, [an_old("old", 3, -9)], MOMENT) is version


def test_a_backup_that_is_nearer_to_the_moment_wins_over_what_versions_are_left() -> None:
    held, version = an_old("now", 3, -1), a_version("old", 3, -9).info
    assert best_content(WantedFile("a", (3,)), version, [held, an_old("resized", 4, 0)], MOMENT) is held


@pytest.mark.parametrize(("listed_bytes", "kept"), [(3, False), (4, True)])
def test_a_younger_content_is_kept_only_where_what_is_listed_does_not_fit(listed_bytes: int, kept: bool) -> None:
    wanted = WantedFile("a", (3,), listed_bytes, int(at(9).timestamp() * 1_000_000))
    assert (best_content(wanted, a_version("late", 3, 5).info, [], MOMENT) is not None) is kept


def test_what_is_listed_is_not_kept_a_second_time() -> None:
    wanted = WantedFile("a", (3,), 3, int(at(-1).timestamp() * 1_000_000))
    assert best_content(wanted, a_version("now", 3, -1).info, [], MOMENT) is None
    assert best_content(wanted, None, [], MOMENT) is None
