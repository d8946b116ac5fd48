"""The progress bar of restores."""

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from lc2_backup_dagster.cli.session import Session


def restore_bar(session: Session) -> Progress:
    """Return a bar on standard error that vanishes at the end; nothing is shown to machines."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=session.messages, transient=True, disable=session.as_json)
