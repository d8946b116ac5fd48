"""Which objects a verification reads."""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lc2_backup_dagster.engines.files.verify.choices import Candidate, Choice, NoReading, OldestFirst, RandomSample
from lc2_backup_dagster.engines.files.verify.sampling import SampleAim, SampleUnit, sample_size

DAY = 86400
NOW = 1000 * DAY


def chosen(choice: Choice, candidates: Sequence[Candidate]) -> list[str]:
    for each in candidates:
        choice.tally(each)
    choice.settle()
    return [each.key for each in candidates if choice.wants(each)]


def of_age(key: str, days: float, **facts: object) -> Candidate:
    return Candidate(key, 10, int(NOW - days * DAY), **facts)  # type: ignore[arg-type]


def test_a_look_reads_nothing() -> None:
    assert chosen(NoReading(), [of_age("a", 100, never_read=True, doubtful=True)]) == []
    assert not NoReading.reads


def test_what_is_due_is_what_is_old_was_never_read_or_is_doubtful() -> None:
    candidates = [
        of_age("old", 28.5),
        of_age("young", 27),
        of_age("new", 1, never_read=True),
        of_age("odd", 1, doubtful=True),
    ]
    assert chosen(OldestFirst(due_before=NOW - 28 * DAY), candidates) == ["old", "new", "odd"]
    assert chosen(OldestFirst(), candidates) == ["old", "young", "new", "odd"]


def test_a_budget_goes_to_the_doubtful_then_to_the_oldest() -> None:
    candidates = [of_age("a", 1), of_age("b", 29), of_age("c", 31), of_age("d", 0.5, doubtful=True), of_age("e", 30)]
    for budget, keys in ((10, "d"), (11, "cd"), (20, "cd"), (30, "cde"), (40, "bcde"), (50, "abcde"), (1, "d")):
        choice = OldestFirst(max_bytes=budget)
        assert chosen(choice, candidates) == list(keys)
        assert choice.left == 5 - len(keys)


def test_an_object_larger_than_the_budget_is_read_in_its_turn() -> None:
    candidates = [Candidate("huge", 10**12, NOW - DAY), Candidate("small", 1, NOW - DAY)]
    assert chosen(OldestFirst(max_bytes=1000), candidates) == ["huge"]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 60 * DAY), st.booleans())), st.integers(1, 2000))
def test_a_budget_leaves_only_what_is_younger(objects: list[tuple[int, int, bool]], budget: int) -> None:
    """Within an hour. It is exceeded by the last object at most, and not left unused."""
    candidates = [
        Candidate(str(number), size, NOW - age, never_read=never) for number, (size, age, never) in enumerate(objects)
    ]
    choice = OldestFirst(due_before=NOW - 20 * DAY, max_bytes=budget)
    read = set(chosen(choice, candidates))
    due = [each for each in candidates if each.never_read or each.proven_at < NOW - 20 * DAY]
    left = [each for each in due if each.key not in read]

    taken = [each for each in due if each.key in read]
    assert read <= {each.key for each in due}
    assert choice.left == len(left)
    if left:
        assert sum(each.stored_bytes for each in taken) >= budget
        assert max(each.proven_at // 3600 for each in taken) <= min(each.proven_at // 3600 for each in left)
    spent = sum(each.stored_bytes for each in taken)
    assert spent < budget + max((each.stored_bytes for each in taken), default=1)


@given(st.integers(0, 3000), st.sampled_from([1, 5, 20]), st.integers(0, 10**6))
def test_a_sample_has_the_computed_size(population: int, percent: int, seed: int) -> None:
    aim = SampleAim(Fraction(percent, 100))
    choice = RandomSample(aim, seed=str(seed))
    drawn = chosen(choice, [of_age(f"object {number}", 1) for number in range(population)])

    assert len(drawn) == sample_size(population, aim) == choice.proof.drawn
    assert (choice.proof.population, choice.proof.population_bytes) == (population, population * 10)
    assert choice.proof.undetected is not None
    assert choice.proof.undetected + 1 <= max(1, math.ceil(aim.share * population))


def test_a_seed_repeats_its_sample_in_any_order_and_others_draw_others() -> None:
    candidates = [of_age(f"object {number}", 1) for number in range(1000)]
    aim = SampleAim(Fraction(5, 100))
    first = chosen(RandomSample(aim, seed="one"), candidates)
    again = chosen(RandomSample(aim, seed="one"), candidates[::-1])
    other = chosen(RandomSample(aim, seed="two"), candidates)

    assert first == again[::-1]
    assert first != other


def test_every_object_is_drawn_equally_often() -> None:
    candidates = [of_age(f"object {number}", 1) for number in range(100)]
    aim = SampleAim(Fraction(10, 100), Fraction(90, 100))
    size = sample_size(100, aim)
    runs = 600
    drawn = Counter(key for seed in range(runs) for key in chosen(RandomSample(aim, seed=str(seed)), candidates))

    share = size / 100
    spread = math.sqrt(runs * share * (1 - share))
    assert sum(drawn.values()) == runs * size
    assert all(abs(drawn[each.key] - runs * share) < 5 * spread for each in candidates)


@pytest.mark.parametrize("unit", list(SampleUnit))
def test_damage_is_found_as_often_as_promised(unit: SampleUnit) -> None:
    """10 % are damaged, found with 90 %: of 600 samples, with 600 seeds, about one in ten misses it."""
    candidates = [Candidate(f"object {number}", number % 7 * 100, NOW) for number in range(300)]
    total = sum(each.stored_bytes for each in candidates)
    damaged: set[str] = set()
    for each in candidates:
        share = (
            len(damaged) / 300
            if unit is SampleUnit.OBJECTS
            else sum(one.stored_bytes for one in candidates if one.key in damaged) / total
        )
        if share >= 0.1:
            break
        damaged.add(each.key)
    aim = SampleAim(Fraction(10, 100), Fraction(90, 100), unit)
    found = sum(bool(damaged & set(chosen(RandomSample(aim, seed=f"seed {run}"), candidates))) for run in range(600))

    assert found >= 600 * 0.9 - 4 * math.sqrt(600 * 0.09)
    assert found <= 600 * 0.9 + 6 * math.sqrt(600 * 0.09), "far more than asked for would be a waste"


def test_doubtful_objects_are_read_besides_the_sample() -> None:
    aim = SampleAim(Fraction(20, 100))
    candidates = [of_age(f"object {number}", 1, doubtful=number == 77) for number in range(500)]
    plain = [of_age(f"object {number}", 1) for number in range(500)]
    choice = RandomSample(aim, seed="x")
    read = chosen(choice, candidates)

    assert set(read) == {*chosen(RandomSample(aim, seed="x"), plain), "object 77"}
    assert choice.proof.drawn == sample_size(500, aim)
    assert [each.key for each in candidates if choice.needs(each)] == read
