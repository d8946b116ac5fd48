"""How far WAL reaches, decided on listings: holes, timelines, beginnings (L-14, L-16, L-18)."""

from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.repository.wal.contiguous import contiguous
from lc2_backup_dagster.repository.wal.names import lsn_text, parse_segment
from lc2_backup_dagster.repository.wal.timelines import timeline_path
from lc2_backup_dagster_tests.repository.wal.listings import SEGMENT, a_listing, a_name, at

ONE = timeline_path(1, None)


def two(left_at: int):
    return timeline_path(2, f"1\t{lsn_text(left_at)}\tx\n".encode())


def reach(listings, path, start):
    return contiguous(listings, path, start=start, segment_bytes=SEGMENT)


def test_segments_without_a_hole_reach_to_the_end_of_the_last():
    found = reach({1: a_listing(1, [3, 4, 5])}, ONE, at(3, 100))
    assert (found.timeline, found.end, found.gap) == (1, at(6), None)
    assert found.segments == (a_name(1, 3), a_name(1, 4), a_name(1, 5))


def test_a_hole_ends_it_and_is_named():
    found = reach({1: a_listing(1, [3, 4, 6, 7])}, ONE, at(3))
    assert (found.end, found.gap) == (at(5), a_name(1, 5))


def test_nothing_stored_covers_nothing_beyond_the_position_itself():
    found = reach({}, ONE, at(3, 7))
    assert (found.end, found.segments, found.partial, found.gap) == (at(3, 7), (), None, None)


def test_later_wal_without_the_first_segment_is_a_gap():
    found = reach({1: a_listing(1, [4])}, ONE, at(3, 7))
    assert (found.end, found.gap) == (at(3, 7), a_name(1, 3))


def test_the_longest_beginning_counts_where_the_segment_is_absent():
    listing = a_listing(1, [3], begun={4: 500})
    found = reach({1: listing}, ONE, at(3))
    assert (found.end, found.partial, found.gap) == (at(4, 500), (a_name(1, 4), at(4, 500)), None)


def test_a_beginning_does_not_count_where_the_segment_is_whole():
    found = reach({1: a_listing(1, [3, 4], begun={4: 500})}, ONE, at(3))
    assert (found.end, found.partial) == (at(5), None)


def test_a_beginning_bridges_no_hole():
    found = reach({1: a_listing(1, [3, 5], begun={4: 500})}, ONE, at(3))
    assert (found.end, found.partial, found.gap) == (at(4, 500), (a_name(1, 4), at(4, 500)), a_name(1, 4))


def test_a_switch_of_timelines_is_followed_into_the_new_ones_segment():
    listings = {1: a_listing(1, [3, 4], begun={5: 300}), 2: a_listing(2, [5, 6])}
    found = reach(listings, two(at(5, 300)), at(3))
    assert (found.timeline, found.end, found.partial) == (2, at(7), None)
    assert found.segments == (a_name(1, 3), a_name(1, 4), a_name(2, 5), a_name(2, 6))


def test_wal_of_the_old_timeline_behind_the_switch_is_not_taken():
    """The old primary went on for a while: what it wrote there is another history."""
    listings = {1: a_listing(1, [3, 4, 5, 6, 7]), 2: a_listing(2, [], begun={5: 600})}
    found = reach(listings, two(at(5, 300)), at(3))
    assert (found.timeline, found.end) == (2, at(5, 600))
    assert found.segments == (a_name(1, 3), a_name(1, 4))
    assert found.gap is None


def test_before_anything_of_the_new_timeline_is_stored_the_old_one_leads_to_the_switch():
    for listing in (a_listing(1, [3, 4], begun={5: 900}), a_listing(1, [3, 4, 5, 6])):
        found = reach({1: listing}, two(at(5, 300)), at(3))
        assert (found.timeline, found.end, found.gap) == (1, at(5, 300), None)


