"""PostgreSQL write-ahead log positions that refuse meaningless comparison."""

import re
from dataclasses import dataclass
from functools import total_ordering

_TEXT = re.compile(r"^([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})$")


@total_ordering
@dataclass(frozen=True, slots=True, eq=True)
class Lsn:
    """A log sequence number on one timeline.

    Source: PostgreSQL manual, chapter "WAL Internals" (``pg_lsn``). Positions on different timelines have no order.
    """

    value: int
    timeline: int

    @classmethod
    def parse(cls, text: str, *, timeline: int) -> "Lsn":
        """Read the form ``16/B374D848``.

        Raises:
            ValueError: not of that form.
        """
        match = _TEXT.match(text)
        if match is None:
            raise ValueError(f"'{text}' is not a log sequence number")
        return cls((int(match[1], 16) << 32) | int(match[2], 16), timeline)

    def __str__(self) -> str:
        return f"{self.value >> 32:X}/{self.value & 0xFFFFFFFF:X}"

    def __lt__(self, other: "Lsn") -> bool:
        if self.timeline != other.timeline:
            raise ValueError(
                f"{self} on timeline {self.timeline} and {other} on timeline {other.timeline} have no order"
            )
        return self.value < other.value
