"""``restore``: bring data back, into new places."""

from pathlib import Path

import click

from lc2_backup_dagster.cli.restore_files import check_file_options, component_of, restore_point
from lc2_backup_dagster.cli.restore_physical import (
    ServerWish,
    TargetOptions,
    parse_tablespaces,
    plan_server,
    restore_a_server,
    restore_one_file,
    restore_some_objects,
)
from lc2_backup_dagster.cli.session import Session, pass_session
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.recovery_target import IMMEDIATE
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope


@click.command()
@click.argument("site")
@click.argument("backup_id", required=False)
@click.option(
    "--scope",
    type=click.Choice([str(each) for each in RestoreScope]),
    help="What of a recovery point. [default: full; files, when --file, --key or --below choose some]",
)
@click.option("--target-database", metavar="NAME", help="Name of the new database. [default: source's name and time]")
@click.option("--target-bucket", metavar="BUCKET", help="Bucket or directory for the files. [default: restore.files]")
@click.option("--target-prefix", metavar="FOLDER/", help="Folder below it. [default: the backup's id]")
@click.option("--file", "globs", multiple=True, metavar="GLOB", help="Only files that match; may be repeated.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Only this file, its key as it is; may be repeated.")
@click.option("--below", default="", metavar="PREFIX", help="Only files whose key begins with this text.")
@click.option(
    "--on-conflict",
    type=click.Choice([str(each) for each in Conflict]),
    default="refuse",
    show_default=True,
    help="What happens to files that are there: write nothing at all; leave them; or replace those that differ, which "
    "asks for --confirm.",
)
@click.option("--checksum", is_flag=True, help="Compare the bytes of files that are there, not etags and times.")
@click.option(
    "--delete-extra",
    is_flag=True,
    help="With overwrite: in the end delete what the target has and the backup has not. Asks for --confirm.",
)
@click.option(
    "--remove-orphans",
    is_flag=True,
    help="In the end remove those of the files that this restore has brought that no row of the restored database "
    "names; never generated ones, never others.",
)
@click.option(
    "--import-configuration",
    is_flag=True,
    help="In the end run restore.configuration.importCommand on the restored configuration.",
)
@click.option(
    "--invalidate-cdn/--no-invalidate-cdn",
    default=None,
    help="In the end tell the CDN of restore.files.cdn of the files that were written or deleted, or do not. [default: "
    "only where they go into the application's own store]",
)
@click.option("--confirm", metavar="TARGET", help="Name of the target where files may be lost, as --dry-run prints it.")
@click.option(
    "--target-directory",
    type=click.Path(path_type=Path),
    help="Data directory for a base backup; for files a directory instead of a bucket.",
)
@click.option(
    "--configuration-directory",
    type=click.Path(path_type=Path),
    help="New directory for the documents of the configuration. [default: below restore.configuration.directory]",
)
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
@click.option("--dry-run", is_flag=True, help="Only print the plan, and what would happen to files; change nothing.")
@click.option("--yes", is_flag=True, help="Confirm that --delta may overwrite and delete in the directory.")
@pass_session
def restore(
    session: Session,
    site: str,
    backup_id: str | None,
    scope: str | None,
    target_database: str | None,
    target_bucket: str | None,
    target_prefix: str | None,
    globs: tuple[str, ...],
    keys: tuple[str, ...],
    below: str,
    on_conflict: str,
    checksum: bool,
    delete_extra: bool,
    remove_orphans: bool,
    import_configuration: bool,
    invalidate_cdn: bool | None,
    confirm: str | None,
    target_directory: Path | None,
    configuration_directory: Path | None,
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

    Without options everything goes into a new database and an empty folder; nothing existing is touched. --below,
    --file and --key choose files; of a version that `lc2-backup find` showed, name its backup and its key. A base
    backup is a whole database server: it needs --target-directory. With --to-time and its like archived WAL is
    replayed to that moment; without BACKUP_ID the newest backup before it is taken. --source-database brings one
    database of a base backup back into a new one, --path one file.
    """
    target = TargetOptions(to_time, to_lsn, to_name, to_xid, to_latest, exclusive, target_timeline).target()
    chosen = bool(globs or keys or below)
    # Whoever names a file means that file, and not the database with it.
    wanted = RestoreScope(scope) if scope else RestoreScope.FILES if chosen else RestoreScope.FULL
    of_files = bool(chosen or target_bucket or target_prefix or checksum or delete_extra or remove_orphans or confirm)
    of_files |= import_configuration or invalidate_cdn is not None
    elsewhere = of_files or wanted is not RestoreScope.FULL
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
    request = RestoreRequest(
        backup_id=backup_id or "",
        scope=wanted,
        target_database=target_database,
        files_bucket=target_bucket,
        files_prefix=target_prefix,
        files_directory=target_directory.absolute() if target_directory else None,
        configuration_directory=configuration_directory.absolute() if configuration_directory else None,
        globs=globs,
        below=below,
        keys=keys,
        conflict=Conflict(on_conflict),
        checksum=checksum,
        delete_extra=delete_extra,
        remove_orphans=remove_orphans,
        import_configuration=import_configuration,
        invalidate_cdn=invalidate_cdn,
        confirm=confirm,
        jobs=jobs,
        dry_run=dry_run,
    )
    check_file_options(request, yes=yes)
    component = component_of(session, site, backup_id) if target_directory else None
    if target_directory is not None and wanted is not RestoreScope.FILES and component is not Component.FILES:
        if target_database or elsewhere or tables:
            raise click.UsageError(
                "--target-directory restores a whole server; it goes with no other target and no choice"
            )
        if delta and not yes and not dry_run:
            raise click.UsageError("--delta overwrites and deletes files in the directory; say --yes if you mean it")
        wish = ServerWish(
            site, backup_id, target_directory, target, start, delta, parse_tablespaces(tablespaces), check_pages
        )
        if component is Component.RECOVERY_POINT:
            raise click.UsageError(
                "of a recovery point only files go to --target-directory, with --scope files; a database server is "
                "restored from a base backup"
            )
        (plan_server if dry_run else restore_a_server)(session, wish)
        return
    if target != IMMEDIATE or delta or tablespaces or check_pages or tables or output:
        raise click.UsageError("recovery targets and their options need --target-directory or --source-database")
    if backup_id is None:
        raise click.UsageError("name the backup to restore; lc2-backup list shows them")
    restore_point(session, site, request)
