"""How long it took until the first part was stored: what an engineer waits for after launching."""

from collections.abc import Callable

from lc2_backup_dagster.repository.parts import Part


class FirstByte:
    """Remembers when the first part was stored; ``stored`` may be called from several threads."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began = monotonic()
        self.seconds: float | None = None

    def stored(self, part: Part) -> None:
        """Take note of a stored part."""
        if self.seconds is None:
            self.seconds = self._monotonic() - self._began
