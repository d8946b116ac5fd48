"""What ``make demo`` does, for tests that end it from outside: start Dagster, write down the process ids, wait."""

import json
import os
import sys
import time
from pathlib import Path

from lc2_backup_dagster.demo.servers.dagster import CodeLocation, DagsterProcesses

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    processes = DagsterProcesses(
        directory / "home",
        environment={},
        log_directory=directory / "logs",
        locations=[CodeLocation("lc2_backup", sys.argv[2])],
        preferred_port=3400,
    )
    processes.start()
    report = {"parent": os.getpid(), "group": os.getpgid(processes.pids["daemon"]), **processes.pids}
    (directory / "pids.new").write_text(json.dumps(report))
    (directory / "pids.new").rename(directory / "pids")
    time.sleep(600)
