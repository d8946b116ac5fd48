"""What a commit log says, folded record by record. Pure; the same fold serves fencing, listing and the catalog."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from lc2_backup_dagster.model.errors import LogCorrupt
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.repository.purge_lists import PurgeList
from lc2_backup_dagster.repository.record import Initiator, Record, RecordType


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt that has begun and neither committed nor ended.

    Attributes:
        attempt_id: also the id of the backup it may become.
        component: what it captures.
        bases: backups whose objects it may share.
        begun_at: RFC 3339 UTC, the writer's clock.
        sequence: of its ``begin``.
        initiator: who holds the component.
        window: the window it fills, or None.
    """

    attempt_id: str
    component: Component
    bases: tuple[str, ...]
    begun_at: str
    sequence: int
    initiator: Initiator
    window: str | None


@dataclass(frozen=True, slots=True)
class CommittedBackup:
    """A backup the log names.

    Attributes:
        backup_id: its id.
        component: what it holds.
        kind: how it was made.
        parent: the backup an incremental stands on, or None.
        window: the window it fills, or None when it was kept without filling one.
        committed_at: RFC 3339 UTC, the writer's clock.
        sequence: of its ``commit``: the order of backups.
        manifest_sha256: hash of the bytes of its manifest.
        initiator: who asked for it.
        summary: numbers and moments for lists (FORMAT.md, "Commit summary").
        expired_at: when it was expired, or None.
        holds: reasons why it must stay.
    """

    backup_id: str
    component: Component
    kind: BackupKind
    parent: str | None
    window: str | None
    committed_at: str
    sequence: int
    manifest_sha256: str
    initiator: Initiator
    summary: dict[str, Any]
    expired_at: str | None = None
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt that ended without a commit, since the component's last commit.

    Attributes:
        attempt_id: its id.
        component: what it captured.
        reason: why it ended.
        sequence: of its ``begin``.
    """

    attempt_id: str
    component: Component
    reason: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge that the log names: from its record on the backups are gone, whether their objects are or not.

    Attributes:
        sequence: of its record.
        backups: id → component of the backups.
        listed: the file contents that go with them, or None in a purge that wrote no list.
        purge_id: names its folder; None in a purge of a writer that did not make one.
    """

    sequence: int
    backups: dict[str, Component]
    listed: PurgeList | None
    purge_id: str | None


@dataclass(slots=True)
class History:
    """The state after the records folded so far.

    Attributes:
        sequence: of the last record, 0 before the first.
        head_sha256: its hash.
        running: attempt id → attempt.
        ended: attempts that left work behind which a later one may resume, oldest first.
        backups: backup id → backup, in commit order, purged ones left out.
        ended_by: attempt id → why it is no longer running, for messages to zombies.
        purges: what was purged, in order.
    """

    sequence: int = 0
    head_sha256: str = "0" * 64
    running: dict[str, RunningAttempt] = field(default_factory=dict[str, RunningAttempt])
    ended: list[EndedAttempt] = field(default_factory=list[EndedAttempt])
    backups: dict[str, CommittedBackup] = field(default_factory=dict[str, CommittedBackup])
    ended_by: dict[str, str] = field(default_factory=dict[str, str])
    purges: list[Purge] = field(default_factory=list[Purge])

    def holder(self, component: Component) -> RunningAttempt | None:
        """Return the attempt that holds a component, or None."""
        return next((each for each in self.running.values() if each.component is component), None)

    def resumable(self, component: Component) -> tuple[str, ...]:
        """Return the dead attempts of a component since its last commit, oldest first."""
        return tuple(each.attempt_id for each in self.ended if each.component is component)

    def restorable(self, component: Component | None = None) -> list[CommittedBackup]:
        """Return committed, unexpired backups in commit order."""
        return [
            each
            for each in self.backups.values()
            if each.expired_at is None and (component is None or each.component is component)
        ]

    def names(self, attempt_id: str) -> bool:
        """Say whether the log knows an attempt, whatever became of it."""
        return attempt_id in self.running or attempt_id in self.ended_by

    def require_fits(self, record: Record) -> None:
        """Make sure that a record can follow, before anybody writes it: one that contradicts the log ends it for ever.

        Raises:
            LogCorrupt: it contradicts those before it.
        """
        trial = replace(
            self,
            running=dict(self.running),
            ended=list(self.ended),
            backups=dict(self.backups),
            ended_by=dict(self.ended_by),
            purges=list(self.purges),
        )
        trial.apply([record])

    def apply(self, records: Iterable[Record]) -> None:
        """Fold further records.

        Raises:
            LogCorrupt: a record contradicts those before it.
        """
        for record in records:
            try:
                _FOLDS[record.type](self, record)
            except (KeyError, ValueError, TypeError) as error:
                raise LogCorrupt(
                    f"record {record.sequence} ({record.type}) contradicts the log before it: {error!r}",
                    sequence=record.sequence,
                ) from error
            self.sequence, self.head_sha256 = record.sequence, record.sha256


