"""Progress in a run's log: now and then a line, with rate and time remaining."""

import logging
import time

from lc2_backup_dagster.model.sizes import readable_bytes

_EVERY_SECONDS = 15.0


class LoggedProgress:
    """Turns frequent reports into rare lines of a run's log.

    Args:
        log: the run's log.
        step: what is going on, a few words.
        total_bytes: if known from the start.
    """

    def __init__(self, log: logging.Logger, step: str, total_bytes: int | None = None) -> None:
        self._log = log
        self._step = step
        self._total = total_bytes
        self._objects: int | None = None
        self._began = self._last = time.monotonic()

    def bytes_done(self, done: int, total: int | None) -> None:
        """Take bytes done, of those in all where that is known."""
        self._tell(done, total or self._total, "")

    def expect(self, objects: int, total: int) -> None:
        """Take how many objects and bytes there are."""
        self._objects, self._total = objects, total
        self._log.info(f"{self._step}: {objects} files, {readable_bytes(total)} are there")

    def objects_done(self, objects: int, done: int) -> None:
        """Take objects and bytes done."""
        of = f" of {self._objects}" if self._objects else ""
        self._tell(done, self._total, f"{objects}{of} files, ")

    def _tell(self, done: int, total: int | None, what: str) -> None:
        now = time.monotonic()
        if now - self._last < _EVERY_SECONDS:
            return
        self._last = now
        rate = done / (now - self._began)
        text = f"{self._step}: {what}{readable_bytes(done)} at {readable_bytes(rate)}/s"
        if total and done < total and rate > 0:
            text += f", {done / total:.0%}, about {(total - done) / rate:.0f} s remaining"
        self._log.info(text)
