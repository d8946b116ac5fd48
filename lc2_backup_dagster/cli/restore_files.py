"""What ``restore`` does with dumps, files and recovery points: the request out of its options, and what was done."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from lc2_backup_dagster.cli.printed import key_text, number_of
from lc2_backup_dagster.cli.restore_progress import RestoreSteps, restore_bar
from lc2_backup_dagster.cli.session import Session, size_text
from lc2_backup_dagster.engines.files.restore.remarks import remarks
from lc2_backup_dagster.engines.files.restore.writing import Conflict, FilesRestore
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.restore.request import FilesPlan, RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import Restored, restore


def check_file_options(request: RestoreRequest, *, yes: bool) -> None:
    """Refuse options that do not go together before anything is opened.

    Raises:
        click.UsageError: they do not.
    """
    if request.files_prefix and not request.files_prefix.endswith("/"):
        raise click.UsageError("--target-prefix is a folder and ends with a slash")
    if request.files_directory is not None and request.files_bucket is not None:
        raise click.UsageError("files go to --target-bucket or to --target-directory, not to both")
    if request.checksum and request.conflict is not Conflict.OVERWRITE:
        raise click.UsageError("--checksum says which files --on-conflict overwrite sends again; it goes with that")
    if request.delete_extra and not request.selection.is_whole_prefix:
        raise click.UsageError("--delete-extra goes with everything, or everything --below a prefix; not with a choice")
    if request.delete_extra and request.conflict is not Conflict.OVERWRITE:
        raise click.UsageError("--delete-extra goes with --on-conflict overwrite")
    if request.remove_orphans and (request.scope is not RestoreScope.FULL or not request.selection.is_everything):
        raise click.UsageError("--remove-orphans goes with database and files of a recovery point, both whole")
    if request.changes_what_is_there and not request.dry_run and request.confirm is None:
        instead = "--yes is not enough: " if yes else ""
        raise click.UsageError(
            f"{instead}files at the target may be lost; look at --dry-run first, and say --confirm with the name of "
            "the target, which it prints"
        )


def component_of(session: Session, site: str, backup_id: str | None) -> Component | None:
    """Return what a backup holds; None where none is named, or there is none of that name."""
    if backup_id is None:
        return None
    backup = session.open(site).open_repository(False).log.history().backups.get(backup_id)
    return backup.component if backup else None


def restore_point(session: Session, site: str, request: RestoreRequest) -> None:
    """Restore a recovery point, a dump or files, and print what was done.

    Raises:
        AfterRestoreFailed: all was restored, and printed, but what was to follow failed.
        BackupError: as ``operations.restore.run.restore``.
    """
    with restore_bar(session) as bar:
        restored = restore(
            session.open(site),
            request,
            now=datetime.now(UTC),
            initiator=session.initiator,
            progress=RestoreSteps(bar).show,
            say=lambda line: session.messages.print(line, markup=False),
        )
    if session.as_json:
        session.print_json(asdict(restored))
    else:
        _print(session, restored, confirm=request.changes_what_is_there)
    if failure := restored.failure:
        raise failure


def _print(session: Session, restored: Restored, *, confirm: bool) -> None:
    plan, out = restored.plan, session.console
    out.print(f"{plan.site} as of {plan.moment} (point {plan.point})", markup=False)
    if plan.database:
        out.print(f"  {plan.database.target}: {size_text(plan.database.plain_bytes)} of dump", markup=False)
    if plan.files:
        size = size_text(plan.files.plain_bytes)
        files = number_of(plan.files.objects, "file")
        out.print(f"  {files}, {size}, to {plan.files.target}", markup=False)
    if plan.configuration and plan.configuration.target:
        documents = number_of(plan.configuration.documents, "document")
        size = size_text(plan.configuration.plain_bytes)
        out.print(f"  {documents}, {size}, to {plan.configuration.target}", markup=False)
    if plan.configuration and plan.configuration.import_command:
        out.print(f"  then import: {plan.configuration.import_command}", markup=False)
    if plan.files and plan.files.cdn:
        out.print(f"  then the CDN is told of what was written or deleted: {plan.files.cdn}", markup=False)
    for blocker in plan.blockers:
        out.print(f"  blocker: {blocker}", markup=False)
    if restored.dry_run:
        if plan.files:
            _print_forecast(session, plan.files)
            if confirm:
                out.print(f"  to carry it out: --confirm '{plan.files.confirmation}'", markup=False)
        for note in plan.notes:
            out.print(f"  afterwards: {note}", markup=False)
        out.print("dry run: nothing was changed")
        return
    if restored.database:
        out.print(f"database {restored.database.database}: {restored.database.tables} tables", markup=False)
    if restored.files:
        out.print(_files_sentence(restored.files), markup=False)
        _print_doubts(session, restored.files)
    if restored.rows:
        out.print(f"rows: {'' if restored.rows.passed else 'DOUBTFUL: '}{restored.rows.message}", markup=False)
    if restored.configuration:
        told = restored.configuration
        out.print(f"configuration: {number_of(told.documents, 'document')} in {told.directory}", markup=False)
    for each in restored.follow_ups:
        out.print(f"{'' if each.succeeded else 'FAILED: '}{each.text}", markup=False)
    out.print(f"done in {restored.seconds:.1f} s")
    for note in plan.notes:
        out.print(f"  now: {note}", markup=False)


def _files_sentence(files: FilesRestore) -> str:
    replaced = f" ({files.overwritten} over others)" if files.overwritten else ""
    deleted = f", {files.deleted.count} deleted" if files.deleted.count else ""
    return f"files: {files.written} written{replaced}, {files.kept} left as they were{deleted}"


def _print_doubts(session: Session, files: FilesRestore) -> None:
    if files.kept_differing:
        session.console.print(f"  {files.kept_differing} of those left have another size than in the backup")
    for remark in remarks(files):
        session.console.print(f"  {remark}", markup=False)


def _print_forecast(session: Session, plan: FilesPlan) -> None:
    told = plan.forecast
    if told is None:
        return
    out = session.console
    over = f", {told.overwritten} of them over others" if told.overwritten else ""
    out.print(f"  to write: {number_of(told.written, 'file')}, {size_text(told.written_bytes)}{over}")
    if told.kept:
        out.print(f"  to keep, as they are: {number_of(told.kept, 'file')}")
    if told.deleted:
        out.print(
            f"  to delete: {number_of(told.deleted, 'file')}, {size_text(told.deleted_bytes)}: "
            f"{_listed(told.deleted_first, told.deleted)}",
            markup=False,
        )

    if told.orphans:
        listed = _listed(told.orphans_first, told.orphans)
        out.print(
            f"  to remove in the end, no row names them: {number_of(told.orphans, 'file')}: {listed}", markup=False
        )


def _listed(first: Sequence[str], count: int) -> str:
    return ", ".join(key_text(key) for key in first) + (", …" if count > len(first) else "")
