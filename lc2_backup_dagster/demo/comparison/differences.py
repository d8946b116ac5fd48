"""What a comparison found, in bounded memory, and how a person reads it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_KEPT = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same on both sides.

    Attributes:
        place: what differs, like ``row of public.user_ with (userid) = (20140)`` or ``object 20097/0/a``.
        detail: how it differs.
    """

    place: str
    detail: str

    def __str__(self) -> str:
        return f"{self.place}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Differences:
    """The result of a comparison.

    Attributes:
        found: the first differences, at most 500.
        total: how many there are; of rows and of large objects only samples are counted.
        compared: mapping of kind (``tables``, ``rows``, ``objects``, ``bytes`` …) → how many were looked at.
        notes: what could not be compared, and why.
    """

    found: tuple[Difference, ...]
    total: int
    compared: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """True when both sides are the same."""
        return self.total == 0

    def text(self, *, most: int = 20) -> str:
        """Return some lines for a person: the verdict, what was compared, the first differences, the notes."""
        looked_at = ", ".join(f"{count:,} {kind}" for kind, count in self.compared.items())
        verdict = "identical" if self.equal else f"{self.total:,} difference{'s' * (self.total != 1)}"
        lines = [f"{verdict} ({looked_at})"]
        lines += [f"  {difference}" for difference in self.found[:most]]
        if self.total > most:
            lines.append(f"  … and {self.total - min(most, len(self.found)):,} more")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


class Findings:
    """Collects differences while a comparison runs. For one thread."""

    def __init__(self) -> None:
        self._found: list[Difference] = []
        self._notes: list[str] = []
        self._compared: Counter[str] = Counter()
        self.total = 0

    def add(self, place: str, detail: str) -> None:
        """Take up a difference; beyond the first 500 it is only counted."""
        self.total += 1
        if len(self._found) < _KEPT:
            self._found.append(Difference(place, detail))

    def count(self, kind: str, number: int = 1) -> None:
        """Say that so many things of a kind were compared."""
        self._compared[kind] += number

    def note(self, text: str) -> None:
        """Say what could not be compared."""
        self._notes.append(text)

    def result(self) -> Differences:
        """Return what was found."""
        return Differences(tuple(self._found), self.total, dict(self._compared), tuple(self._notes))
