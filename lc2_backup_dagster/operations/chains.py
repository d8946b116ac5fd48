"""Chains of database backups: a full one, increments that stand on it, and promises over archived WAL. Pure.

A chain is told from the log alone. Whether its objects are still there is asked in ``chain_objects.py``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import ChainBroken
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import BackupKind
from lc2_backup_dagster.repository.history import CommittedBackup

COPIED = frozenset({BackupKind.FULL, BackupKind.INCREMENTAL})
"""Kinds that hold a copy of the database; only these can be stood on."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A database backup with everything it stands on.

    Attributes:
        members: the full backup first, the backup itself last.
    """

    members: tuple[CommittedBackup, ...]

    @property
    def full(self) -> CommittedBackup:
        """The full backup that everything stands on."""
        return self.members[0]

    @property
    def newest(self) -> CommittedBackup:
        """The backup that the chain is of."""
        return self.members[-1]

    @property
    def increments(self) -> int:
        """How many increments stand behind the full backup; a promise over WAL is none."""
        return sum(each.kind is BackupKind.INCREMENTAL for each in self.members)

    @property
    def full_taken(self) -> datetime:
        """The moment of the full backup, by the server's clock."""
        return from_text(self.full.summary["restorable_until"])


def chain_of(backup: CommittedBackup, kept: Mapping[str, CommittedBackup]) -> Chain:
    """Walk from a database backup to the full one it stands on.

    Args:
        backup: where to begin.
        kept: backup id → committed, unexpired backup.

    Raises:
        ChainBroken: an ancestor has expired or was purged, or the chain does not end in a full backup.
    """
    members = [backup]
    while (newest := members[-1]).kind is not BackupKind.FULL:
        parent = kept.get(newest.parent or "")
        if parent is None:
            raise ChainBroken(
                f"{newest.backup_id} stands on {newest.parent or 'nothing'}, which has expired or is gone",
                hint="restore a backup of another chain",
                backup_id=newest.backup_id,
            )
        if parent.kind not in COPIED or parent.sequence >= newest.sequence:
            raise ChainBroken(
                f"{newest.backup_id} stands on {parent.backup_id}, a {parent.kind} backup it cannot stand on",
                hint="restore a backup of another chain",
                backup_id=newest.backup_id,
            )
        members.append(parent)
    return Chain(tuple(reversed(members)))


def position_of(summary: Mapping[str, Any]) -> Lsn | None:
    """Return the position that a database backup's summary tells, or None where it tells none."""
    timeline, lsn = summary.get("timeline"), summary.get("lsn")
    return Lsn.parse(lsn, timeline=timeline) if isinstance(timeline, int) and isinstance(lsn, str) else None


def by_id(backups: Iterable[CommittedBackup]) -> dict[str, CommittedBackup]:
    """Return backups by their id."""
    return {each.backup_id: each for each in backups}


def is_copy(backup: CommittedBackup) -> bool:
    """Tell whether a backup holds a copy of the database that others can stand on."""
    return backup.kind in COPIED
