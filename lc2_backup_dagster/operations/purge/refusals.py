"""Why a backup may not be purged. Pure.

Retention decides what expires and when; this is the last look before something is gone for ever, and it trusts no
decision that was made on another state of the log.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository.history import CommittedBackup, History, RunningAttempt


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one backup stays.

    Attributes:
        backup_id: which.
        reason: why.
        remedy: what a person can do about it.
    """

    backup_id: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.backup_id} {self.reason}"


def purge_refusals(
    history: History,
    backup_ids: Collection[str],
    *,
    alive: Sequence[RunningAttempt],
    members_of: Callable[[CommittedBackup], Collection[str]],
) -> list[Refusal]:
    """Return every reason against purging some backups together, empty when they may go.

    Whatever stands on a backup blocks it, expired or not: as long as it is not purged, it can be undeleted.

    Args:
        history: the log.
        backup_ids: backups that it names.
        alive: attempts that may still be running.
        members_of: ids of the backups that a recovery point binds.
    """
    return [
        refusal
        for backup_id in backup_ids
        for refusal in _against(history, history.backups[backup_id], backup_ids, alive, members_of)
    ]


def _against(
    history: History,
    backup: CommittedBackup,
    together: Collection[str],
    alive: Sequence[RunningAttempt],
    members_of: Callable[[CommittedBackup], Collection[str]],
) -> Iterator[Refusal]:
    name = backup.backup_id
    if backup.expired_at is None:
        yield Refusal(name, "has not expired", "expire it first")
    if backup.holds:
        yield Refusal(name, f"is held ({', '.join(backup.holds)})", "release the hold")
    for attempt in alive:
        if name in attempt.bases:
            yield Refusal(
                name,
                f"is a base of attempt {attempt.attempt_id} of {attempt.initiator}, which may still run",
                "wait until the attempt has ended",
            )
    for other in history.backups.values():
        if other.backup_id in together:
            continue
        if other.component is Component.RECOVERY_POINT and name in members_of(other):
            yield Refusal(
                name,
                f"is a member of recovery point {other.backup_id}{_state(other)}",
                "purge the recovery point before it or together with it",
            )
        elif other.parent == name and other.component is not Component.FILES:  # files manifests are complete
            yield Refusal(
                name,
                f"is what backup {other.backup_id} stands on{_state(other)}",
                "purge what stands on it before it or together with it",
            )


def _state(backup: CommittedBackup) -> str:
    return ", which has not expired" if backup.expired_at is None else ", which could still be undeleted"
