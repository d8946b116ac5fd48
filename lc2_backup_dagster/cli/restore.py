"""``restore``: bring data back, into new places."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from lc2_backup_dagster.cli.restore_physical import (
    ServerWish,
    TargetOptions,
    parse_tablespaces,
    plan_server,
    restore_a_server,
    restore_one_file,
    restore_some_objects,
)
from lc2_backup_dagster.cli.restore_progress import restore_bar
from lc2_backup_dagster.cli.session import Session, pass_session, size_text
from lc2_backup_dagster.engines.files.remarks import remarks
from lc2_backup_dagster.engines.files.writing import Conflict
from lc2_backup_dagster.model.recovery_target import IMMEDIATE
from lc2_backup_dagster.operations.restore import Restored
from lc2_backup_dagster.operations.restore import restore as carry_out
from lc2_backup_dagster.operations.restore_request import RestoreRequest, RestoreScope


@click.command()
@click.argument("site")
@click.argument("backup_id", required=False)
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
@click.option("--to-time", metavar="TIME", help="Recover to this time; it needs a zone: 2026-11-23T14:05:00Z.")
@click.option("--to-lsn", metavar="LSN", help="Recover to this WAL position.")
@click.option("--to-name", metavar="NAME", help="Recover to this restore point.")
@click.option("--to-xid", metavar="XID", help="Recover to the commit of this transaction.")
@click.option("--to-latest", is_flag=True, help="Recover to the end of the archived WAL.")
@click.option("--exclusive", is_flag=True, help="Stop just before the target instead of behind it.")
@click.option("--target-timeline", type=int, metavar="N", help="Timeline to follow. [default: the newest]")
@click.option("--delta", is_flag=True, help="Write into an existing directory of the same system. Asks for --yes.")
@click.option("--tablespace", "tablespaces", multiple=True, metavar="OID=DIR", help="New directory of a tablespace.")
@click.option("--start/--no-start", default=True, show_default=True, help="Start a restored data directory once.")
@click.option("--check-pages", is_flag=True, help="Prove the checksum of every page of the restored directory.")
@click.option("--source-database", metavar="NAME", help="Only this database out of a base backup.")
@click.option("--table", "tables", multiple=True, metavar="[SCHEMA.]TABLE", help="Only this table; may be repeated.")
@click.option("--path", metavar="PATH", help="Only this file of the data directory, like base/5/1259.")
@click.option("--output", type=click.Path(path_type=Path), help="Where the file of --path goes.")
@click.option("--jobs", type=click.IntRange(1, 32), default=2, show_default=True, help="Jobs of pg_restore.")
@click.option("--dry-run", is_flag=True, help="Only print the plan; change nothing.")
@click.option("--yes", is_flag=True, help="Confirm that what is at the target may be overwritten.")
@pass_session
def restore(
    session: Session,
    site: str,
    backup_id: str | None,
    scope: str,
    target_database: str | None,
    target_bucket: str | None,
    target_prefix: str | None,
    globs: tuple[str, ...],
    on_conflict: str,
    target_directory: Path | None,
    to_time: str | None,
    to_lsn: str | None,
    to_name: str | None,
    to_xid: str | None,
    to_latest: bool,
    exclusive: bool,
    target_timeline: int | None,
    delta: bool,
    tablespaces: tuple[str, ...],
    start: bool,
    check_pages: bool,
    source_database: str | None,
    tables: tuple[str, ...],
    path: str | None,
    output: Path | None,
    jobs: int,
    dry_run: bool,
    yes: bool,
) -> None:
    """Restore BACKUP_ID of SITE: a recovery point, a dump, files, or a base backup.

    Without options everything goes into a new database and an empty folder; nothing existing is touched. A base
    backup is a whole database server: it needs --target-directory. With --to-time and its like archived WAL is
    replayed to that moment; without BACKUP_ID the newest backup before it is taken. --source-database brings one
    database of a base backup back into a new one, --path one file.
    """
    if on_conflict == Conflict.OVERWRITE and not yes and not dry_run:
        raise click.UsageError("--on-conflict overwrite replaces files at the target; say --yes if you mean it")
    if target_prefix and not target_prefix.endswith("/"):
        raise click.UsageError("--target-prefix is a folder and ends with a slash")
    target = TargetOptions(to_time, to_lsn, to_name, to_xid, to_latest, exclusive, target_timeline).target()
    elsewhere = bool(target_bucket or target_prefix or globs or scope != RestoreScope.FULL)
    if path is not None:
        if backup_id is None or output is None or target_directory or source_database or elsewhere or target.value:
            raise click.UsageError("--path needs BACKUP_ID and --output, and goes with no other target")
        restore_one_file(session, site, backup_id, path=path, output=output)
        return
    if source_database is not None:
        if target_database is None or target_directory or elsewhere or dry_run:
            raise click.UsageError("--source-database needs --target-database and goes with no other target")
        restore_some_objects(
            session, site, backup_id, source_database=source_database, tables=tables,
            target_database=target_database, target=target, jobs=jobs,
        )  # fmt: skip
        return
    if target_directory is not None:
        if target_database or elsewhere or tables:
            raise click.UsageError(
                "--target-directory restores a whole server; it goes with no other target and no choice"
            )
        if delta and not yes and not dry_run:
            raise click.UsageError("--delta overwrites and deletes files in the directory; say --yes if you mean it")
        wish = ServerWish(
            site, backup_id, target_directory, target, start, delta, parse_tablespaces(tablespaces), check_pages
        )
        (plan_server if dry_run else restore_a_server)(session, wish)
        return
    if target != IMMEDIATE or delta or tablespaces or check_pages or tables or output:
        raise click.UsageError("recovery targets and their options need --target-directory or --source-database")
    if backup_id is None:
        raise click.UsageError("name the backup to restore; lc2-backup list shows them")
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
    with restore_bar(session) as bar:
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
        for remark in remarks(restored.files):
            out.print(f"  {remark}", markup=False)
    out.print(f"done in {restored.seconds:.1f} s")
    for note in plan.notes:
        out.print(f"  now: {note}", markup=False)
