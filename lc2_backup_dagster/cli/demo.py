"""``demo``: servers, three seeded sites that live, a backup, a restore, a comparison, and the UI."""

import signal
from pathlib import Path
from typing import NoReturn

import click

from lc2_backup_dagster.cli.session import Session, pass_session


@click.command()
@click.option("--once", is_flag=True, help="End after the summary; the exit code is not 0 when anything differed.")
@click.option("--still", is_flag=True, help="Nobody changes the sites while they are backed up.")
@click.option("--clean", is_flag=True, help="Remove everything the demo made.")
@click.option(
    "--home", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True, help="Where the demo lives."
)
@click.option(
    "--megabytes", type=click.IntRange(min=10), default=200, show_default=True, help="Size of Liferay's database."
)
@click.option(
    "--documents",
    type=click.IntRange(min=10),
    default=3200,
    show_default=True,
    help="Documents of Liferay, and media of Bloomreach, to seed.",
)
@pass_session
def demo(session: Session, once: bool, still: bool, clean: bool, home: Path, megabytes: int, documents: int) -> None:
    """Back up and restore three seeded sites on this machine, with nothing but this Python environment."""
    # The demo's servers come with an extra; other commands work without it.
    from lc2_backup_dagster.demo.run import clean_demo, run_demo
    from lc2_backup_dagster.demo.seed.scale import LiferayScale

    if clean:
        clean_demo(home)
        return
    # An end by TERM stops the servers like Ctrl-C does; started with & from a script, even INT would be ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    scale = LiferayScale(size_bytes=megabytes * 1024 * 1024, documents=documents)
    run_demo(home, once=once, alive=not still, scale=scale, console=session.console)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
