"""One operation in a process of its own; prints what it did as one JSON line."""

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.capture.shards import begin_shards, capture_shard, commit_shards
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster.operations.restore.server import restore_server
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.sites.assembly import open_site
from lc2_backup_dagster.sites.loader import load_sites

_WHO = Initiator(actor="benchmark", source="cli")
_CAPTURES = {
    "database": (capture_database, WindowLength.HOURLY),
    "dump": (capture_database_dump, WindowLength.DAILY),
    "files": (capture_site_files, WindowLength.DAILY),
}


def main() -> None:
    """Run the task named on the command line over the only site of a folder."""
    task, folder, *arguments = sys.argv[1:]
    began = time.monotonic()
    context = open_site(load_sites([Path(folder)], environment=os.environ).sites[0], environment=os.environ).context
    told: dict[str, object] = {}
    if task in _CAPTURES:
        capture, length = _CAPTURES[task]
        now = datetime.now(UTC)
        captured = capture(context, window=Window.around(now, length=length), asked_at=now, initiator=_WHO)
        told = {
            "backup_id": captured.backup.backup_id,
            "first_byte_seconds": captured.first_byte_seconds,
            **captured.backup.summary,
        }
    elif "shards" in task:
        told = in_shards(context, task, *arguments)
    elif task == "restore-server":
        backup_id, target = arguments
        restore_server(context, backup_id, target_directory=Path(target), start=False, initiator=_WHO)
    else:
        backup_id, target = arguments
        scope = RestoreScope.DATABASE if task == "restore-dump" else RestoreScope.FILES
        request = RestoreRequest(backup_id, scope=scope, target_database=target, files_prefix=f"{target}/")
        restore(context, request, now=datetime.now(UTC), initiator=_WHO)
    told |= {
        "operation_seconds": time.monotonic() - began,
        "peak_bytes": peak_bytes(),
    }
    print(json.dumps(told))


def in_shards(context: SiteContext, task: str, ticket: str, number: str = "") -> dict[str, object]:
    """Carry out one step of a capture in shards, or all of them one after the other."""
    now = datetime.now(UTC)
    if task in ("files-shards", "shards-begin"):
        window = Window.around(now, length=WindowLength.DAILY)
        begin_shards(context, window=window, asked_at=now, initiator=_WHO, ticket=ticket)
    numbers = [int(number)] if number else range(len(context.files.shards) + 1)
    if task in ("files-shards", "shards-capture"):
        for each in numbers:
            capture_shard(context, each, ticket=ticket, initiator=_WHO)
    if task in ("files-shards", "shards-commit"):
        return dict(commit_shards(context, ticket=ticket, initiator=_WHO).backup.summary)
    return {}


def peak_bytes() -> int:
    """Return the largest resident memory of this process; ``ru_maxrss`` would inherit that of its parent."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
