"""What a capture of files stands on, decided before anything is copied: which moment, and which backups know of it.

A past moment is believed under one rule (``engines/files/capture/past.py`` has the other half): **an earlier backup,
whose listing ended at the moment or before it, must have seen that the source kept versions already.** The age of the
oldest version proves nothing: versions are removed, and replicated buckets hold some that are older than they are. That
nobody turned versioning off in between is checked, as far as the versions show it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.capture.captured import moments
from lc2_backup_dagster.operations.capture.windows import not_restorable
from lc2_backup_dagster.repository.history import CommittedBackup


@dataclass(frozen=True, slots=True)
class FilesPlan:
    """What a capture stands on.

    Attributes:
        source_id: the source, as its site names it.
        keeps_versions: whether the source keeps versions: later captures of past moments rely on it.
        before: the backup before; of a past moment the nearest one whose listing had ended by then.
        after: of a past moment the nearest backup whose listing began after it, if there is one.
        as_of: the past moment, or None for the present.
    """

    source_id: str
    keeps_versions: bool
    before: CommittedBackup | None = None
    after: CommittedBackup | None = None
    as_of: datetime | None = None

    @property
    def bases(self) -> tuple[CommittedBackup, ...]:
        """The backups whose stored files are shared, the nearest in time first."""
        known = [each for each in (self.before, self.after) if each is not None]
        return tuple(sorted(known, key=self._distance))

    @property
    def parent(self) -> CommittedBackup | None:
        """The backup that the new one is compared with first, or None for a full one."""
        return self.bases[0] if self.bases else None

    def _distance(self, backup: CommittedBackup) -> float:
        if self.as_of is None:
            return 0.0
        return min(abs((self.as_of - each).total_seconds()) for each in (listed_from(backup), listed_until(backup)))


def plan_of_now(earlier: Sequence[CommittedBackup], *, source_id: str, keeps_versions: bool) -> FilesPlan:
    """Stand on the backup whose files are the nearest to today's, whatever was committed last.

    Args:
        earlier: committed backups of the files.
        source_id: the source. Identities hold it: a backup of another source shares nothing.
        keeps_versions: whether it keeps versions.
    """
    same = [each for each in earlier if each.summary.get("source_id") == source_id]
    # A past window is filled by a backup that was committed today and holds what was there long ago.
    return FilesPlan(source_id, keeps_versions, before=max(same, key=_newest, default=None))


def plan_of_past(
    earlier: Sequence[CommittedBackup], window: Window, *, source_id: str, keeps_versions: bool, what: str
) -> FilesPlan:
    """Choose what proves the last moment of a past window, and what is shared with it.

    Args:
        earlier: committed backups of the files.
        window: what is to be filled.
        source_id: the source.
        keeps_versions: whether it keeps versions.
        what: the component, for messages.

    Raises:
        WindowNotRestorable: the source keeps no versions, or nothing proves that it did so at that moment; the nearest
            moments are named.
    """
    moment = window.last
    if not keeps_versions:
        because = "its source keeps no versions from which it could be rebuilt"
        raise not_restorable(window, what=what, restorable=moments(earlier), because=because)
    same = [each for each in earlier if each.summary.get("source_id") == source_id]
    seen = [each for each in same if each.summary.get("source_versions")]
    before = max((each for each in seen if listed_until(each) <= moment), key=_newest, default=None)
    if before is None:
        because = "no backup from before its end saw that its source kept versions: what was replaced may be lost"
        if seen:
            because += f" (from {to_text(min(map(listed_until, seen)))} on they prove it)"
        raise not_restorable(window, what=what, restorable=moments(earlier), because=because)
    after = min((each for each in same if listed_from(each) >= moment), key=listed_from, default=None)
    return FilesPlan(source_id, keeps_versions, before, after, as_of=moment)


def listed_from(backup: CommittedBackup) -> datetime:
    """Return when the listing of a files backup began, by its source's clock."""
    return from_text(backup.summary["restorable_from"])


def listed_until(backup: CommittedBackup) -> datetime:
    """Return when the listing of a files backup had ended, by its source's clock."""
    return from_text(backup.summary["restorable_until"])


def _newest(backup: CommittedBackup) -> tuple[datetime, int]:
    return listed_until(backup), backup.sequence
