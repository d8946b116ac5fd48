"""Wait until archived WAL has caught up with a server: a receiver may hold back what it has got for a while."""

import time
from collections.abc import Callable
from datetime import datetime

from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.operations.site_context import WalSettings
from lc2_backup_dagster.repository.wal.archive import WalArchive
from lc2_backup_dagster.repository.wal.header import Position

_PATIENCE_SECONDS = 10


def caught_up(
    archive: WalArchive,
    wanted: Lsn,
    settings: WalSettings,
    *,
    at: datetime | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Position | None:
    """Wait for a position, as long as a receiver may hold back WAL and a little longer; then take what there is.

    Args:
        archive: the system's archive.
        wanted: the position that shall arrive.
        settings: of the receiver.
        at: a time that shall be covered as well.
        sleep: waits between two looks.

    Returns what the receiver said last; None, at once, when it never said anything.
    """
    position: Position | None = None
    for _ in range(3 * settings.partial_seconds + _PATIENCE_SECONDS):
        position = archive.position()
        if position is None:
            return None
        has_arrived = (position.timeline, position.sample.lsn) >= (wanted.timeline, wanted.value)
        if has_arrived and (at is None or position.sample.time >= at):
            break
        sleep(1.0)
    return position
