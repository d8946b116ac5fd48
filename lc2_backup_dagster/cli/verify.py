"""``verify``: read what is stored and name everything that is damaged."""

import sys
from dataclasses import asdict

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from lc2_backup_dagster.cli.session import EXIT_DAMAGED, Session, pass_session, size_text
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.verify import Verified, verify_backup


@click.command()
@click.argument("site")
@click.argument("backup_id", required=False)
@click.option("--all", "every", is_flag=True, help="Every backup of the site instead of one.")
@click.option("--quick", is_flag=True, help="Files by existence and size only; streams are always read whole.")
@pass_session
def verify(session: Session, site: str, backup_id: str | None, every: bool, quick: bool) -> None:
    """Verify the backups of SITE: every part's SHA-256, every file's bytes. Damage is named and ends with code 4.

    BACKUP_ID is a backup or a recovery point; without it, and without --all, the newest of each component.
    """
    context = session.open(site)
    verified = _verify(session, context, _chosen(context, backup_id, every), deep=not quick)
    damages = [damage for each in verified for damage in each.damages]
    if session.as_json:
        session.print_json([asdict(each) for each in verified])
    else:
        for each in verified:
            state = f"[red]{len(each.damages)} damaged[/]" if each.damages else "[green]whole[/]"
            session.console.print(
                f"{each.backup.component} {each.backup.backup_id}: {state}, {each.objects} objects, "
                f"{size_text(each.stored_bytes)}"
            )
        for damage in damages:
            session.console.print(f"  {damage.key}: {damage.reason}", markup=False)
            for file in damage.affected:
                session.console.print(f"    needed by {file}", markup=False)
    if damages:
        sys.exit(EXIT_DAMAGED)


def _chosen(context: SiteContext, backup_id: str | None, every: bool) -> list[str]:
    if backup_id:
        return [backup_id]
    backups = context.open_repository(False).backups()
    chosen = backups if every else list({each.component: each for each in backups}.values())
    # Points first: verifying one verifies its members, which are then not read again.
    return [each.backup_id for each in sorted(chosen, key=lambda each: each.component is not Component.RECOVERY_POINT)]


def _verify(session: Session, context: SiteContext, ids: list[str], *, deep: bool) -> list[Verified]:
    found: dict[str, Verified] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=session.messages, transient=True, disable=session.as_json) as bar:
        for backup_id in ids:
            if backup_id in found:
                continue  # a recovery point has verified it as its member
            task = bar.add_task(backup_id, total=None)
            for each in verify_backup(
                context,
                backup_id,
                deep=deep,
                progress=lambda objects, done, task=task: bar.update(task, completed=done),
            ):
                found[each.backup.backup_id] = each
            bar.remove_task(task)
    return list(found.values())
