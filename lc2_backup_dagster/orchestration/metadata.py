"""What a materialization shows: numbers that plot, the same numbers for people, and where the proof lies."""

from collections.abc import Mapping
from itertools import islice

import dagster as dg

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.model.sizes import readable_bytes
from lc2_backup_dagster.operations.browse.stored_exports import ExportChanges
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.verify.verified import VerifiedFiles, statement
from lc2_backup_dagster.operations.wal.restorable_until import Restorable
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest

_ROWS = 50
_NUMBERS = (
    "objects", "changed_objects", "added", "removed", "unchanged", "copied_bytes", "tables",
    "chain_length", "wal_segments", "documents", "rows", "dangling", "orphans",
)  # fmt: skip


def capture_metadata(captured: Captured) -> dict[str, dg.MetadataValue]:
    """Return the metadata of a capture's materialization."""
    manifest, backup = captured.manifest, captured.backup
    # Of files, what counts is the library and what this backup added to the repository, not the list of files.
    plain = _number(backup.summary, "logical_bytes") or _number(backup.summary, "plain_bytes")
    stored = _number(backup.summary, "stored_bytes") + _number(backup.summary, "copied_stored_bytes")
    moved = _number(backup.summary, "copied_bytes") if "copied_bytes" in backup.summary else plain
    shown: dict[str, dg.MetadataValue] = {
        "backup_id": dg.MetadataValue.text(backup.backup_id),
        "kind": dg.MetadataValue.text(str(backup.kind)),
        "parent": dg.MetadataValue.text(backup.parent or "none"),
        "strategy": dg.MetadataValue.text(f"{manifest.strategy.chosen}: {manifest.strategy.reason}"),
        "restorable_from": _time(manifest.moment.restorable_from),
        "restorable_until": _time(manifest.moment.restorable_until),
        "lsn": dg.MetadataValue.text(manifest.moment.lsn or "none"),
        "bytes": dg.MetadataValue.int(plain),
        "size": dg.MetadataValue.text(readable_bytes(plain)),
        "stored_bytes": dg.MetadataValue.int(stored),
        "stored_size": dg.MetadataValue.text(readable_bytes(stored)),
        "seconds": dg.MetadataValue.float(round(captured.seconds, 3)),
        "encryption": dg.MetadataValue.text(
            f"{manifest.encryption.cipher}, data key {manifest.encryption.key_id}" if manifest.encryption else "off"
        ),
        "manifest": dg.MetadataValue.text(_manifest_key(manifest)),
        "manifest_sha256": dg.MetadataValue.text(backup.manifest_sha256),
        "parts": _parts(manifest),
    }
    if stored and moved:
        shown["ratio"] = dg.MetadataValue.float(round(moved / stored, 3))
    shown |= _archived(manifest)
    if captured.first_byte_seconds is not None:
        shown["first_byte_seconds"] = dg.MetadataValue.float(round(captured.first_byte_seconds, 3))
    for name in _NUMBERS:
        if isinstance(backup.summary.get(name), int):
            shown[name] = dg.MetadataValue.int(backup.summary[name])
    return shown


def changes_metadata(site: SiteId, changes: ExportChanges, newer: CommittedBackup) -> dict[str, dg.MetadataValue]:
    """Return what differs from the export before, and the command that shows how."""
    counts = changes.counts
    return {
        "changed_documents": dg.MetadataValue.int(counts.total),
        "changes": dg.MetadataValue.table(
            [dg.TableRecord({"change": str(each.kind), "document": each.path}) for each in changes.first],
            schema=dg.TableSchema([dg.TableColumn("change", "string"), dg.TableColumn("document", "string")]),
        ),
        "diff": dg.MetadataValue.md(
            f"{counts.added} added, {counts.removed} removed, {counts.changed} changed since `{changes.since}`. Keys "
            f"and lines: `lc2-backup diff {site} {changes.since} {newer.backup_id} --component configuration`"
        ),
    }


