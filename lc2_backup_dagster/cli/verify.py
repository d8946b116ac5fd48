"""``verify``: read what is stored and name everything that is damaged."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from lc2_backup_dagster.cli.session import EXIT_DAMAGED, Session, pass_session, size_text
from lc2_backup_dagster.engines.files.verify.sampling import SampleAim, SampleUnit, percent
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.verify.files import (
    Depth,
    FilesWish,
    require_known,
    require_proven,
    verify_library,
)
from lc2_backup_dagster.operations.verify.verified import Damage, Verified, VerifiedFiles, statement
from lc2_backup_dagster.operations.verify.verify import Library, verify_backup


@click.command()
@click.argument("site")
@click.argument("backup_id", required=False)
@click.option("--all", "every", is_flag=True, help="Every backup of the site instead of one; each file's object once.")
@click.option("--quick", is_flag=True, help="Files by existence, size and etag only; streams are always read whole.")
@click.option("--sample", is_flag=True, help="Read a random sample of the files.")
@click.option("--due", is_flag=True, help="Only files, of all backups: read what would be unread for too long.")
@click.option("--damaged-percent", type=click.FloatRange(0.01, 50), help="Damage that a sample shall find.")
@click.option("--confidence", type=click.FloatRange(50, 99.99), help="Per cent of certainty that a sample finds it.")
@click.option(
    "--of", "unit", type=click.Choice([str(each) for each in SampleUnit]), help="What the damage is a share of."
)
@click.option("--seed", help="Repeat the sample of this seed.")
@click.option("--max-bytes", type=click.IntRange(min=1), help="Begin no further file after so many bytes of files.")
@click.option("--no-keep", is_flag=True, help="Write no results into the repository.")
@pass_session
def verify(
    session: Session,
    site: str,
    backup_id: str | None,
    every: bool,
    quick: bool,
    sample: bool,
    due: bool,
    damaged_percent: float | None,
    confidence: float | None,
    unit: str | None,
    seed: str | None,
    max_bytes: int | None,
    no_keep: bool,
) -> None:
    """Verify the backups of SITE: every part's SHA-256, every file's bytes. Damage is named and ends with code 4.

    BACKUP_ID is a backup or a recovery point; without it, and without --all, the newest of each component.
    """
    if quick + sample + due > 1:
        raise click.UsageError("--quick, --sample and --due exclude each other")
    if due and (backup_id or every):
        raise click.UsageError("--due is about the files of all backups; name no backup")
    if not sample and (damaged_percent or confidence or unit or seed):
        raise click.UsageError("--damaged-percent, --confidence, --of and --seed belong to --sample")
    context = session.open(site)
    depth = Depth.LOOK if quick else Depth.SAMPLE if sample else Depth.DUE if due else Depth.ALL
    wish = FilesWish(
        depth=depth,
        aim=_aim(context.limits.verification.aim, damaged_percent, confidence, unit),
        seed=seed,
        max_bytes=max_bytes,
        keep=not no_keep,
    )
    if due:
        _verify_due(session, context, wish)
    else:
        _verify_backups(session, context, backup_id, every, wish)


def _aim(of_site: SampleAim, damaged: float | None, confidence: float | None, unit: str | None) -> SampleAim:
    return SampleAim(
        share=of_site.share if damaged is None else percent(damaged),
        confidence=of_site.confidence if confidence is None else percent(confidence),
        unit=of_site.unit if unit is None else SampleUnit(unit),
    )


def _verify_backups(
    session: Session, context: SiteContext, backup_id: str | None, every: bool, wish: FilesWish
) -> None:
    verified = _verify(session, context, _chosen(context, backup_id, every), every, wish)
    if session.as_json:
        session.print_json([asdict(each) for each in verified])
    else:
        for each in verified:
            what = f"{each.backup.component} {each.backup.backup_id}"
            _print_state(session, what, each.damages, each.objects, each.stored_bytes, each.files)
        _print_damages(session, [damage for each in verified for damage in each.damages])
    libraries = [each.files for each in verified if each.files is not None]
    _warn(session, libraries)
    if any(each.damages for each in verified):
        sys.exit(EXIT_DAMAGED)
    for library in libraries:
        require_known(library)


def _verify_due(session: Session, context: SiteContext, wish: FilesWish) -> None:
    if context.limits.verification.max_age is None:
        raise ConfigurationError(
            f"site {context.site} sets no age beyond which files must not stay unread",
            hint="set policies.verification.maxAgeDays in its file, or use --sample",
        )
    with _progress(session) as bar:
        task = bar.add_task("files", total=None)
        library = verify_library(context, wish, progress=lambda objects, done: bar.update(task, completed=done))
    if session.as_json:
        session.print_json(asdict(library))
    else:
        what, found = f"files of {len(library.backup_ids)} backups", library.found
        _print_state(session, what, library.damages, found.objects, found.stored_bytes, library)
        _print_damages(session, library.damages)
    _warn(session, [library])
    require_proven(library)


def _print_state(
    session: Session,
    what: str,
    damages: Sequence[Damage],
    objects: int,
    stored_bytes: int,
    library: VerifiedFiles | None,
) -> None:
    state = f"[red]{len(damages)} damaged[/]" if damages else "[green]whole[/]"
    if library is not None and not damages and library.found.read_objects < library.found.objects:
        state = "[green]no damage found[/]"
    session.console.print(f"{what}: {state}, {objects} objects, {size_text(stored_bytes)}")
    if library is not None:
        session.console.print(f"  {statement(library)}", markup=False)


def _print_damages(session: Session, damages: Sequence[Damage]) -> None:
    for damage in damages:
        session.console.print(f"  {damage.key}: {damage.reason}", markup=False)
        for file in damage.affected:
            session.console.print(f"    needed by {file}", markup=False)


def _warn(session: Session, libraries: Sequence[VerifiedFiles]) -> None:
    for library in libraries:
        if library.found.unkept is not None:
            session.messages.print(f"the results are not kept: {library.found.unkept}", markup=False)
        for key, reason in library.found.ignored.items():
            session.messages.print(f"earlier results are ignored: {key}: {reason}", markup=False)


def _chosen(context: SiteContext, backup_id: str | None, every: bool) -> list[str]:
    if backup_id:
        return [backup_id]
    backups = context.open_repository(False).backups()
    chosen = backups if every else list({each.component: each for each in backups}.values())
    # Points first: verifying one verifies its members, which are then not read again.
    return [each.backup_id for each in sorted(chosen, key=lambda each: each.component is not Component.RECOVERY_POINT)]


def _verify(session: Session, context: SiteContext, ids: list[str], every: bool, wish: FilesWish) -> list[Verified]:
    found: dict[str, Verified] = {}
    library = Library.OF_ALL_BACKUPS if every else Library.OWN
    with _progress(session) as bar:
        for backup_id in ids:
            if backup_id in found:
                continue  # a recovery point has verified it as its member
            task = bar.add_task(backup_id, total=None)
            for each in verify_backup(
                context,
                backup_id,
                deep=wish.depth is not Depth.LOOK,
                files=wish,
                library=library,
                progress=lambda objects, done, task=task: bar.update(task, completed=done),
            ):
                found.setdefault(each.backup.backup_id, each)
                if each.files is not None and every:
                    library = Library.NOT  # the first one has verified the files of all
            bar.remove_task(task)
    return list(found.values())


def _progress(session: Session) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=session.messages, transient=True, disable=session.as_json)
