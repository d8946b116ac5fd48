"""The way through timelines: history files, and which timeline's segments hold which positions. Pure.

Source: PostgreSQL manual, "Timelines", and ``timeline.c``. A history file of timeline N names its ancestors, oldest
first, with the position where each was left. The segment in which a timeline begins exists on the new timeline with
the old one's bytes in front, so a recovery along the way reads that segment from the new one.
"""

from dataclasses import dataclass

from lc2_backup_dagster.repository.wal.names import lsn_value, segment_start


@dataclass(frozen=True, slots=True)
class Leg:
    """One timeline of a way.

    Attributes:
        timeline: its number.
        begins_at: position where the one before was left; 0 for the first.
        left_at: position where the next one begins, or None for the last.
    """

    timeline: int
    begins_at: int
    left_at: int | None


@dataclass(frozen=True, slots=True)
class TimelinePath:
    """The way from the oldest known ancestor to one timeline, never empty."""

    legs: tuple[Leg, ...]

    @property
    def timeline(self) -> int:
        """The timeline it leads to."""
        return self.legs[-1].timeline

    def holds(self, timeline: int, lsn: int) -> bool:
        """Say whether a position on a timeline lies on this way (where it was left, it still does)."""
        return any(
            leg.timeline == timeline and leg.begins_at <= lsn and (leg.left_at is None or lsn <= leg.left_at)
            for leg in self.legs
        )

    def timeline_at(self, lsn: int) -> int:
        """Return the timeline on which the byte before a position was written."""
        return next(leg.timeline for leg in self.legs if leg.left_at is None or lsn <= leg.left_at)

    def serving(self, start: int, segment_bytes: int) -> Leg:
        """Return the timeline whose segment a recovery along this way reads at a segment's first position."""
        return next(
            leg
            for leg in reversed(self.legs)
            if leg.begins_at == 0 or segment_start(leg.begins_at, segment_bytes) <= start
        )

    def up_to(self, timeline: int) -> "TimelinePath":
        """Return the way as far as one of its timelines."""
        last = next(index for index, leg in enumerate(self.legs) if leg.timeline == timeline)
        end = self.legs[last]
        return TimelinePath((*self.legs[:last], Leg(end.timeline, end.begins_at, None)))


def timeline_path(timeline: int, history: bytes | None) -> TimelinePath:
    """Return the way to a timeline from its history file.

    Args:
        timeline: where it leads.
        history: content of its history file, or None where there is none (timeline 1).

    Raises:
        ValueError: not a history file of this timeline.
    """
    legs: list[Leg] = []
    begins_at = 0
    for line in (history or b"").decode("utf-8", "replace").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        fields = text.split(None, 2)
        if len(fields) < 2 or not fields[0].isdecimal():
            raise ValueError(f"'{text}' is no line of a timeline history file")
        ancestor, left_at = int(fields[0]), lsn_value(fields[1])
        if (legs and ancestor <= legs[-1].timeline) or ancestor >= timeline or left_at < begins_at:
            raise ValueError(f"'{text}' has no place in the history of timeline {timeline}")
        legs.append(Leg(ancestor, begins_at, left_at))
        begins_at = left_at
    return TimelinePath((*legs, Leg(timeline, begins_at, None)))
