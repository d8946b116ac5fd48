"""Bind database, files and configuration of one window into one recovery point that fits together (R-26).

The dump's snapshot is the point's moment. Files that were listed after it hold every file that a row names, but for
those deleted or replaced in between, which the capture kept beside the listing where anybody still had them
(``kept_files``); the rows that name files were read in the dump's own snapshot, and are joined here with both, all as
sorted streams.

"After" is said by the log: who began after a commit captured after it, whatever two servers' clocks say. Of a day that
was rebuilt later the log says nothing: its dump and its files were made today, in any order, as of moments that are
known. They fit when the files' moment, by the clock of their store, is not before the dump's, by the clock of its
server, in one window. Should the clocks disagree, files that came shortly before the dump are missing, and rows that
name them dangle: the join finds those, and beyond the site's limit refuses the point. So clocks may cost a point, and
never make a false one.
"""

from dataclasses import asdict
from typing import Any

from lc2_backup_dagster.engines.files.matching import match_rows
from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import BackupPartial, RowsDangling
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Moment, Window
from lc2_backup_dagster.operations.browse.stored_files import stored_lines
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.kept_files import kept_counts
from lc2_backup_dagster.operations.capture.physical_point import physical_point
from lc2_backup_dagster.operations.capture.point_members import PointMembers, choose_members
from lc2_backup_dagster.operations.capture.row_references import has_references, row_references
from lc2_backup_dagster.operations.checks import files_match_rows
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.attempt import ManifestDraft
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository


def bind_recovery_point(
    context: SiteContext, *, window: Window, initiator: Initiator, allow_partial: bool = False
) -> Captured:
    """Bind the newest fitting backups of a window and commit the recovery point.

    A past window may be bound too: its members were captured inside it, nothing of today enters.

    Args:
        context: the site.
        window: the day.
        initiator: who asked.
        allow_partial: bind what there is where a component failed; the point is then kept and labelled, and this ends
            with ``BackupPartial`` all the same.

    Raises:
        ComponentMissing: the window holds no dump, no files that were listed after one (or are as of a later moment),
            or no export of the configuration.
        RowsDangling: more rows than the site allows name files that are missing; nothing was committed.
        BackupPartial: the point was committed and can be restored in its parts; it is not complete.
        BackupError: everything the repository raises.
    """
    repository = context.open_repository(True)
    members = choose_members(context, repository, window, allow_partial=allow_partial)
    dump_manifest = repository.manifest(members.dump.backup_id) if members.dump else None
    with repository.begin(
        Component.RECOVERY_POINT,
        window=window.key,
        initiator=initiator,
        bases=[each.backup_id for each in members],
    ) as attempt:
        match = None
        if dump_manifest is not None and members.files is not None:
            match = _match(context, repository, dump_manifest, members.files)
        outcome = files_match_rows(match, dangling_limit_share=context.limits.dangling_rows_share) if match else None
        if outcome and not outcome.passed:
            raise RowsDangling(
                f"recovery point of {context.site} for {window.key} is refused: {outcome.message}",
                hint="look at the sample; was the file source changed while the backup ran, or is it the wrong one?",
                dangling_sample=match["dangling"][:10] if match else [],
            )
        backup = attempt.commit(
            ManifestDraft(
                kind=BackupKind.BINDING,
                moment=_moment(repository, members),
                window=window.key,
                strategy=("binding", _reason(members)),
                streams=(),
                details={
                    "members": {
                        str(member.component): {
                            "backup_id": member.backup_id,
                            "manifest_sha256": member.manifest_sha256,
                        }
                        for member in members
                    },
                    "missing": {str(component): why for component, why in members.missing.items()},
                    "skipped": {str(Component.SEARCH_INDEX): _SEARCH_INDEX_SKIPPED},
                    "physical": physical_point(repository, dump_manifest, context.database.wal)
                    if dump_manifest
                    else None,
                    "row_match": match,
                    "after_restore": list(context.application.after_restore_notes),
                },
                summary=_summary(members, match),
            )
        )
    return _require_complete(Captured.of(attempt, backup, window, earlier=()), members, what=str(context.site))


