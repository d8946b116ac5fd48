"""The command group and its table of commands."""

import io
import signal
import sys
from typing import Any, NoReturn

import click

from lc2_backup_dagster import __version__
from lc2_backup_dagster.cli.cat import cat
from lc2_backup_dagster.cli.demo import demo
from lc2_backup_dagster.cli.diff import diff
from lc2_backup_dagster.cli.find import find
from lc2_backup_dagster.cli.inspect import check, list_backups, show
from lc2_backup_dagster.cli.keys import keygen
from lc2_backup_dagster.cli.ls import ls
from lc2_backup_dagster.cli.rebuild import rebuild
from lc2_backup_dagster.cli.restore import restore
from lc2_backup_dagster.cli.restore_content_types import restore_content_types
from lc2_backup_dagster.cli.session import Session, fail
from lc2_backup_dagster.cli.verify import verify
from lc2_backup_dagster.cli.wal import wal
from lc2_backup_dagster.cli.wal_receive import wal_receive
from lc2_backup_dagster.model.errors import BackupError

_EPILOG = """\b
Exit codes:
  0  done
  1  failed; the message says what a person can do
  2  wrong usage
  3  not possible right now (a server or store is away, a component is held); try again
  4  stored data is damaged, or the check found problems

Sites are read from the folders in LC2_BACKUP_SITES, or those of --sites."""


class _Commands(click.Group):
    """Ends with the exit code of an error of ours, whoever calls the group."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BackupError as error:
            fail(error)


@click.group(
    cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="lc2-backup")
@click.option("--sites", metavar="FOLDERS", help="Folders of site files, instead of LC2_BACKUP_SITES.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document for machines; JSON Lines where much is listed."
)
@click.pass_context
def group(context: click.Context, sites: str | None, as_json: bool) -> None:
    """Back up and restore Liferay, Drupal and Bloomreach.

    Works on the bucket alone: neither Dagster nor the catalog needs to run.
    """
    context.obj = Session(sites_option=sites, as_json=as_json)


for _command in (
    check,
    list_backups,
    show,
    ls,
    find,
    diff,
    cat,
    verify,
    restore,
    restore_content_types,
    wal_receive,
    wal,
    rebuild,
    keygen,
    demo,
):
    group.add_command(_command)


def main() -> None:
    """Run the command line. TERM ends it like Ctrl-C: a half-restored database is dropped, scratch is emptied."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        # Names of files need not be UTF-8; naming a damaged one must not end in a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    group()


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
