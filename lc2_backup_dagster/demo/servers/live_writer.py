"""Run the process that lets the demo's sites live (``demo.live``)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lc2_backup_dagster.demo.servers.supervised import SupervisedProcess

OWNER_PASSWORD = "LC2_DEMO_OWNER_PASSWORD"  # noqa: S105 - the variable's name


class LiveWriterProcess(SupervisedProcess):
    """A supervised writer of some sites. Asked to end it ends the changes that are under way first.

    Args:
        sites: which.
        environment: variables beside those of this process: addresses, secrets.
        log_file: takes its errors, and when it was started again.
    """

    def __init__(self, sites: Sequence[str], *, environment: Mapping[str, str], log_file: Path) -> None:
        arguments = ["-m", "lc2_backup_dagster.demo.live", *sites]
        super().__init__("live-writer", arguments, environment=environment, log_file=log_file)
