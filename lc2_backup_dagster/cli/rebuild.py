"""``rebuild``: make the catalog again from the bucket alone."""

import os

import click

from lc2_backup_dagster.cli.session import Session, pass_session
from lc2_backup_dagster.model.errors import BackupError, RecoveryPointNotFound
from lc2_backup_dagster.operations.catalog import CATALOG_VARIABLE, open_catalog, rebuild_catalog


@click.command()
@click.argument("sites", nargs=-1)
@pass_session
def rebuild(session: Session, sites: tuple[str, ...]) -> None:
    """Make the catalog again from the buckets alone, for the SITES named or for all.

    Reads and proves every record of the commit logs. The catalog is the PostgreSQL database in LC2_BACKUP_CATALOG_URL.
    """
    catalog = open_catalog(os.environ)
    if catalog is None:
        raise click.UsageError(f"{CATALOG_VARIABLE} is not set: there is no catalog to rebuild")
    told: dict[str, int] = {}
    failures: list[tuple[str, BackupError]] = []
    with catalog:
        for name in sites or tuple(str(each.site_id) for each in session.sites.sites):
            try:
                told |= rebuild_catalog(catalog, [session.open(name).open_repository(False)])
            except RecoveryPointNotFound:
                told[name] = 0  # a new site: nothing was backed up yet
            except BackupError as error:
                failures.append((name, error))
    if session.as_json:
        session.print_json(told)
    else:
        for name, records in told.items():
            session.console.print(f"{name}: {records} records replayed", markup=False)
    for name, error in failures:
        session.messages.print(f"{name}: {error}", markup=False)
    if failures:
        raise failures[0][1]
