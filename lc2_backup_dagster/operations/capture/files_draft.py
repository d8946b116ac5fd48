"""What the manifest and the log say of a capture of files, and whether it is all that was there."""

from typing import Any

from lc2_backup_dagster.engines.files.capture.capture import FilesCapture
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import BackupPartial
from lc2_backup_dagster.model.site import BackupKind
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.files_plan import FilesPlan, listed_from
from lc2_backup_dagster.repository.attempt import ManifestDraft

_SAMPLE = 100


def files_draft(captured: FilesCapture, plan: FilesPlan, *, shards: int = 1) -> ManifestDraft:
    """Describe a capture; the window is set by who commits it.

    Args:
        captured: what was captured.
        plan: what it stands on.
        shards: processes that captured it.
    """
    counts, parent = captured.counts, plan.parent
    details: dict[str, Any] = {
        "source_id": plan.source_id,
        "partial": captured.partial,
        "listing_ordered": captured.listing_ordered,
        "damaged_journals": list(captured.damaged_journals),
        "unreadable": [list(sample) for sample in counts.unreadable.samples[:_SAMPLE]],
        "vanished": [list(sample) for sample in counts.vanished.samples[:_SAMPLE]],
        "special": [list(sample) for sample in captured.special.samples[:_SAMPLE]],
        "shards": shards,
    }
    summary: dict[str, Any] = {
        "source_id": plan.source_id,
        "source_versions": plan.keeps_versions,
        "partial": captured.partial,
        "objects": counts.objects,
        "links": counts.links,
        "folders": counts.folders,
        "special": captured.special.count,
        "logical_bytes": counts.size_bytes,
        "added": counts.added,
        "changed": counts.changed,
        "changed_objects": counts.added + counts.changed,
        "facts_changed": counts.facts_changed,
        "removed": counts.removed,
        "unchanged": counts.unchanged,
        "resumed": counts.resumed,
        "copied_bytes": counts.copied_bytes,
        "copied_stored_bytes": counts.stored_bytes,
        "excluded": captured.excluded,
        "unreadable": counts.unreadable.count,
        "vanished": counts.vanished.count,
        "unencrypted_objects": counts.store_copies_unencrypted,
        "sha256_pending": counts.sha256_pending,
        "throttled_requests": captured.throttling.requests,
        "throttled_seconds": round(captured.throttling.seconds),
    }
    if (kept := captured.kept) is not None:
        details["kept"] = {
            "dump": kept.dump_id,
            "wanted": kept.wanted,
            "from_backup": kept.from_backup,
            "from_versions": kept.from_versions,
            "lost": kept.lost.count,
            "lost_sample": [list(sample) for sample in kept.lost.samples[:_SAMPLE]],
            "objects_more": kept.objects_more,
            "bytes_more": kept.bytes_more,
            "problem": kept.problem,
        }
        summary["kept"] = kept.from_backup + kept.from_versions
        summary["copied_bytes"] += kept.copied_bytes
        summary["copied_stored_bytes"] += kept.stored_bytes
        summary["unencrypted_objects"] += kept.unencrypted
        summary["sha256_pending"] += kept.pending
    if plan.as_of is not None:
        assert plan.before is not None
        details["as_of"] = {
            "moment": to_text(plan.as_of),
            "versions_kept_since": to_text(listed_from(plan.before)),
            "before": plan.before.backup_id,
            "after": plan.after.backup_id if plan.after else None,
            "held_by_backups": captured.held,
        }
        summary["as_of"] = to_text(plan.as_of)
    return ManifestDraft(
        kind=BackupKind.INCREMENTAL if parent else BackupKind.FULL,
        parent=parent.backup_id if parent else None,
        moment=captured.moment,
        window=None,
        strategy=_strategy(plan),
        streams=captured.streams,
        details=details,
        summary=summary,
    )


def require_complete(done: Captured, *, what: str) -> Captured:
    """Make sure that a backup that was committed has every file, and return it.

    Raises:
        BackupPartial: it has not; it was kept, and its window stays red.
    """
    count, backup_id = done.backup.summary["unreadable"], done.backup.backup_id
    if count:
        samples = done.manifest.details["unreadable"][:5]
        named = ", ".join(f"{key} ({reason})" for key, reason in samples)
        act = "give the backup role the right to read them and run again"
        if done.backup.summary.get("as_of"):
            act = "versions that were removed do not come back"
        raise BackupPartial(
            f"{count} files of {what} could not be read: {named}{', …' if count > 5 else ''}",
            hint=f"{act}; what could be read was kept as partial backup {backup_id}, and materializing recovery_point "
            f"binds it as it is",
            backup_id=backup_id,
        )
    return done


def _strategy(plan: FilesPlan) -> tuple[str, str]:
    if plan.parent is None:
        return "full", "no earlier backup of this source to stand on"
    shared = " or ".join(each.backup_id for each in plan.bases)
    if plan.as_of is None:
        return "incremental", f"only what changed since {shared} was copied"
    assert plan.before is not None
    return "as_of", (
        f"a past day: the versions that the source kept, as of {to_text(plan.as_of)}; {plan.before.backup_id} had seen "
        f"that it keeps them; only what is not in {shared} was copied"
    )
