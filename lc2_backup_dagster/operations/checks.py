"""What is checked of a backup that was just committed, as plain outcomes. Pure.

Whatever would make a promise false was verified before the commit and stopped it; a check here reports it with its
numbers, or judges what only history can judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.site import BackupKind
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.chains import COPIED
from lc2_backup_dagster.operations.verify.chain_objects import ChainState
from lc2_backup_dagster.operations.wal.restorable_until import Restorable
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest

_COMPARED = 14
_ENOUGH = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one check.

    Attributes:
        name: of the check.
        passed: whether it is as promised.
        blocking: whether a failure must keep later steps from building on it; otherwise it warns.
        message: what was found, for people.
        facts: numbers and samples, JSON values.
    """

    name: str
    passed: bool
    message: str
    blocking: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


def checksums(captured: Captured, *, read_back_all: bool) -> Outcome:
    """Tell how many parts were read back and compared by SHA-256 before the commit."""
    parts = sum(len(stream.parts) for stream in captured.manifest.all_streams())
    pending = _number(captured.backup.summary, "sha256_pending")
    how = "every part was" if read_back_all else "a sample of the parts was"
    message = f"{how} read back, decoded and compared by SHA-256 before the commit"
    if pending:
        message += f"; {pending} files copied by the store are still to be read (their SHA-256 is pending)"
    return Outcome(
        "checksums",
        passed=True,
        message=message,
        facts={"parts": parts, "stored_bytes": captured.manifest.stored_bytes, "sha256_pending": pending},
    )


def encrypted(captured: Captured, *, required: bool) -> Outcome:
    """Judge whether everything stored is encrypted at rest: by us, or by the store as it says itself."""
    manifest = captured.manifest
    unencrypted = _number(captured.backup.summary, "unencrypted_objects")
    by_us = manifest.encryption is not None
    if not by_us and required:
        return Outcome("encrypted", passed=False, message="the site asks for encryption, but the backup has none")
    if unencrypted:
        return Outcome(
            "encrypted",
            passed=False,
            blocking=False,
            message=f"{unencrypted} files were copied by the store, which reports no encryption at rest for them; "
            "turn on the bucket's default encryption, or protect them with 'client'",
            facts={"unencrypted_objects": unencrypted},
        )
    how = f"{manifest.encryption.cipher}, data key {manifest.encryption.key_id}" if manifest.encryption else "off"
    return Outcome("encrypted", passed=by_us or not required, message=f"encryption by the service: {how}")


def size_is_plausible(captured: Captured, *, change_ratio: float) -> Outcome:
    """Compare the size with the site's own history; a collapse or an explosion warns.

    Args:
        captured: the new backup, and those before it.
        change_ratio: largest unsuspicious change against the median, 0.5 for half.
    """
    size = _size(captured.backup)
    sizes = [_size(each) for each in captured.earlier if _comparable(each, captured.backup)][-_COMPARED:]
    if len(sizes) < _ENOUGH:
        return Outcome(
            "size_is_plausible",
            passed=True,
            blocking=False,
            message=f"{len(sizes)} earlier backups of this kind: too few to compare with",
            facts={"bytes": size},
        )
    usual = median(sizes)
    change = (size - usual) / usual if usual else (0.0 if not size else float("inf"))
    plausible = abs(change) <= change_ratio
    return Outcome(
        "size_is_plausible",
        passed=plausible,
        blocking=False,
        message=f"{change:+.0%} against the median of {len(sizes)} earlier backups"
        + ("" if plausible else f"; more than {change_ratio:.0%} is suspicious: look before older points expire"),
        facts={"bytes": size, "median_bytes": int(usual), "change": round(change, 4) if usual else None},
    )


def chain_complete(captured: Captured, state: ChainState) -> Outcome:
    """Judge whether everything that the backup stands on is still in the repository: without it nothing starts.

    A base backup holds the WAL from its start to its stop itself (L-12); its parents and archived WAL were looked for
    one by one (L-18).
    """
    manifest, details = captured.manifest, captured.manifest.details
    facts: dict[str, Any] = {
        "kind": str(manifest.kind),
        "parent": manifest.parent,
        "chain": [member.backup_id for member in state.members],
        "objects": state.objects,
        "wal_segments": state.segments or len(details.get("wal_segments") or []),
    }
    if state.losses:
        first = state.losses[0]
        return Outcome(
            "chain_complete",
            passed=False,
            message=f"{len(state.losses)} objects that this backup stands on are gone or not whole; the first is "
            f"{first.key} of {first.backup_id}: {first.reason}",
            facts={**facts, "lost": [f"{each.backup_id}: {each.key} {each.reason}" for each in state.losses[:20]]},
        )
    if manifest.kind in COPIED and not (details["wal_segments"] and details["start_lsn"] and details["stop_lsn"]):
        return Outcome(
            "chain_complete",
            passed=False,
            message="the base backup lacks the WAL that makes it consistent",
            facts=facts,
        )
    return Outcome("chain_complete", passed=True, message=_stands_on(manifest, state), facts=facts)


def _stands_on(manifest: Manifest, state: ChainState) -> str:
    moment, details = manifest.moment, manifest.details
    ancestors = state.members[:-1]
    if manifest.kind is BackupKind.SNAPSHOT:
        return f"snapshot {details['snapshot_id']} of the provider, {details['location']}; it needs no parent"
    if manifest.kind is BackupKind.WAL:
        told = details["wal"]
        what = f"{told['segments']} archived WAL segments from {told['from_lsn']} to {told['to_lsn']}"
    else:
        what = f"{manifest.kind} base backup with the WAL from {details['start_lsn']} to {details['stop_lsn']}"
    if not ancestors:
        return f"{what} on timeline {moment.timeline}; it needs no parent"
    return (
        f"{what} on timeline {moment.timeline}; its {len(ancestors)} ancestors back to the full backup "
        f"{ancestors[0].backup_id} are whole"
    )


