"""What a verification found."""

from collections.abc import Sequence
from dataclasses import dataclass

from lc2_backup_dagster.repository.history import CommittedBackup


@dataclass(frozen=True, slots=True)
class Damage:
    """Something stored that is not what was promised.

    Attributes:
        backup_id: the backup that needs it.
        key: the object.
        reason: what is wrong.
        affected: files that need it; empty for streams.
    """

    backup_id: str
    key: str
    reason: str
    affected: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """What the verification of one backup found.

    Attributes:
        backup: the backup.
        objects: stored objects that were looked at.
        stored_bytes: their promised length.
        damages: everything wrong, empty when the backup can be restored.
    """

    backup: CommittedBackup
    objects: int
    stored_bytes: int
    damages: tuple[Damage, ...]