def _begin(history: History, record: Record) -> None:
    body = record.body
    component = Component(body["component"])
    for superseded in body["supersedes"]:
        _end(history, superseded, f"superseded by {body['attempt']} of {record.initiator}")
    history.running[body["attempt"]] = RunningAttempt(
        attempt_id=body["attempt"],
        component=component,
        bases=tuple(body["bases"]),
        begun_at=record.time,
        sequence=record.sequence,
        initiator=record.initiator,
        window=body["window"],
    )


def _commit(history: History, record: Record) -> None:
    body = record.body
    attempt = history.running.pop(body["attempt"])
    history.ended = [each for each in history.ended if each.component is not attempt.component]
    history.ended_by[attempt.attempt_id] = "committed"
    history.backups[attempt.attempt_id] = CommittedBackup(
        backup_id=attempt.attempt_id,
        component=attempt.component,
        kind=BackupKind(body["kind"]),
        parent=body["parent"],
        window=body["window"],
        committed_at=record.time,
        sequence=record.sequence,
        manifest_sha256=body["manifest_sha256"],
        initiator=record.initiator,
        summary=body["summary"],
    )


def _abort(history: History, record: Record) -> None:
    _end(history, record.body["attempt"], record.body["reason"])


def _end(history: History, attempt_id: str, reason: str) -> None:
    attempt = history.running.pop(attempt_id)
    history.ended.append(EndedAttempt(attempt_id, attempt.component, reason, attempt.sequence))
    history.ended_by[attempt_id] = reason


def _hold(history: History, record: Record) -> None:
    backup = history.backups[record.body["backup_id"]]
    history.backups[backup.backup_id] = replace(backup, holds=(*backup.holds, record.body["reason"]))


def _release(history: History, record: Record) -> None:
    backup = history.backups[record.body["backup_id"]]
    kept = tuple(reason for reason in backup.holds if reason != record.body["reason"])
    history.backups[backup.backup_id] = replace(backup, holds=kept)


def _expire(history: History, record: Record) -> None:
    for backup_id in record.body["backup_ids"]:
        history.backups[backup_id] = replace(history.backups[backup_id], expired_at=record.time)


def _undelete(history: History, record: Record) -> None:
    for backup_id in record.body["backup_ids"]:
        history.backups[backup_id] = replace(history.backups[backup_id], expired_at=None)


def _purge(history: History, record: Record) -> None:
    body = record.body
    gone = {backup_id: history.backups.pop(backup_id).component for backup_id in body["backup_ids"]}
    contents = body.get("contents")
    listed = PurgeList.from_body(body["purge_id"], contents) if contents is not None else None
    history.purges.append(Purge(record.sequence, gone, listed, body.get("purge_id")))


def _nothing(history: History, record: Record) -> None:
    """Restores, refusals and re-encryptions are told, they change no state."""


_FOLDS = {
    RecordType.BEGIN: _begin,
    RecordType.COMMIT: _commit,
    RecordType.ABORT: _abort,
    RecordType.HOLD: _hold,
    RecordType.RELEASE: _release,
    RecordType.EXPIRE: _expire,
    RecordType.UNDELETE: _undelete,
    RecordType.PURGE: _purge,
    RecordType.REENCRYPT: _nothing,
    RecordType.RESTORE: _nothing,
    RecordType.REFUSE: _nothing,
}
