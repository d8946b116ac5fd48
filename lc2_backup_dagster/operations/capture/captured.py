"""What a capture hands back: the committed backup, its manifest, and the numbers a person wants to see."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.window import Moment, Window
from lc2_backup_dagster.repository.attempt import Attempt
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Captured:
    """A backup that was just committed.

    Attributes:
        backup: as the log names it.
        manifest: what it consists of.
        window: the window its moment lies in; the one that was asked for unless the capture came too late.
        first_byte_seconds: from the call to the first stored part, or None when nothing was stored.
        earlier: committed backups of the component before this one, oldest first.
        kept: a backup of the same run that came too late for the window and fills the one it belongs to, or None.
    """

    backup: CommittedBackup
    manifest: Manifest
    window: Window
    first_byte_seconds: float | None = None
    earlier: tuple[CommittedBackup, ...] = ()
    kept: CommittedBackup | None = None

    @classmethod
    def of(
        cls,
        attempt: Attempt,
        backup: CommittedBackup,
        window: Window,
        *,
        earlier: Iterable[CommittedBackup],
        first_byte_seconds: float | None = None,
    ) -> "Captured":
        """Return what an attempt committed, without reading anything again: the backup exists, whatever fails now."""
        assert attempt.manifest is not None
        return cls(backup, attempt.manifest, window, first_byte_seconds, tuple(earlier))

    @property
    def moment(self) -> datetime:
        """The latest restorable moment."""
        return from_text(self.manifest.moment.restorable_until)

    @property
    def seconds(self) -> float:
        """From the begin of the attempt to its manifest."""
        return (from_text(self.manifest.finished) - from_text(self.manifest.started)).total_seconds()


def moments(backups: Iterable[CommittedBackup]) -> list[Moment]:
    """Return the restorable moments of backups, for messages that name the nearest ones."""
    return [
        Moment(from_text(each.summary["restorable_from"]), from_text(each.summary["restorable_until"]))
        for each in backups
    ]
