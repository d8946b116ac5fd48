"""What the catalog gives out: one backup, one head. Plain values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.repository.record import Initiator


class BackupStatus(StrEnum):
    """Whether a backup can be restored. The values are persisted."""

    COMMITTED = "committed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class CatalogBackup:
    """A backup as lists show it (R-21). What its commit record does not say is None.

    Attributes:
        repository_id: the repository it lies in.
        site: whose it is.
        backup_id: its id.
        component: what it holds.
        kind: how it was made.
        parent: the backup an incremental stands on.
        window: the window it fills, or None.
        status: whether it can be restored; expired ones can be undeleted until they are purged.
        sequence: of its ``commit`` record: the order of backups within a site.
        committed_at: by the writer's clock, UTC.
        expired_at: when it was expired.
        started: begin of the attempt.
        finished: when its manifest was written.
        seconds: between the two.
        plain_bytes: size before compression.
        stored_bytes: size in the repository.
        restorable_from: earliest moment it restores.
        restorable_until: latest moment it restores.
        lsn: PostgreSQL position of the moment.
        strategy: what was chosen.
        key_id: the data key of its parts, None where encryption is off.
        tool_version: of the client tools.
        server_version: of the database server.
        manifest_sha256: hash of its manifest.
        initiator: who asked for it.
        holds: reasons why it must stay.
        summary: everything its commit record says for lists.
    """

    repository_id: str
    site: SiteId
    backup_id: str
    component: Component
    kind: BackupKind
    parent: str | None
    window: str | None
    status: BackupStatus
    sequence: int
    committed_at: datetime
    expired_at: datetime | None
    started: datetime | None
    finished: datetime | None
    seconds: float | None
    plain_bytes: int | None
    stored_bytes: int | None
    restorable_from: datetime | None
    restorable_until: datetime | None
    lsn: str | None
    strategy: str | None
    key_id: str | None
    tool_version: str | None
    server_version: str | None
    manifest_sha256: str
    initiator: Initiator
    holds: tuple[str, ...]
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogHead:
    """How far a site's log is known.

    Attributes:
        site: whose log.
        repository_id: of which repository.
        sequence: of the last known record, 0 for none.
        sha256: its hash, zeros for none.
    """

    site: SiteId
    repository_id: str
    sequence: int
    sha256: str
