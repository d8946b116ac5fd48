"""How many rows of each growing kind a database of some size holds, and which ids they have.

Everything is counted in *units*; a unit takes about ``UNIT_BYTES`` on disk. Ids are consecutive from
``CONTENT_FIRST_ID``, block by block, as Liferay's one counter would have dealt them out.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from lc2_backup_dagster.demo.seed.people import Person, invent_person
from lc2_backup_dagster.demo.seed.scale import CONTENT_FIRST_ID, STAFF, LiferayScale

UNIT_BYTES = 355_000
_EMPTY_BYTES = 9_000_000
_DOCUMENT_BYTES = 3_000
_PER_UNIT = {
    "users": 8,
    "layouts": 4,
    "preferences": 12,
    "articles": 30,
    "threads": 8,
    "permissions": 60,
    "events": 40,
    "notifications": 10,
    "visits": 60,
    "large_objects": 1,
}


@dataclass(frozen=True, slots=True)
class ContentPlan:
    """How many rows of each kind, and where their ids begin.

    Attributes:
        scale: what was asked for.
        units: at least one.
    """

    scale: LiferayScale
    units: int

    @classmethod
    def of(cls, scale: LiferayScale) -> "ContentPlan":
        """Return the plan that fills ``scale.size_bytes``."""
        wanted = scale.size_bytes - _EMPTY_BYTES - scale.documents * _DOCUMENT_BYTES
        return cls(scale, max(1, math.ceil(wanted / UNIT_BYTES)))

    def count(self, kind: str) -> int:
        """Return the number of rows of one kind."""
        return _PER_UNIT[kind] * self.units

    def ids(self, kind: str) -> range:
        """Return the ids of one kind; each row owns ten, for what hangs on it."""
        before = 0
        for other in _PER_UNIT:
            if other == kind:
                break
            before += self.count(other)
        first = CONTENT_FIRST_ID + 10 * before
        return range(first, first + 10 * self.count(kind), 10)

    @property
    def next_id(self) -> int:
        """The first number that is not in use."""
        return CONTENT_FIRST_ID + 10 * sum(self.count(kind) for kind in _PER_UNIT)

    def random(self, purpose: str) -> Random:
        """Return a source of randomness of its own for each purpose, so that order does not matter."""
        return Random(f"{self.scale.seed}/{purpose}")

    def users(self) -> Iterator[tuple[int, Person]]:
        """Yield every ordinary user with its id; the same people each time."""
        random = self.random("people")
        for number, user_id in enumerate(self.ids("users"), start=STAFF):
            yield user_id, invent_person(random, number)
