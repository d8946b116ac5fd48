"""The mathematics of samples, against exact probabilities and against drawing."""

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.verify.sampling import (
    PRIORITIES,
    SampleAim,
    byte_rate,
    byte_threshold,
    escapes_at_most,
    largest_sample,
    most_undetected,
    percent,
    priority,
    sample_size,
)

aims = st.builds(
    SampleAim,
    share=st.integers(1, 5000).map(lambda hundredths: Fraction(hundredths, 10_000)),
    confidence=st.integers(5000, 9999).map(lambda hundredths: Fraction(hundredths, 10_000)),
)


def escape(population: int, damaged: int, read: int) -> Fraction:
    """Return the hypergeometric probability that no damaged object is among those read."""
    return Fraction(math.comb(population - damaged, read), math.comb(population, read))


@given(st.integers(1, 400), st.data())
def test_the_escape_is_judged_exactly(population: int, data: st.DataObject) -> None:
    damaged, read = data.draw(st.integers(0, population)), data.draw(st.integers(0, population))
    exact = escape(population, damaged, read)
    for limit in (exact, exact + Fraction(1, 10**30), max(Fraction(0), exact - Fraction(1, 10**30))):
        assert escapes_at_most(population, damaged, read, limit) is (exact <= limit)


@given(st.integers(1, 400), aims)
def test_a_sample_is_the_smallest_that_finds_the_damage(population: int, aim: SampleAim) -> None:
    size = sample_size(population, aim)
    damaged = max(1, math.ceil(aim.share * population))

    assert 1 <= size <= population
    assert escape(population, damaged, size) <= 1 - aim.confidence
    assert escape(population, damaged, size - 1) > 1 - aim.confidence
    assert size <= largest_sample(aim)


@given(st.integers(1, 400), st.data())
def test_what_may_have_escaped_is_the_most_that_is_not_excluded(population: int, data: st.DataObject) -> None:
    read = data.draw(st.integers(0, population))
    confidence = data.draw(aims).confidence
    most = most_undetected(population, read, confidence)

    assert 0 <= most <= population - read
    assert most == 0 or escape(population, most, read) > 1 - confidence
    if most < population - read:
        assert escape(population, most + 1, read) <= 1 - confidence


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 10**6), aims)
def test_a_sample_proves_what_it_was_drawn_for(population: int, aim: SampleAim) -> None:
    size = sample_size(population, aim)
    assert most_undetected(population, size, aim.confidence) < max(1, math.ceil(aim.share * population))
    assert size <= largest_sample(aim)


@pytest.mark.parametrize(
    ("population", "damaged", "confidence", "size"),
    [
        (10**7, 1, 95, 299),  # the rule of three: 3 / 1 %, less for what is not drawn again
        (100, 1, 95, 95),  # one damaged of a hundred: 95 of them
        (20, 5, 95, 19),  # 1/20 is just 5 %
        (1, 1, 95, 1),
        (10**9, 0.01, 95, 29956),
        (0, 1, 95, 0),
    ],
)
def test_known_sizes(population: int, damaged: float, confidence: float, size: int) -> None:
    assert sample_size(population, SampleAim(percent(damaged), percent(confidence))) == size


def test_a_share_of_nothing_or_all_is_no_aim() -> None:
    for share, confidence in ((0, 0.95), (1, 0.95), (0.01, 0), (0.01, 1)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            SampleAim(Fraction(share), Fraction(confidence))


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=40), aims, st.data())
def test_damage_of_the_share_of_bytes_is_found_with_the_confidence(
    sizes: list[int], aim: SampleAim, data: st.DataObject
) -> None:
    """Whatever objects are damaged: their chances to escape, multiplied, are at most what is allowed."""
    total = sum(sizes)
    damaged = data.draw(st.lists(st.sampled_from(range(len(sizes))), unique=True))
    if sum(sizes[each] for each in damaged) < aim.share * total or not total:
        return
    chances = (1 - byte_threshold(sizes[each], total, byte_rate(aim)) / PRIORITIES for each in damaged)
    assert math.prod(chances) <= float(1 - aim.confidence) * (1 + 1e-9)


def test_priorities_are_uniform_and_differ_by_seed() -> None:
    keys = [f"files/retail/liferay/ab/{number}" for number in range(20_000)]
    tenths = Counter(priority("a", key) * 10 // PRIORITIES for key in keys)

    assert all(abs(tenths[each] - 2000) < 5 * math.sqrt(1800) for each in range(10))
    halves = Counter((priority("a", key) * 2 // PRIORITIES, priority("b", key) * 2 // PRIORITIES) for key in keys)
    assert all(abs(count - 5000) < 5 * math.sqrt(3750) for count in halves.values())
    assert len(halves) == 4
    assert priority("a", keys[0]) == priority("a", keys[0])
