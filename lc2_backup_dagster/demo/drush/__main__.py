"""The command line of the stand-in: names, aliases and options as drush has them; exit code 0, or 1 for any failure."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from lc2_backup_dagster.demo.drush import commands
from lc2_backup_dagster.demo.drush.console import Console, DrushFailure, UserAbort
from lc2_backup_dagster.demo.drush.storages import StorageError

_STATES = "Only in DB,Only in sync dir,Different"
_ALIASES = {
    **dict.fromkeys(("config:export", "config-export", "cex"), "config:export"),
    **dict.fromkeys(("config:import", "config-import", "cim"), "config:import"),
    **dict.fromkeys(("config:status", "config-status", "cst"), "config:status"),
    **dict.fromkeys(("core:status", "core-status", "status", "st"), "core:status"),
    **dict.fromkeys(("cache:rebuild", "cache-rebuild", "cr", "rebuild"), "cache:rebuild"),
}


class _Parser(ArgumentParser):
    """Fails as Symfony's console does: with 1, not with 2."""

    def error(self, message: str) -> NoReturn:
        raise DrushFailure(message, source="ArgvInput.php")


def main(arguments: Sequence[str], *, environment: Mapping[str, str], console: Console | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command's name and options, in any order.
        environment: holds the site's database and sync directory.
        console: where it is told; this process's streams when None.

    Returns:
        The exit code.
    """
    console = console or Console(sys.stdout, sys.stderr, sys.stdin)
    try:
        run, options = _parsed(arguments)
        answer = True if options.yes else False if options.no else None
        console = Console(console.output, console.errors, console.answers, answer)
        drupal = commands.Drupal(
            database_url=environment.get(commands.DATABASE_VARIABLE),
            sync_directory=environment.get(commands.SYNC_VARIABLE) or None,
            home=Path(environment.get("HOME") or "."),
            now=datetime.now(UTC),
        )
        run(drupal, options, console)
    except UserAbort:
        console.log("error", "Cancelled.")
        return 1
    except StorageError as error:
        console.print_failure(DrushFailure(str(error), source="FileStorage.php"))
        return 1
    except DrushFailure as failure:
        console.print_failure(failure)
        return 1
    return 0


def _parsed(arguments: Sequence[str]):  # noqa: ANN202  a pair of a command and its options
    named = next((word for word in arguments if not word.startswith("-")), "")
    if named not in _ALIASES:
        raise DrushFailure(f'Command "{named}" is not defined.', source="Application.php")
    command = _ALIASES[named]
    parser = _Parser(prog="drush", add_help=False, allow_abbrev=False)
    parser.add_argument("--yes", "-y", action="store_true")
    parser.add_argument("--no", action="store_true")
    parser.add_argument("--root", "-r")
    parser.add_argument("--uri", "-l")
    run: Callable[..., None]
    match command:
        case "config:export":
            run = commands.export
            # Given without a value it asks for a new directory, which is told as an empty text.
            parser.add_argument("--destination", nargs="?", const="")
        case "config:import":
            run = commands.import_
            parser.add_argument("--source")
            parser.add_argument("--partial", action="store_true")
        case "config:status":
            run = commands.status
            parser.add_argument("--format", choices=("table", "json", "list"), default="table")
            parser.add_argument("--state", default=_STATES)
            parser.add_argument("--prefix")
        case "core:status":
            run = commands.core_status
            parser.add_argument("--format", choices=("table", "json"), default="table")
            parser.add_argument("--field")
        case _:
            run = commands.rebuild
    parser.add_argument("command")
    return run, parser.parse_intermixed_args(list(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], environment=os.environ))