def test_a_missing_segment_of_the_new_timeline_is_a_gap_though_the_old_one_has_that_number():
    listings = {1: a_listing(1, [3, 4, 5, 6]), 2: a_listing(2, [6, 7])}
    found = reach(listings, two(at(5, 300)), at(3))
    assert (found.timeline, found.end, found.gap) == (1, at(5, 300), a_name(2, 5))


def test_two_switches_inside_one_segment_end_on_the_newest():
    path = timeline_path(3, f"1\t{lsn_text(at(5, 100))}\tx\n2\t{lsn_text(at(5, 200))}\tx\n".encode())
    listings = {1: a_listing(1, [4], begun={5: 100}), 2: a_listing(2, [], begun={5: 200}), 3: a_listing(3, [5])}
    found = reach(listings, path, at(4))
    assert (found.timeline, found.end, found.segments) == (3, at(6), (a_name(1, 4), a_name(3, 5)))


def test_a_switch_at_a_boundary_leaves_the_old_segment_whole():
    listings = {1: a_listing(1, [3, 4]), 2: a_listing(2, [5])}
    found = reach(listings, two(at(5)), at(3))
    assert (found.end, found.segments) == (at(6), (a_name(1, 3), a_name(1, 4), a_name(2, 5)))
    # Nothing of the new one yet: the last byte was written on the old one.
    assert reach({1: a_listing(1, [3, 4])}, two(at(5)), at(3)).timeline == 1


@given(
    switches=st.lists(st.integers(1, 12 * 4), max_size=3, unique=True).map(sorted),
    missing=st.sets(st.integers(0, 12), max_size=3),
    begun=st.dictionaries(st.integers(0, 12), st.integers(1, SEGMENT - 1), max_size=3),
    start=st.integers(0, 12 * SEGMENT),
    stray=st.sets(st.tuples(st.integers(1, 4), st.integers(0, 14)), max_size=6),
)
def test_what_is_reached_is_there_byte_by_byte_and_nothing_longer_is(switches, missing, begun, start, stray):
    """Against a model that knows for every byte whether it can be read along the way."""
    lefts = [each * SEGMENT // 4 for each in switches]
    lines = "".join(f"{index}\t{lsn_text(lsn)}\tx\n" for index, lsn in enumerate(lefts, start=1))
    path = timeline_path(len(lefts) + 1, lines.encode())
    whole = {timeline: set() for timeline in range(1, 5)}
    parts = {timeline: {} for timeline in range(1, 5)}
    for number in range(13):
        serving = path.serving(number * SEGMENT, SEGMENT).timeline
        if number not in missing:
            whole[serving].add(number)
        elif number in begun:
            parts[serving][number] = begun[number]
    for timeline, number in stray:
        whole[timeline].add(number)
    listings = {timeline: a_listing(timeline, list(whole[timeline]), begun=parts[timeline]) for timeline in whole}

    found = reach(listings, path, start)

    def readable_until(number: int) -> int:
        """End of what can be read of a segment along the way: its newest timeline first, then what leads there."""
        best = number * SEGMENT
        for leg in path.legs:
            if leg.begins_at >= (number + 1) * SEGMENT or (leg.left_at or best + 1) <= number * SEGMENT:
                continue
            end = (number + 1) * SEGMENT if number in whole[leg.timeline] else number * SEGMENT
            end = max(end, number * SEGMENT + parts[leg.timeline].get(number, 0))
            end = min(end, leg.left_at) if leg.left_at is not None else end
            if end > max(best, leg.begins_at):
                best = end
        return best

    expected = start - start % SEGMENT
    number = expected // SEGMENT
    while number <= 15 and readable_until(number) == (number + 1) * SEGMENT:
        number += 1
    expected = max(start, readable_until(number))
    assert found.end == expected
    for name in found.segments:
        timeline, begin = parse_segment(name, SEGMENT)
        assert begin // SEGMENT in whole[timeline]
    if found.gap is not None:
        timeline, begin = parse_segment(found.gap, SEGMENT)
        assert begin // SEGMENT not in whole[timeline]
