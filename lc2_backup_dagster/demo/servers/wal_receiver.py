"""Run `lc2-backup wal-receive` beside the demo. Asked to end it stores what it has received first."""

from collections.abc import Mapping
from pathlib import Path

from lc2_backup_dagster.demo.servers.supervised import SupervisedProcess

_PROGRAM = "from lc2_backup_dagster.cli.main import main; main()"


class WalReceiverProcess(SupervisedProcess):
    """A supervised receiver of one site.

    Args:
        site: whose WAL.
        environment: variables beside those of this process: site files, secrets.
        log_file: takes what it says, and when it was started again.
    """

    def __init__(self, site: str, *, environment: Mapping[str, str], log_file: Path) -> None:
        arguments = ["-c", _PROGRAM, "wal-receive", site]
        super().__init__("wal-receiver", arguments, environment=environment, log_file=log_file)
