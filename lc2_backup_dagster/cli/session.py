"""What every command shares: the sites, how output is wanted, who asks, and what errors mean for the shell."""

import getpass
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console

from lc2_backup_dagster.model.errors import BackupError, IntegrityError, TransientError
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.model.sizes import readable_bytes
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.sites.assembly import open_site
from lc2_backup_dagster.sites.loader import LoadedSites, load_sites, site_folders

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TRY_AGAIN = 3
EXIT_DAMAGED = 4

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass
class Session:
    """One call of the command line.

    Attributes:
        sites_option: folders of site files given on the command line, or None for the environment's.
        as_json: whether output is for machines.
    """

    sites_option: str | None
    as_json: bool
    _opened: dict[str, SiteContext] = field(default_factory=dict[str, SiteContext])

    @cached_property
    def console(self) -> Console:
        """Tables and sentences; wide where the output is no terminal, so that nothing is cut in a log."""
        return Console(width=None if sys.stdout.isatty() else 200, highlight=False)

    @cached_property
    def messages(self) -> Console:
        """Progress and warnings, on standard error."""
        return Console(stderr=True, highlight=False)

    @cached_property
    def sites(self) -> LoadedSites:
        """All site files."""
        return load_sites(site_folders(os.environ, given=self.sites_option), environment=os.environ)

    def open(self, site: str) -> SiteContext:
        """Open one site, once in a call: what it has proven of the log need not be proven again.

        Raises:
            ConfigurationError: unknown, or a secret is missing from the environment.
        """
        if site not in self._opened:
            self._opened[site] = open_site(self.sites.site(SiteId.parse(site)), environment=os.environ).context
        return self._opened[site]

    @property
    def initiator(self) -> Initiator:
        """Who runs the command."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a passwd entry
            user = str(os.getuid())
        return Initiator(actor=f"user:{user}", source="cli")

    def print_json(self, value: object) -> None:
        """Print one JSON document."""
        click.echo(json.dumps(value, indent=2, default=str))


pass_session = click.make_pass_decorator(Session)


def fail(error: BackupError) -> NoReturn:
    """Print an error for people and leave with the exit code of its family."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
    console.print(error.message, markup=False)
    if error.hint:
        console.print("[bold]hint[/]: ", end="")
        console.print(error.hint, markup=False)
    sys.exit(exit_code(error))


def exit_code(error: BackupError) -> int:
    """Return the exit code of an error's family."""
    if isinstance(error, IntegrityError):
        return EXIT_DAMAGED
    return EXIT_TRY_AGAIN if isinstance(error, TransientError) else EXIT_FAILED


def size_text(count: int | None) -> str:
    """Return a size as people read it, or a dash where there is none."""
    return "—" if count is None else readable_bytes(count)
