"""The progress bar of restores: files, bytes, rate and time remaining."""

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from lc2_backup_dagster.cli.session import Session
from lc2_backup_dagster.operations.restore.run import StepDone


class _FilesColumn(ProgressColumn):
    """Files done of those in all; empty for steps that have none."""

    def render(self, task: Task) -> Text:
        return Text(task.fields.get("files", ""), style="progress.filesize")


def restore_bar(session: Session) -> Progress:
    """Return a bar on standard error that vanishes at the end; nothing is shown to machines."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        _FilesColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=session.messages, transient=True, disable=session.as_json)


class RestoreSteps:
    """Shows the steps of a restore in a bar, each from its first report on.

    Args:
        bar: the bar.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def show(self, done: StepDone) -> None:
        """Take a report."""
        if done.step not in self._tasks:
            self._tasks[done.step] = self._bar.add_task(done.step, total=None)
        files = "" if done.objects is None else f"{done.objects:,}/{done.total_objects or 0:,} files"
        self._bar.update(self._tasks[done.step], completed=done.done_bytes, total=done.total_bytes, files=files)