def _archived(manifest: Manifest) -> dict[str, dg.MetadataValue]:
    """Show the full backup that a chain ends in, and how far archived WAL had come when the backup was committed."""
    details = manifest.details
    shown: dict[str, dg.MetadataValue] = {}
    if details.get("full_id"):
        shown["full_backup"] = dg.MetadataValue.text(details["full_id"])
    if told := details.get("archived_wal"):
        reached = "reaches this backup" if told["reaches_backup"] else "has not reached this backup yet"
        gap = f"; segment {told['gap']} is missing" if told["gap"] else ""
        shown["archived_wal"] = dg.MetadataValue.text(f"{reached}, until {told['until'] or 'nothing'}{gap}")
    if told := details.get("wal"):
        shown["archived_wal"] = dg.MetadataValue.text(
            f"{told['segments']} segments, {told['first_segment'] or 'none'} to {told['last_segment'] or 'none'}, from "
            f"{told['from_lsn']} to {told['to_lsn']} on timeline {told['to_timeline']}"
        )
    return shown


def restorable_metadata(seen: Restorable) -> dict[str, dg.MetadataValue]:
    """Return what a report of archived WAL shows: until when all can be restored, and how the slot is doing."""
    shown: dict[str, dg.MetadataValue] = {
        "segments": dg.MetadataValue.int(seen.segments),
        "base": dg.MetadataValue.text(seen.base or "none"),
    }
    if seen.until is not None:
        shown["restorable_until"] = dg.MetadataValue.timestamp(seen.until)
    if seen.lsn is not None:
        shown["lsn"] = dg.MetadataValue.text(str(seen.lsn))
        shown["timeline"] = dg.MetadataValue.int(seen.lsn.timeline)
    if seen.lag_seconds is not None:
        shown["lag_seconds"] = dg.MetadataValue.float(round(seen.lag_seconds, 3))
    if seen.slot is not None:
        shown["slot_lag_bytes"] = dg.MetadataValue.int(seen.slot.retained_bytes)
        shown["slot_lag"] = dg.MetadataValue.text(readable_bytes(seen.slot.retained_bytes))
        shown["slot_wal_status"] = dg.MetadataValue.text(seen.slot.wal_status or "nothing reserved")
    if seen.server_problem is not None:
        shown["server_problem"] = dg.MetadataValue.text(seen.server_problem)
    return shown


def verification_metadata(verified: VerifiedFiles) -> dict[str, dg.MetadataValue]:
    """Return what a verification of stored files shows."""
    found = verified.found
    numbers = {
        "objects": found.objects,
        "stored_bytes": found.stored_bytes,
        "read_objects": found.read_objects,
        "read_bytes": found.read_bytes,
        "never_read": found.never_read,
        "over_age": found.over_age,
        "due_left": found.due_left,
        "sha256_computed": found.hashed_pending,
        "damaged": max(found.damaged_count, len(verified.damages)),
        "unknown": found.refused.count + found.doubtful.count,
    }
    return {
        **{f"verified_{name}": dg.MetadataValue.int(number) for name, number in numbers.items()},
        "verified_oldest_age_hours": dg.MetadataValue.float(round((found.oldest_seconds or 0) / 3600, 2)),
        "verified": dg.MetadataValue.text(statement(verified)),
        "verified_backups": dg.MetadataValue.int(len(verified.backup_ids)),
        "verified_results": dg.MetadataValue.text(found.run_id or "not kept"),
    }


def _manifest_key(manifest: Manifest) -> str:
    project, _, application = manifest.site.partition("/")
    return layout.manifest_key(SiteId(project, application), manifest.component, manifest.backup_id)


def _time(text: str) -> dg.MetadataValue:
    return dg.MetadataValue.timestamp(from_text(text))


def _number(summary: Mapping[str, object], name: str) -> int:
    value = summary.get(name)
    return value if isinstance(value, int) else 0


def _parts(manifest: Manifest) -> dg.MetadataValue:
    every = (
        dg.TableRecord(
            {
                "stream": stream.name,
                "part": number,
                "bytes": part.plain_bytes,
                "stored_bytes": part.stored_bytes,
                "sha256": part.stored_sha256,
            }
        )
        for stream in manifest.all_streams()
        for number, part in enumerate(stream.parts)
    )
    # The event log is no place for thousands of parts; the manifest has them all.
    return dg.MetadataValue.table(
        list(islice(every, _ROWS)),
        schema=dg.TableSchema(
            [
                dg.TableColumn("stream", "string"),
                dg.TableColumn("part", "int"),
                dg.TableColumn("bytes", "int"),
                dg.TableColumn("stored_bytes", "int"),
                dg.TableColumn("sha256", "string"),
            ]
        ),
    )
