"""Bind database and files of one window into one recovery point that fits together (R-26).

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

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lc2_backup_dagster.engines.files.matching import match_rows
from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import ComponentMissing, RowsDangling
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Moment, Window
from lc2_backup_dagster.operations.browse.stored_files import stored_lines
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.kept_files import kept_counts
from lc2_backup_dagster.operations.capture.physical_point import physical_point
from lc2_backup_dagster.operations.capture.row_references import has_references, row_references
from lc2_backup_dagster.operations.checks import files_match_rows
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.attempt import ManifestDraft
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository


def bind_recovery_point(context: SiteContext, *, window: Window, initiator: Initiator) -> Captured:
    """Bind the newest fitting dump and files of a window and commit the recovery point.

    A past window may be bound too: its members were captured inside it, nothing of today enters.

    Raises:
        ComponentMissing: the window holds no dump, or no files that were listed after one, or are as of a later moment.
        RowsDangling: more rows than the site allows name files that are missing; nothing was committed.
        BackupError: everything the repository raises.
    """
    repository = context.open_repository(True)
    dump, files = _members(context, repository, window)
    dump_manifest = repository.manifest(dump.backup_id)
    with repository.begin(
        Component.RECOVERY_POINT,
        window=window.key,
        initiator=initiator,
        bases=[dump.backup_id, files.backup_id],
    ) as attempt:
        match = _match(context, repository, dump_manifest, files)
        outcome = files_match_rows(match, dangling_limit_share=context.limits.dangling_rows_share) if match else None
        if outcome and not outcome.passed:
            raise RowsDangling(
                f"recovery point of {context.site} for {window.key} is refused: {outcome.message}",
                hint="look at the sample; was the file source changed while the backup ran, or is it the wrong one?",
                dangling_sample=match["dangling"][:10] if match else [],
            )
        moment = dump_manifest.moment
        backup = attempt.commit(
            ManifestDraft(
                kind=BackupKind.BINDING,
                moment=Moment(
                    from_text(moment.restorable_from), from_text(moment.restorable_until), moment.lsn, moment.timeline
                ),
                window=window.key,
                strategy=("binding", _reason(files)),
                streams=(),
                details={
                    "members": {
                        str(member.component): {
                            "backup_id": member.backup_id,
                            "manifest_sha256": member.manifest_sha256,
                        }
                        for member in (dump, files)
                    },
                    "physical": physical_point(repository, dump_manifest, context.database.wal),
                    "row_match": match,
                    "after_restore": list(context.application.after_restore_notes),
                },
                summary=_summary(dump, files, match),
            )
        )
    return Captured.of(attempt, backup, window, earlier=())


def _reason(files: CommittedBackup) -> str:
    if as_of := files.summary.get("as_of"):
        return f"database dump and files of one window, files as of {as_of}, which is not before the dump's snapshot"
    return "database dump and files of one window, files listed after the dump's snapshot"


def restorable_points(repository: SiteRepository) -> list[CommittedBackup]:
    """Return the recovery points whose members are all still kept, oldest first."""
    kept = {each.backup_id for each in repository.backups()}
    return [
        point
        for point in repository.backups(Component.RECOVERY_POINT)
        if set(point.summary.get("member_ids", [])) <= kept
    ]


def _members(
    context: SiteContext, repository: SiteRepository, window: Window
) -> tuple[CommittedBackup, CommittedBackup]:
    """Choose the newest files of the window that fit a dump of it, complete ones first.

    Where a dump lasted past the end of its window, the first files captured after it belong to it although they lie in
    the next window.
    """
    dumps = [each for each in repository.backups(Component.DATABASE_DUMP) if each.window == window.key]
    captures = repository.backups(Component.FILES)
    inside = [each for each in captures if each.window == window.key]
    for files in sorted(inside, key=lambda each: (bool(each.summary.get("partial")), -each.sequence)):
        if (dump := _fitting_dump(repository, files, dumps)) is not None:
            return dump, files
    following = Window.around(window.end, length=window.length).key
    listed = [each for each in captures if each.window == following and not each.summary.get("as_of")]
    behind = [each for each in listed if dumps and _begun_after(each, dumps[-1])][:1]
    for files in behind:
        if (dump := _fitting_dump(repository, files, dumps)) is not None:
            return dump, files
    word = context.application.files_word
    missing = "database_dump" if not dumps else f"{word} captured after the dump"
    raise ComponentMissing(
        f"window {window.key} of {context.site} has no {missing}",
        hint="materialize database_dump and then " + word + " of this window",
        window=window.key,
    )


def _fitting_dump(
    repository: SiteRepository, files: CommittedBackup, dumps: Sequence[CommittedBackup]
) -> CommittedBackup | None:
    """Return the newest of the window's dumps whose rows' files a files backup holds, or None."""
    as_of = files.summary.get("as_of")
    if as_of is None:
        # A dump that was rebuilt is of a day that had ended when it was made: no files listed after it are of that day.
        return next(
            (each for each in reversed(dumps) if _begun_after(files, each) and not _rebuilt(repository, each)), None
        )
    fitting = [each for each in dumps if each.window == files.window and each.summary["restorable_until"] <= as_of]
    return max(fitting, key=lambda each: (each.summary["restorable_until"], each.sequence), default=None)


def _begun_after(files: CommittedBackup, dump: CommittedBackup) -> bool:
    return dump.sequence < files.summary["begun_sequence"]


def _rebuilt(repository: SiteRepository, dump: CommittedBackup) -> bool:
    return repository.manifest(dump.backup_id).details.get("rebuilt_from") is not None


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


def _summary(dump: CommittedBackup, files: CommittedBackup, match: dict[str, Any] | None) -> dict[str, Any]:
    members = (dump, files)
    summary: dict[str, Any] = {
        "member_ids": [member.backup_id for member in members],
        "partial": bool(files.summary.get("partial")),
        # Its own manifest has no streams: what a point weighs is what its members hold, and what they added.
        "logical_bytes": dump.summary["plain_bytes"] + files.summary.get("logical_bytes", 0),
        "copied_stored_bytes": files.summary.get("copied_stored_bytes", 0)
        + sum(member.summary["stored_bytes"] for member in members),
        "objects": files.summary.get("objects", 0),
        "tables": dump.summary.get("tables"),
    }
    if match:
        summary |= {"rows": match["rows"], "dangling": match["dangling_count"], "orphans": match["orphan_count"]}
        summary["kept"] = match["from_backup"] + match["from_versions"]
    return summary
