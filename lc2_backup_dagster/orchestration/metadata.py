"""What a materialization shows: numbers that plot, the same numbers for people, and where the proof lies."""

from collections.abc import Mapping
from itertools import islice

import dagster as dg

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.model.sizes import readable_bytes
from lc2_backup_dagster.operations.captured import Captured
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.manifest import Manifest

_ROWS = 50


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
    if captured.first_byte_seconds is not None:
        shown["first_byte_seconds"] = dg.MetadataValue.float(round(captured.first_byte_seconds, 3))
    for name in ("objects", "changed_objects", "added", "removed", "unchanged", "copied_bytes", "tables"):
        if isinstance(backup.summary.get(name), int):
            shown[name] = dg.MetadataValue.int(backup.summary[name])
    return shown


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
