"""Which objects a verification reads, decided from what is known of all of them. Pure.

A choice is told of every object first (``tally``) and asked about each of them then (``wants``), in the same order, so
that it holds numbers and never objects.
"""

import heapq
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from lc2_backup_dagster.engines.files.verify.sampling import (
    SampleAim,
    SampleUnit,
    byte_rate,
    byte_threshold,
    largest_sample,
    most_undetected,
    priority,
    sample_size,
)

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object that is there in the right size, and so may be read.

    Attributes:
        key: the object.
        stored_bytes: its length.
        proven_at: when it was read last, or stored where it never was; seconds since 1970.
        never_read: whether it was not read since it was stored.
        doubtful: whether it must be read: it was found damaged before, or the store tells other things of it.
    """

    key: str
    stored_bytes: int
    proven_at: int
    never_read: bool = False
    doubtful: bool = False


class Choice(Protocol):
    """Decides which objects are read."""

    @property
    def reads(self) -> bool:
        """Whether anything is read at all."""
        ...

    def tally(self, candidate: Candidate, /) -> None:
        """Take note of an object."""
        ...

    def settle(self) -> None:
        """Decide; all objects were told."""
        ...

    def wants(self, candidate: Candidate, /) -> bool:
        """Say whether an object is read; asked once for each, in the order of ``tally``."""
        ...


class NoReading:
    """Reads nothing: existence, size, and what the store says."""

    reads = False

    def tally(self, candidate: Candidate, /) -> None:
        """Take note of an object."""

    def settle(self) -> None:
        """Decide."""

    def wants(self, candidate: Candidate, /) -> bool:
        """Say no."""
        return False


class OldestFirst:
    """Reads what was not read for longest, as far as the budget goes.

    Doubtful objects come first, then what is due, the oldest hour first; objects of one hour in the order of their
    keys. What was never read is due at once, and as old as its bytes are. So an object is read before it is over the
    age as long as the budget allows it for any order.

    Args:
        due_before: objects proven before this time are due; all when None.
        max_bytes: bytes after which no further object is begun, so that the last one may exceed it; no limit when
            None.

    Attributes:
        left: objects that were due and that the budget left unread.
    """

    reads = True

    def __init__(self, *, due_before: int | None = None, max_bytes: int | None = None) -> None:
        self._due_before = due_before
        self._max_bytes = max_bytes
        self._bytes_of_hour = Counter[int]()
        self._last_hour: float = float("inf")
        self._left_in_last_hour = 0
        self.left = 0

    def tally(self, candidate: Candidate, /) -> None:
        """Take note of an object."""
        if self._max_bytes is not None and self._due(candidate):
            self._bytes_of_hour[_hour(candidate)] += candidate.stored_bytes

    def settle(self) -> None:
        """Find the hour in which the budget ends."""
        if self._max_bytes is None:
            return
        left = self._max_bytes
        for hour, size_bytes in sorted(self._bytes_of_hour.items()):
            if size_bytes >= left:
                self._last_hour, self._left_in_last_hour = hour, left
                break
            left -= size_bytes

    def wants(self, candidate: Candidate, /) -> bool:
        """Say whether an object is read."""
        if not self._due(candidate):
            return False
        hour = _hour(candidate)
        if hour < self._last_hour:
            return True
        if hour == self._last_hour and self._left_in_last_hour > 0:
            self._left_in_last_hour -= candidate.stored_bytes
            return True
        self.left += 1
        return False

    def _due(self, candidate: Candidate) -> bool:
        if self._due_before is None or candidate.never_read or candidate.doubtful:
            return True
        return candidate.proven_at < self._due_before


@dataclass(frozen=True, slots=True)
class SampleProof:
    """What a sample that found no damage proves.

    Attributes:
        aim: what it was drawn for.
        seed: repeats it over the same objects.
        population: objects it was drawn from.
        population_bytes: their bytes.
        drawn: objects that were drawn.
        drawn_bytes: their bytes.
        undetected: with the confidence of the aim not more objects than this are damaged; None for a sample of bytes,
            which proves that less than the aim's share of the bytes lies in damaged objects.
    """

    aim: SampleAim
    seed: str
    population: int
    population_bytes: int
    drawn: int
    drawn_bytes: int
    undetected: int | None


class RandomSample:
    """Reads a random sample, and all doubtful objects besides.

    Args:
        aim: damage that it shall find.
        seed: any text; the same one over the same objects draws the same sample.
    """

    reads = True

    def __init__(self, aim: SampleAim, *, seed: str) -> None:
        self._aim = aim
        self._seed = seed
        self._largest = largest_sample(aim)
        self._rate = byte_rate(aim)
        # The smallest priorities so far, as negative numbers: the heap's first is the greatest of them.
        self._lowest: list[int] = []
        self._limit = -1
        self._population = self._population_bytes = 0
        self._drawn = self._drawn_bytes = 0

    def tally(self, candidate: Candidate, /) -> None:
        """Take note of an object."""
        self._population += 1
        self._population_bytes += candidate.stored_bytes
        if self._aim.unit is SampleUnit.BYTES:
            return
        if len(self._lowest) < self._largest:
            heapq.heappush(self._lowest, -priority(self._seed, candidate.key))
        elif (drawn := priority(self._seed, candidate.key)) < -self._lowest[0]:
            heapq.heapreplace(self._lowest, -drawn)

    def settle(self) -> None:
        """Find the priority up to which objects are drawn."""
        size = sample_size(self._population, self._aim)
        if self._lowest and size:
            self._limit = sorted(-each for each in self._lowest)[size - 1]
        self._lowest = []

    def draws(self, candidate: Candidate) -> bool:
        """Say whether an object belongs to the sample."""
        drawn = priority(self._seed, candidate.key)
        if self._aim.unit is SampleUnit.BYTES:
            return drawn < byte_threshold(candidate.stored_bytes, self._population_bytes, self._rate)
        return drawn <= self._limit

    def needs(self, candidate: Candidate) -> bool:
        """Say whether an object is read, any number of times."""
        return candidate.doubtful or self.draws(candidate)

    def wants(self, candidate: Candidate, /) -> bool:
        """Say whether an object is read."""
        if not self.draws(candidate):
            return candidate.doubtful
        self._drawn += 1
        self._drawn_bytes += candidate.stored_bytes
        return True

    @property
    def proof(self) -> SampleProof:
        """What the sample proves once all of it was read and no damage found."""
        undetected = None
        if self._aim.unit is SampleUnit.OBJECTS:
            undetected = most_undetected(self._population, self._drawn, self._aim.confidence)
        return SampleProof(
            aim=self._aim,
            seed=self._seed,
            population=self._population,
            population_bytes=self._population_bytes,
            drawn=self._drawn,
            drawn_bytes=self._drawn_bytes,
            undetected=undetected,
        )


def _hour(candidate: Candidate) -> int:
    return -1 if candidate.doubtful else candidate.proven_at // _HOUR
