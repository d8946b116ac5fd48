"""How many objects must be read to find damage, what a sample without damage proves, and which objects it holds. Pure.

A sample of n objects is drawn without replacement from N, of which K are damaged. It misses all of them with the
hypergeometric probability ``C(N-K, n) / C(N, n)`` (Feller, *An Introduction to Probability Theory and Its
Applications*, vol. 1, II.6). Reading is stopped by the first damage, so this is acceptance sampling with acceptance
number zero (Schilling and Neubauer, *Acceptance Sampling in Quality Control*, ch. 5; auditors call it discovery
sampling): n is the smallest number for which K = ⌈share · N⌉ damaged objects escape with a probability of at most
1 − confidence.

Of bytes it is Poisson sampling with probability proportional to size (Särndal, Swensson and Wretman, *Model Assisted
Survey Sampling*, 3.5): an object of w of all W bytes is read with the probability ``1 - exp(-rate · w / W)``, each by
itself. Damaged objects that hold the share d of the bytes then all escape with ``exp(-rate · d)``, whatever their
sizes.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

PRIORITIES = 1 << 64
"""Priorities are whole numbers from 0 up to but not with this one."""


class SampleUnit(StrEnum):
    """What a share is a share of. The values are persisted in site files."""

    OBJECTS = "objects"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class SampleAim:
    """Damage that a sample shall find.

    Attributes:
        share: smallest share of damaged objects (or of bytes in damaged objects) that must be found, above 0, below 1.
        confidence: the probability with which it is found, above 0, below 1.
        unit: what the share is one of.
    """

    share: Fraction = Fraction(1, 100)
    confidence: Fraction = Fraction(95, 100)
    unit: SampleUnit = SampleUnit.OBJECTS

    def __post_init__(self) -> None:
        if not (0 < self.share < 1 and 0 < self.confidence < 1):
            raise ValueError(f"share and confidence lie between 0 and 1: {self.share}, {self.confidence}")


def percent(value: float) -> Fraction:
    """Return a number of per cent, as a person wrote it, as an exact share."""
    return Fraction(str(value)) / 100


def sample_size(population: int, aim: SampleAim) -> int:
    """Return how many of ``population`` objects must be read.

    It is exact: whole numbers are compared, of at most some thousand factors.
    """
    if population == 0:
        return 0
    damaged = max(1, math.ceil(aim.share * population))
    escape = 1 - aim.confidence
    # Reading all but damaged - 1 finds one for certain.
    return _smallest(lambda read: escapes_at_most(population, damaged, read, escape), highest=population - damaged + 1)


def largest_sample(aim: SampleAim) -> int:
    """Return a number that ``sample_size`` does not exceed for any population: that of an infinite one."""
    return math.ceil(math.log(1 - aim.confidence) / math.log1p(-float(aim.share))) + 1


def most_undetected(population: int, read: int, confidence: Fraction) -> int:
    """Return how many damaged objects may still have escaped a sample of ``read`` objects that found none.

    With the given confidence there are not more.
    """
    if read >= population:
        return 0
    escape = 1 - confidence
    found = _smallest(lambda damaged: escapes_at_most(population, damaged, read, escape), highest=population - read + 1)
    return found - 1


def escapes_at_most(population: int, damaged: int, read: int, limit: Fraction) -> bool:
    """Say whether ``damaged`` of ``population`` objects all escape ``read`` readings with at most this probability."""
    if damaged + read > population:
        return True
    # C(N-K, n) / C(N, n), with K and n exchanged where that gives fewer factors.
    few, many = sorted((damaged, read))
    return math.perm(population - many, few) * limit.denominator <= math.perm(population, few) * limit.numerator


def byte_rate(aim: SampleAim) -> float:
    """Return the rate with which bytes are sampled: about as many objects are read at most."""
    return -math.log(1 - aim.confidence) / float(aim.share)


def byte_threshold(size_bytes: int, total_bytes: int, rate: float) -> int:
    """Return the priority below which an object of that size belongs to a sample of bytes."""
    if total_bytes == 0:
        return 0
    return min(PRIORITIES, math.ceil(-math.expm1(-rate * size_bytes / total_bytes) * PRIORITIES))


def priority(seed: str, key: str) -> int:
    """Return the number that decides whether an object is drawn.

    Numbers of different objects are independent and uniform, like throws of a die; the same seed gives the same
    ones, so that a run can be repeated. The objects with the n smallest ones are a uniform sample without
    replacement, whatever order they come in.
    """
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8, key=seed.encode()[:64])
    return int.from_bytes(digest.digest(), "big")


def _smallest(holds: Callable[[int], bool], *, highest: int) -> int:
    """Return the smallest number from 1 for which something holds that holds for all greater ones.

    Args:
        holds: asked with numbers near the answer only, since it costs more for greater ones.
        highest: for which it holds certainly.
    """
    low, high = 0, 1
    while high < highest and not holds(high):
        low, high = high, high * 2
    high = min(high, highest)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