def restorable_within_rpo(seen: Restorable, *, rpo_seconds: float) -> Outcome:
    """Judge how far what can be restored lies behind the present; nothing restorable, or unknown, is no success."""
    slot = seen.slot
    facts: dict[str, Any] = {
        "lag_seconds": seen.lag_seconds,
        "restorable_until": to_text(seen.until) if seen.until else None,
        "lsn": str(seen.lsn) if seen.lsn else None,
        "segments": seen.segments,
        "gap": seen.gap,
        "slot_lag_bytes": slot.retained_bytes if slot else None,
        "slot_wal_status": slot.wal_status if slot else None,
    }
    if seen.until is None or seen.lag_seconds is None:
        message = "nothing can be restored: there is no base backup; materialize database"
        return Outcome("restorable_within_rpo", passed=False, message=message, facts=facts)
    passed = seen.lag_seconds <= rpo_seconds
    message = f"every commit before {to_text(seen.until)} can be restored, {seen.lag_seconds:.0f} s behind the present"
    if seen.gap:
        message += f"; segment {seen.gap} is missing"
    if not passed:
        message += (
            f"; more than {rpo_seconds:.0f} s is too much: does lc2-backup wal-receive run, does the bucket take "
        )
        message += "its writes?"
    if slot and slot.remedy:
        message += f"; {slot.remedy}"
    if seen.server_problem:
        message += f"; the server does not answer: {seen.server_problem}"
    return Outcome("restorable_within_rpo", passed=passed, message=message, facts=facts)


def export_complete(captured: Captured) -> Outcome:
    """Tell what an export holds; that it is complete and parses was proven before the commit."""
    details, summary = captured.manifest.details, captured.backup.summary
    secrets = details.get("secrets_left_out")
    message = f"{summary['documents']} documents, every JSON and YAML document parses"
    if details["required"]:
        message += f"; {', '.join(details['required'])} present"
    if secrets:
        message += f"; {secrets['count']} secrets were left out, and must be supplied after a restore"
    return Outcome(
        "export_complete",
        passed=True,
        message=message,
        facts={
            "documents": summary["documents"],
            "export_sha256": summary["export_sha256"],
            "same_as": summary["same_as"],
            "secrets_left_out": secrets,
        },
    )


def files_complete(captured: Captured) -> Outcome:
    """Tell which files could not be read: the backup is partial then, and says so (L-22)."""
    summary, details = captured.backup.summary, captured.manifest.details
    unreadable, vanished = _number(summary, "unreadable"), _number(summary, "vanished")
    special = _number(summary, "special")
    message = "every listed file was captured"
    if vanished:
        message = f"{vanished} files were deleted between listing and copying"
    if unreadable:
        message = f"PARTIAL: {unreadable} files could not be read"
    if special:
        message += f"; {special} pipes, sockets and devices have no content to keep and were left out"
    return Outcome(
        "files_complete",
        passed=unreadable == 0,
        blocking=False,
        message=message,
        facts={
            "unreadable": unreadable,
            "vanished": vanished,
            "special": special,
            "unreadable_sample": details.get("unreadable", [])[:20],
            "vanished_sample": details.get("vanished", [])[:20],
            "special_sample": details.get("special", [])[:20],
        },
    )


def files_match_rows(match: Mapping[str, Any], *, dangling_limit_share: float) -> Outcome:
    """Judge the rows that name files against the files (R-26); ``match`` is the ``row_match`` of the point."""
    rows, dangling = int(match["rows"]), int(match["dangling_count"])
    resized = int(match["size_mismatch_count"])
    links = int(match.get("link_count", 0))
    held, copied, lost = (int(match.get(name, 0)) for name in ("from_backup", "from_versions", "nobody_has"))
    problem = str(match.get("keeping_problem", ""))
    share = (dangling + resized) / rows if rows else 0.0
    return Outcome(
        "files_match_rows",
        passed=share <= dangling_limit_share,
        message=f"{rows} rows name files, {dangling} of them name a file that is missing and {resized} one of another "
        f"size ({share:.2%}, limit {dangling_limit_share:.2%}); {match['orphan_count']} files are named by no row"
        + (f"; {links} rows name a symbolic link, whose content lies wherever it leads" if links else "")
        + (
            f"; of the files that were deleted or replaced after the dump's snapshot {held} come from the backup "
            f"before and {copied} from versions of the source, and nobody has {lost}"
            if held or copied or lost
            else ""
        )
        + (f"; {problem}" if problem else ""),
        facts=dict(match),
    )


def _comparable(earlier: CommittedBackup, backup: CommittedBackup) -> bool:
    # The size of a library means the same in a full and in an incremental backup of it.
    return earlier.kind is backup.kind or "logical_bytes" in backup.summary


def _size(backup: CommittedBackup) -> int:
    # A files backup that shares everything stores nothing new; its logical size is what can collapse.
    return _number(backup.summary, "logical_bytes") or _number(backup.summary, "plain_bytes")


def _number(summary: Mapping[str, Any], name: str) -> int:
    value = summary.get(name)
    return value if isinstance(value, int) else 0
