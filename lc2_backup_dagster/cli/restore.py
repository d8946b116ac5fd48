"""``restore``: bring data back, into new places."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from lc2_backup_dagster.cli.session import Session, pass_session, size_text
from lc2_backup_dagster.engines.files.writing import Conflict
from lc2_backup_dagster.operations.restore import Restored
from lc2_backup_dagster.operations.restore import restore as carry_out
from lc2_backup_dagster.operations.restore_request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore_server import facts, plan_server_restore, restore_server


@click.command()
@click.argument("site")
@click.argument("backup_id")
@click.option("--scope", type=click.Choice([str(each) for each in RestoreScope]), default="full", show_default=True)
@click.option("--target-database", metavar="NAME", help="Name of the new database. [default: source's name and time]")
@click.option("--target-bucket", metavar="BUCKET", help="Bucket or directory for the files. [default: restore.files]")
@click.option("--target-prefix", metavar="FOLDER/", help="Folder below it. [default: the backup's id]")
@click.option("--file", "globs", multiple=True, metavar="GLOB", help="Only files that match; may be repeated.")
@click.option(
    "--on-conflict",
    type=click.Choice([str(each) for each in Conflict]),
    default="refuse",
    show_default=True,
    help="What happens to files that are there already. 'overwrite' asks for --yes.",
)
@click.option("--target-directory", type=click.Path(path_type=Path), help="New data directory, for a base backup.")
@click.option("--start/--no-start", default=True, show_default=True, help="Start a restored data directory once.")
@click.option("--jobs", type=click.IntRange(1, 32), default=2, show_default=True, help="Jobs of pg_restore.")
@click.option("--dry-run", is_flag=True, help="Only print the plan; change nothing.")
@click.option("--yes", is_flag=True, help="Confirm that files at the target may be overwritten.")
@pass_session
def restore(
    session: Session,
    site: str,
    backup_id: str,
    scope: str,
    target_database: str | None,
    target_bucket: str | None,
    target_prefix: str | None,
    globs: tuple[str, ...],
    on_conflict: str,
    target_directory: Path | None,
    start: bool,
    jobs: int,
    dry_run: bool,
    yes: bool,
) -> None:
    """Restore BACKUP_ID of SITE: a recovery point, a dump, files, or a base backup.

    Without options everything goes into a new database and an empty folder; nothing existing is touched. A base
    backup is a whole database server: it needs --target-directory.
    """
    if on_conflict == Conflict.OVERWRITE and not yes and not dry_run:
        raise click.UsageError("--on-conflict overwrite replaces files at the target; say --yes if you mean it")
    if target_prefix and not target_prefix.endswith("/"):
        raise click.UsageError("--target-prefix is a folder and ends with a slash")
    if target_directory is not None:
        if target_database or target_bucket or target_prefix or globs or scope != RestoreScope.FULL:
            raise click.UsageError(
                "--target-directory restores a whole server; it goes with no other target and no choice"
            )
        if dry_run:
            _plan_server(session, site, backup_id, target_directory, start=start)
        else:
            _restore_server(session, site, backup_id, target_directory, start=start)
        return
    request = RestoreRequest(
        backup_id=backup_id,
        scope=RestoreScope(scope),
        target_database=target_database,
        files_bucket=target_bucket,
        files_prefix=target_prefix,
        globs=globs,
        conflict=Conflict(on_conflict),
        jobs=jobs,
        dry_run=dry_run,
    )
    with _bar(session) as bar:
        tasks = {step: bar.add_task(step, total=None, visible=False) for step in ("database", "files")}
        restored = carry_out(
            session.open(site),
            request,
            now=datetime.now(UTC),
            initiator=session.initiator,
            progress=lambda step, done, total: bar.update(tasks[step], completed=done, total=total, visible=True),
        )
    if session.as_json:
        session.print_json(asdict(restored))
    else:
        _print(session, restored)


def _plan_server(session: Session, site: str, backup_id: str, directory: Path, *, start: bool) -> None:
    plan = plan_server_restore(session.open(site), backup_id, target_directory=directory, start=start)
    if session.as_json:
        session.print_json(asdict(plan))
        return
    session.console.print(
        f"base backup {plan.backup_id} of PostgreSQL {plan.server_version} as of {plan.moment}: "
        f"{size_text(plan.plain_bytes)} in {plan.parts} parts, to {plan.directory}",
        markup=False,
    )
    for blocker in plan.blockers:
        session.console.print(f"  blocker: {blocker}", markup=False)
    session.console.print("dry run: nothing was changed")


def _restore_server(session: Session, site: str, backup_id: str, directory: Path, *, start: bool) -> None:
    with _bar(session) as bar:
        task = bar.add_task("database server", total=None)
        restored = restore_server(
            session.open(site),
            backup_id,
            target_directory=directory,
            start=start,
            initiator=session.initiator,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if session.as_json:
        session.print_json(facts(restored))
        return
    session.console.print(
        f"{restored.base.directory}: PostgreSQL {restored.base.major}, {restored.base.files} files, "
        f"{size_text(restored.base.bytes_written)}, {restored.base.seconds:.1f} s",
        markup=False,
    )
    if restored.databases:
        session.console.print(f"started and asked; its databases: {', '.join(restored.databases)}", markup=False)


def _bar(session: Session) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=session.messages, transient=True, disable=session.as_json)


def _print(session: Session, restored: Restored) -> None:
    plan = restored.plan
    out = session.console
    out.print(f"{plan.site} as of {plan.moment} (point {plan.point})", markup=False)
    if plan.database:
        out.print(f"  {plan.database.target}: {size_text(plan.database.plain_bytes)} of dump", markup=False)
    if plan.files:
        size = size_text(plan.files.plain_bytes)
        out.print(f"  {plan.files.objects} files, {size}, to {plan.files.target}", markup=False)
    for blocker in plan.blockers:
        out.print(f"  blocker: {blocker}", markup=False)
    if restored.dry_run:
        out.print("dry run: nothing was changed")
        return
    if restored.database:
        out.print(f"database {restored.database.database}: {restored.database.tables} tables", markup=False)
    if restored.files:
        out.print(f"files: {restored.files.written} written, {restored.files.kept} left as they were", markup=False)
    out.print(f"done in {restored.seconds:.1f} s")
    for note in plan.notes:
        out.print(f"  now: {note}", markup=False)
