"""All versions of a source, in any order, reduced to what every key was at a moment."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectVersion
from lc2_backup_dagster.engines.files.capture.shards import shards_of
from lc2_backup_dagster.engines.files.capture.versions import PastListing, list_as_of
from lc2_backup_dagster.model.errors import ConfigurationError, StoreUnavailable, WindowNotRestorable
from lc2_backup_dagster_tests.engines.files.library import fill
from lc2_backup_dagster_tests.engines.files.versioned import Versioned
from lc2_backup_dagster_tests.fakes import MemoryStore, SetClock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=9)


def a_version(key: str, minute: float, version: str = "v", *, marker: bool = False, latest: bool = False):
    modified = NOON + timedelta(minutes=minute)
    info = ObjectInfo(key, 0 if marker else 3, modified, None if marker else f"etag of {version}", version)
    return ObjectVersion(info, is_delete_marker=marker, is_latest=latest)


def reduced(versions, *, run_rows=50_000, scratch=None) -> tuple[dict[str, str], int]:
    """Return the version of every key, and how many replaced ones were seen."""
    with PastListing(scratch, run_rows=run_rows) as listing:
        listing.take(versions)
        found = list(listing.newest())
        keys = [each.info.key for each in found]
        assert keys == sorted(set(keys))
        return {each.info.key: each.info.version or "" for each in found}, listing.superseded


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOON)


@pytest.fixture
def source(clock: SetClock) -> Versioned:
    return Versioned(clock)


def listed(store, moment, **options):
    with list_as_of(
        store, moment, **{"kept_since": LONG_AGO, "now": lambda: NOON + timedelta(days=1), **options}
    ) as found:
        return [(each.info.key, each.info.size_bytes, each.is_delete_marker) for each in found.newest()], found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("run_rows", [3, 50_000])
def test_of_many_versions_in_any_order_the_newest_of_each_key_is_found(seed, run_rows, tmp_path):
    chance = random.Random(seed)
    versions = [
        a_version(f"{key:03d}", chance.randint(0, 10_000) + place / 100, f"{key}.{place}")
        for key in range(40)
        for place in range(chance.randint(1, 30))
    ]
    newest = {each.info.key: each.info.version for each in sorted(versions, key=lambda each: each.info.modified)}
    chance.shuffle(versions)
    found, superseded = reduced(versions, run_rows=run_rows, scratch=tmp_path)
    assert found == newest
    assert superseded == len(versions) - len(newest)


def test_versions_of_one_key_that_come_together_take_the_place_of_one(tmp_path):
    with PastListing(tmp_path, run_rows=10) as listing:
        listing.take(a_version("key", -minute, str(minute)) for minute in range(5000))
        assert listing._sorter.count == 1
        assert [each.info.version for each in listing.newest()] == ["0"]


def test_of_equal_times_the_latest_wins_then_content_then_what_is_listed_first():
    latest = a_version("a", 0, "new", marker=True, latest=True)
    assert reduced([a_version("a", 0, "old"), latest])[0] == {"a": "new"}
    marker, content = a_version("b", 0, "marker", marker=True), a_version("b", 0, "content")
    assert reduced([marker, content])[0] == reduced([content, marker])[0] == {"b": "content"}
    assert reduced([a_version("c", 0, "first"), a_version("c", 0, "second")])[0] == {"c": "first"}


def test_a_version_that_is_listed_twice_is_one():
    assert reduced([a_version("a", 0), a_version("a", 0)]) == ({"a": "v"}, 0)


def test_a_replaced_delete_marker_is_no_version_that_is_kept():
    assert reduced([a_version("a", 1, "new"), a_version("a", 0, "old", marker=True)]) == ({"a": "new"}, 0)


def test_what_came_after_the_moment_is_not_seen_and_what_was_deleted_before_it_is_a_marker(source, clock):
    fill(source, {"kept": b"1", "changed": b"22", "deleted": b"333", "undeleted": b"4444"})
    source.delete(["undeleted"])
    clock.move(minutes=1)
    source.delete(["deleted"])
    fill(source, {"undeleted": b"55555"})
    moment = clock.now()
    clock.move(seconds=1)
    fill(source, {"changed": b"another", "new": b"7"})
    source.delete(["kept", "undeleted"])
    for source.shuffled in (False, True):
        found, listing = listed(source, moment)
        assert found == [
            ("changed", 2, False), ("deleted", 0, True), ("kept", 1, False), ("undeleted", 5, False),
        ]  # fmt: skip
        assert listing.superseded == 2, "of deleted and undeleted"
        assert listing.ordered is not source.shuffled


def test_a_moment_just_below_a_second_takes_exactly_what_a_store_with_whole_seconds_had_by_then(source, clock):
    source.whole_seconds = True
    clock.move(seconds=0.9)
    fill(source, {"before": b"1"})
    clock.move(seconds=0.1)
    fill(source, {"behind": b"2"})
    assert listed(source, NOON + timedelta(seconds=1) - timedelta(microseconds=1))[0] == [("before", 1, False)]


def test_left_out_files_are_counted_once_and_not_listed(source, clock):
    for body in (b"1", b"22", b"333"):
        fill(source, {"a.tmp": body, "b": body})
    found, listing = listed(source, NOON, include=lambda key: not key.endswith(".tmp"))
    assert found == [("b", 3, False)]
    assert listing.excluded == 1


def test_a_shard_lists_its_own_keys_only(source):
    fill(source, {"a/1": b"1", "b/1": b"1", "c": b"1"})
    of_b, rest = shards_of(["b/"])
    assert [key for key, *_ in listed(source, NOON, shard=of_b)[0]] == ["b/1"]
    assert [key for key, *_ in listed(source, NOON, shard=rest)[0]] == ["a/1", "c"]


def test_a_version_without_an_id_from_after_a_backup_shows_that_versioning_was_off(source, clock):
    source.keeping = False
    fill(source, {"from before versioning": b"1"})
    clock.move(minutes=1)
    seen, source.keeping = clock.now(), True
    fill(source, {"a": b"1"})
    assert len(listed(source, clock.now(), kept_since=seen)[0]) == 2
    source.keeping = False
    clock.move(minutes=1)
    fill(source, {"written meanwhile.tmp": b"1"})
    with pytest.raises(WindowNotRestorable, match="versioning of memory://source was off at 2026-11-23T12:02"):
        listed(source, clock.now(), kept_since=seen, include=lambda key: not key.endswith(".tmp"))


def test_a_moment_that_has_not_passed_by_the_clock_of_the_source_is_refused(source):
    with pytest.raises(WindowNotRestorable, match="has not passed there"):
        listed(source, NOON, now=lambda: NOON)


def test_a_store_without_versions_refuses(clock):
    with pytest.raises(ConfigurationError, match="keeps no versions"):
        listed(MemoryStore(clock), NOON)


def test_a_listing_that_breaks_off_is_no_listing(source):
    class Breaking(Versioned):
        def list_versions(self, prefix: str = ""):
            yield a_version("a", 0)
            raise StoreUnavailable("503")

    with pytest.raises(StoreUnavailable):
        listed(Breaking(SetClock(NOON)), NOON)
