"""What is wrong with a site file, and where. Never shows a value that may be a secret."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SiteProblem:
    """One thing wrong with one site file.

    Attributes:
        file: the file, or the folder that could not be read.
        line: line in the file, from 1; None for a folder.
        column: column in the line, from 1; None for a folder.
        field: path of the field, like ``schedules.daily.cron``; empty for the file as a whole.
        given: what stands there, as in the file and in quotes; empty when it may be a secret or is not one value.
        reason: what is wrong with it.
        allowed: what may stand there; empty when the reason says so already.
    """

    file: Path
    line: int | None
    column: int | None
    field: str
    given: str
    reason: str
    allowed: str = ""

    def __str__(self) -> str:
        """Render as ``file:line: field: given reason; allowed: …``."""
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        field = f"{self.field}: " if self.field else ""
        given = f"{self.given} " if self.given else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{place}: {field}{given}{self.reason}{allowed}"


def field_path(location: tuple[str | int, ...]) -> str:
    """Render a path of names and numbers like ``files.rules[0].glob``."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
