"""`lc2-backup demo`: from nothing to three restored and compared sites, then the UI with its schedules running."""

import fcntl
import shutil
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lc2_backup_dagster.demo.journey import walk
from lc2_backup_dagster.demo.platform import running_platform
from lc2_backup_dagster.demo.report import JourneyReport
from lc2_backup_dagster.demo.seed.scale import LiferayScale
from lc2_backup_dagster.demo.servers.dagster import DagsterProcesses
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.demo.sites.all_sites import ALL_SITES
from lc2_backup_dagster.demo.state import DemoState
from lc2_backup_dagster.model.errors import ComponentBusy, RestoreMismatch

_LOCK = "lock"


def run_demo(home: Path, *, once: bool, alive: bool, scale: LiferayScale, console: Console) -> None:
    """Run the demo over a home directory; a second call goes on where the first was.

    Args:
        home: everything of the demo lies here.
        once: end after the summary instead of serving the UI.
        alive: let people change the sites while they are backed up.
        scale: size of the seed.
        console: where it is told.

    Raises:
        RestoreMismatch: something restored differs from its source.
        BackupError: a server did not start, or a run failed.
    """

    def say(text: str) -> None:
        console.print(f"[dim]·[/] {text}", highlight=False)

    home = home.absolute()
    with _alone(home):
        state = DemoState.load(home)
        with running_platform(home, state, scale=scale, say=say, alive=alive) as platform:
            processes = DagsterProcesses(
                home / "dagster", environment=platform.environment, log_directory=home / "logs"
            )
            say("starting Dagster: code server, daemon, web server …")
            with processes:
                say(f"the UI is at {processes.url}")
                try:
                    report = walk(platform, processes.client(), state, home=home, say=say)
                finally:
                    state.save(home)
                _print(console, report)
                if not report.identical:
                    raise RestoreMismatch("what was restored differs from its source; see the summary above")
                if not once:
                    _serve(console, processes)


def clean_demo(home: Path) -> None:
    """Remove everything the demo made; does nothing where there is none.

    Raises:
        ComponentBusy: a demo is running.
    """
    home = home.absolute()
    if not home.exists():
        return
    with _alone(home):
        for site in ALL_SITES:
            PostgresServer(home / site.server, password="").remove()
        shutil.rmtree(home)


@contextmanager
def _alone(home: Path) -> Generator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ComponentBusy(
                f"a demo runs over {home} already", hint="stop it with Ctrl-C, or use its UI"
            ) from error
        yield


def _print(console: Console, report: JourneyReport) -> None:
    for site in report.sites:
        table = Table(title=f"{site.site}: backed up, restored, compared", show_header=False, title_justify="left")
        for label, text in site.rows:
            table.add_row(label, text)
        table.add_row("verdict", _verdict(site.identical))
        console.print(table)
    console.print(
        f"{len(report.sites)} sites: {_verdict(report.identical)}, {report.seconds:.0f} s from the first launch to the "
        "end of the last comparison",
        highlight=False,
    )


def _verdict(identical: bool) -> str:
    return "[green]identical[/]" if identical else "[red]DIFFERENT[/]"


def _serve(console: Console, processes: DagsterProcesses) -> None:
    console.print(
        f"\nThe UI is at [bold]{processes.url}[/], schedules are running. To restore by hand: Assets → retail/liferay/"
        "restore → Materialize, pick a recovery point. Ctrl-C stops everything; `make demo` goes on where it was, "
        "`make clean-demo` removes it.",
        highlight=False,
    )
    stopped = threading.Event()

    def stop(number: int, frame: object) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    while not stopped.wait(1.0):
        processes.check_alive()
    console.print("stopping …")
