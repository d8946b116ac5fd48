"""Until when archived WAL covers, measured from what is stored: positions, times, timelines (L-13, L-14, L-18)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.model.clock import SystemClock
from lc2_backup_dagster.model.errors import ChainBroken, StoreUnavailable
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.operations.wal.coverage import reaches, wal_coverage
from lc2_backup_dagster.repository.wal.header import Sample
from lc2_backup_dagster_tests.builders import a_repository
from lc2_backup_dagster_tests.fakes import MemoryStore
from lc2_backup_dagster_tests.repository.wal.listings import SEGMENT, a_name, at

SYSTEM = "7500000000000000001"
START = datetime(2026, 11, 23, 2, tzinfo=UTC)


class CountingStore(MemoryStore):
    """Counts what is read of segments, and can be away."""

    reads = 0
    away = False

    def get(self, key, *, start=0, length=None):
        if self.away:
            raise StoreUnavailable("the store is away")
        self.reads += "/00000" in key
        return super().get(key, start=start, length=length)


@pytest.fixture
def repository():
    return a_new_repository()


def a_new_repository():
    return a_repository(CountingStore(), SiteId("retail", "liferay"), wrapper=None, clock=SystemClock())


def when(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def fill(repository, timeline, numbers, *, sampled=lambda number: True):
    """Archive segments; number n was written from second 10 n to 10 n + 9."""
    for number in numbers:
        samples = [Sample(at(number, 100), when(10 * number)), Sample(at(number, 900), when(10 * number + 9))]
        repository.wal(SYSTEM).put_segment(
            a_name(timeline, number), bytes([number]) * 1000, samples=samples if sampled(number) else ()
        )


def covered(repository, start=None, **options):
    return wal_coverage(
        repository,
        system_identifier=SYSTEM,
        start=start or Lsn(at(3, 500), 1),
        segment_bytes=SEGMENT,
        **options,
    )


def test_segments_and_a_beginning_cover_until_their_last_sample(repository):
    fill(repository, 1, [2, 3, 4, 5])
    repository.wal(SYSTEM).put_partial(
        a_name(1, 6), end_lsn=at(6, 800), plain=b"x" * 800, samples=[Sample(at(6, 700), when(63))]
    )
    found = covered(repository)
    assert (found.end, found.until, found.gap) == (Lsn(at(6, 800), 1), when(63), None)
    assert found.segments == tuple(a_name(1, number) for number in (3, 4, 5))
    assert found.partial == (a_name(1, 6), at(6, 800))


def test_the_position_tells_a_later_time_when_what_it_says_is_stored(repository):
    fill(repository, 1, [3, 4])
    repository.wal(SYSTEM).put_position(Sample(at(4, 950), when(300)), 1)
    assert covered(repository).until == when(300)
    assert reaches(covered(repository), when(299)) == Lsn(at(4, 950), 1)


def test_the_newest_position_tells_until_when_also_after_a_clock_was_set_back(repository):
    """A time that was told earlier lies ahead of what is archived; only the newest position counts."""
    archive = repository.wal(SYSTEM)
    fill(repository, 1, [3])
    archive.put_position(Sample(at(3, 950), when(4000)), 1)
    fill(repository, 1, [4])
    assert covered(repository).until == when(49)
    assert reaches(covered(repository), when(60)) is None
    archive.put_position(Sample(at(4, 950), when(20)), 1)
    assert covered(repository).until == when(20)


def test_a_position_beyond_what_is_stored_is_not_believed(repository):
    """L-13: whatever a receiver said, what counts is what can be read."""
    fill(repository, 1, [3, 4, 5])
    repository.wal(SYSTEM).put_position(Sample(at(5, 950), when(300)), 1)
    key = f"wal/retail/liferay/{SYSTEM}/00000001/{a_name(1, 5)}"
    repository.store.delete([key])
    found = covered(repository)
    assert (found.until, found.position, found.end) == (when(49), None, Lsn(at(5), 1))
    assert reaches(found, when(60)) is None


def test_a_deleted_segment_is_named_and_nothing_behind_it_counts(repository):
    """L-18: a lifecycle rule took one."""
    fill(repository, 1, [3, 4, 5, 6, 7])
    repository.wal(SYSTEM).put_position(Sample(at(7, 950), when(300)), 1)
    repository.store.delete([f"wal/retail/liferay/{SYSTEM}/00000001/{a_name(1, 5)}"])
    found = covered(repository)
    assert (found.gap, found.end, found.until) == (a_name(1, 5), Lsn(at(5), 1), when(49))


def test_nothing_archived_covers_nothing(repository):
    found = covered(repository)
    assert (found.end, found.until, found.gap, found.segments) == (Lsn(at(3, 500), 1), None, None, ())
    assert reaches(found, when(0)) is None


def test_the_newest_timeline_that_descends_from_the_position_is_followed(repository):
    archive = repository.wal(SYSTEM)
    fill(repository, 1, [3, 4, 5, 6, 7])
    fill(repository, 2, [5, 6])
    fill(repository, 4, [3, 4])
    archive.put_history(2, b"1\t0/500200\tpromoted\n")
    archive.put_history(3, b"1\t0/300100\tanother restore, before the position\n")
    archive.put_history(4, b"1\t0/300100\tlikewise\n")
    found = covered(repository)
    assert (found.end, found.timelines) == (Lsn(at(7), 2), ((1, at(5, 0x200)), (2, None)))
    assert found.segments == (a_name(1, 3), a_name(1, 4), a_name(2, 5), a_name(2, 6))
    # Named, the old timeline is followed to its own end.
    assert covered(repository, timeline=1).end == Lsn(at(8), 1)


def test_a_position_of_the_receiver_on_another_way_does_not_count(repository):
    archive = repository.wal(SYSTEM)
    fill(repository, 1, [3, 4, 5, 6])
    fill(repository, 2, [5])
    archive.put_history(2, b"1\t0/500200\tpromoted\n")
    archive.put_position(Sample(at(5, 900), when(300)), 1)
    assert covered(repository).position is None
    assert covered(repository, timeline=1).position is not None


def test_a_timeline_that_does_not_descend_from_the_position_is_refused(repository):
    fill(repository, 1, [3, 4])
    with pytest.raises(ChainBroken, match="history file of timeline 2 is not archived"):
        covered(repository, timeline=2)
    repository.wal(SYSTEM).put_history(2, b"1\t0/300100\tbefore the position\n")
    with pytest.raises(ChainBroken, match="timeline 2 does not descend"):
        covered(repository, timeline=2)


def test_a_store_that_is_away_is_no_empty_archive(repository):
    fill(repository, 1, [3])
    repository.store.away = True
    with pytest.raises(StoreUnavailable):
        covered(repository)


def test_few_headers_are_read_to_find_a_moment(repository):
    fill(repository, 1, range(3, 250))
    found = covered(repository)
    repository.store.reads = 0
    assert reaches(found, when(1234)) == Lsn(at(123, 900), 1)
    assert repository.store.reads <= 10


@given(
    sampled=st.sets(st.integers(3, 20)),
    moment=st.integers(0, 230),
    position=st.none() | st.integers(0, 17 * SEGMENT),
)
def test_a_moment_is_reached_where_a_sample_says_so_and_never_too_early(sampled, moment, position):
    """Whatever segments have samples: the answer is the first of all samples at or after the moment, or none."""
    repository = a_new_repository()
    fill(repository, 1, range(3, 21), sampled=lambda number: number in sampled)
    known = [
        sample
        for number in sorted(sampled)
        for sample in (Sample(at(number, 100), when(10 * number)), Sample(at(number, 900), when(10 * number + 9)))
    ]
    if position is not None:
        # As a clock goes that is never set back: between the samples of the segment, or behind them.
        number, offset = divmod(at(3) + position, SEGMENT)
        told = Sample(at(number, offset), when(10 * number + (0 if offset <= 100 else 5 if offset < 900 else 9.5)))
        repository.wal(SYSTEM).put_position(told, 1)
    else:
        told = None
    coverage = covered(repository)
    found = reaches(coverage, when(moment))
    first = next((each for each in known if each.time >= when(moment)), None)
    if first is None and told is not None and told.time >= when(moment):
        first = told
    assert found == (None if first is None else Lsn(max(first.lsn, at(3, 500)), 1))