_SEARCH_INDEX_SKIPPED = "not captured; it is built anew after a restore"


def _moment(repository: SiteRepository, members: PointMembers) -> Moment:
    """Return the dump's snapshot; without a dump the moment of what there is."""
    moment = repository.manifest(next(iter(members)).backup_id).moment
    return Moment(from_text(moment.restorable_from), from_text(moment.restorable_until), moment.lsn, moment.timeline)


def _reason(members: PointMembers) -> str:
    if members.missing:
        lacking = " and no ".join(members.missing.values())
        return f"partial: what was captured of the window, which has no {lacking}"
    beside = " and configuration" if members.configuration else ""
    if members.dump and members.configuration and members.configuration.sequence < members.dump.sequence:
        beside += " (exported before the dump was rebuilt)"
    if members.files is None:
        return f"database dump{beside} of one window"
    if as_of := members.files.summary.get("as_of"):
        return (
            f"database dump, files{beside} of one window, files as of {as_of}, which is not before the dump's snapshot"
        )
    return f"database dump, files{beside} of one window, files listed after the dump's snapshot"


def _require_complete(done: Captured, members: PointMembers, *, what: str) -> Captured:
    if not members.partial:
        return done
    lacking = [f"no {why}" for why in members.missing.values()]
    lacking += [
        f"{each.component} {each.backup_id}, which is partial itself" for each in members if each.summary.get("partial")
    ]
    raise BackupPartial(
        f"recovery point {done.backup.backup_id} of {what} is partial: it has {' and '.join(lacking)}",
        hint="it is kept, and its parts can be restored; mend what failed, materialize that, and recovery_point again",
        backup_id=done.backup.backup_id,
    )


def restorable_points(repository: SiteRepository) -> list[CommittedBackup]:
    """Return the recovery points whose members are all still kept, oldest first."""
    kept = {each.backup_id for each in repository.backups()}
    return [
        point
        for point in repository.backups(Component.RECOVERY_POINT)
        if set(point.summary.get("member_ids", [])) <= kept
    ]


def _match(
    context: SiteContext, repository: SiteRepository, dump: Manifest, files: CommittedBackup
) -> dict[str, Any] | None:
    if not has_references(dump):
        return None
    with (
        row_references(repository, dump, is_selected=context.files.is_selected) as references,
        stored_lines(repository, files, members=[dump.backup_id]) as lines,
    ):
        entries = (line.entry() for line in lines)
        match = asdict(match_rows(references, entries, is_generated=context.files.is_generated))
    return match | kept_counts(repository.manifest_of(files), dump.backup_id)


def _summary(members: PointMembers, match: dict[str, Any] | None) -> dict[str, Any]:
    streams = [each for each in members if each.component is not Component.FILES]
    files = members.files.summary if members.files else {}
    summary: dict[str, Any] = {
        "member_ids": [member.backup_id for member in members],
        "partial": members.partial,
        "missing": [str(component) for component in members.missing],
        # Its own manifest has no streams: what a point weighs is what its members hold, and what they added.
        "logical_bytes": sum(each.summary["plain_bytes"] for each in streams) + files.get("logical_bytes", 0),
        "copied_stored_bytes": files.get("copied_stored_bytes", 0)
        + sum(member.summary["stored_bytes"] for member in members),
        "objects": files.get("objects", 0),
        "tables": members.dump.summary.get("tables") if members.dump else None,
        "documents": members.configuration.summary.get("documents") if members.configuration else None,
    }
    if match:
        summary |= {"rows": match["rows"], "dangling": match["dangling_count"], "orphans": match["orphan_count"]}
        summary["kept"] = match["from_backup"] + match["from_versions"]
    return summary
