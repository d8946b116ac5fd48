"""Values to rows and back. Pure."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import ConfigurationError, LogCorrupt
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.repository.catalog.backup import BackupStatus, CatalogBackup
from lc2_backup_dagster.repository.history import CommittedBackup, RunningAttempt
from lc2_backup_dagster.repository.record import Initiator, Record

Row = dict[str, Any]
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_INTEGERS = range(-(2**63), 2**63)


def storable(value: Any) -> Any:
    """Return JSON that PostgreSQL can hold: NUL and lone surrogates become U+FFFD.

    Error messages and names of files may hold them, a projection must not stop at them, and the bucket has the truth.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {storable(name): storable(each) for name, each in cast(Mapping[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [storable(each) for each in cast(list[Any], value)]
    return value


def record_row(record: Record, *, repository_id: str, site: SiteId) -> Row:
    """Return the row of a record.

    Raises:
        LogCorrupt: its time is none.
    """
    try:
        time = from_text(record.time)
    except ConfigurationError as error:
        raise LogCorrupt(
            f"record {record.sequence} of the log of {site} has no readable time", sequence=record.sequence
        ) from error
    return {
        "repository_id": repository_id,
        "site": str(site),
        "sequence": record.sequence,
        "type": str(record.type),
        "time": time,
        **storable(asdict(record.initiator)),
        "sha256": record.sha256,
        "body": storable(record.body),
    }


def backup_row(backup: CommittedBackup, *, repository_id: str, site: SiteId) -> Row:
    """Return the row of a backup."""
    summary = backup.summary
    started, finished = _time(summary.get("started")), _time(summary.get("finished"))
    return {
        "repository_id": repository_id,
        "site": str(site),
        "backup_id": backup.backup_id,
        "project": site.project,
        "application": site.application,
        "component": str(backup.component),
        "kind": str(backup.kind),
        "parent": backup.parent,
        "window": backup.window,
        "status": str(BackupStatus.EXPIRED if backup.expired_at else BackupStatus.COMMITTED),
        "sequence": backup.sequence,
        "committed_at": from_text(backup.committed_at),
        "expired_at": from_text(backup.expired_at) if backup.expired_at else None,
        "started": started,
        "finished": finished,
        "seconds": (finished - started).total_seconds() if started and finished else None,
        "plain_bytes": _integer(summary.get("plain_bytes")),
        "stored_bytes": _integer(summary.get("stored_bytes")),
        "restorable_from": _time(summary.get("restorable_from")),
        "restorable_until": _time(summary.get("restorable_until")),
        "lsn": _text(summary.get("lsn")),
        "strategy": _text(summary.get("strategy")),
        "key_id": _text(summary.get("key_id")),
        "tool_version": _text(summary.get("tool_version")),
        "server_version": _text(summary.get("server_version")),
        "manifest_sha256": backup.manifest_sha256,
        "initiator": storable(asdict(backup.initiator)),
        "holds": storable(list(backup.holds)),
        "summary": storable(summary),
    }


def committed_backup(row: Mapping[Any, Any]) -> CommittedBackup:
    """Return the backup as the log's fold knows it, to go on folding."""
    return CommittedBackup(
        backup_id=row["backup_id"],
        component=Component(row["component"]),
        kind=BackupKind(row["kind"]),
        parent=row["parent"],
        window=row["window"],
        committed_at=to_text(row["committed_at"]),
        sequence=row["sequence"],
        manifest_sha256=row["manifest_sha256"],
        initiator=Initiator(**row["initiator"]),
        summary=row["summary"],
        expired_at=to_text(row["expired_at"]) if row["expired_at"] else None,
        holds=tuple(row["holds"]),
    )


def catalog_backup(row: Mapping[Any, Any]) -> CatalogBackup:
    """Return the backup as lists show it."""
    fields: Row = {name: _utc(value) for name, value in row.items() if name not in ("project", "application")}
    fields |= {
        "site": SiteId(row["project"], row["application"]),
        "component": Component(row["component"]),
        "kind": BackupKind(row["kind"]),
        "status": BackupStatus(row["status"]),
        "initiator": Initiator(**row["initiator"]),
        "holds": tuple(row["holds"]),
    }
    return CatalogBackup(**fields)


def running_json(running: Mapping[str, RunningAttempt]) -> list[Row]:
    """Return running attempts as JSON."""
    return [storable(asdict(each)) for each in running.values()]


def running_attempts(rows: list[Row]) -> dict[str, RunningAttempt]:
    """Return what ``running_json`` was given."""
    running: dict[str, RunningAttempt] = {}
    for row in rows:
        fields: Row = {**row, "component": Component(row["component"]), "bases": tuple(row["bases"])}
        fields["initiator"] = Initiator(**row["initiator"])
        running[row["attempt_id"]] = RunningAttempt(**fields)
    return running


def _utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _time(value: object) -> datetime | None:
    try:
        return from_text(value) if isinstance(value, str) else None
    except ConfigurationError:
        return None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and value in _INTEGERS else None


def _text(value: object) -> str | None:
    return storable(value) if isinstance(value, str) else None
