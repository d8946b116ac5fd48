"""Fill windows that have ended, from what was recorded then; or say which moments can be restored instead (L-32)."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.recovery_target import IMMEDIATE, RecoveryTarget
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.capture.captured import Captured, moments
from lc2_backup_dagster.operations.capture.frame import CaptureFrame
from lc2_backup_dagster.operations.capture.wal_promise import commit_promise, promised_segments
from lc2_backup_dagster.operations.capture.windows import not_restorable
from lc2_backup_dagster.operations.restore.scratch import scratch_restore
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.wal.physical_reach import Reach, latest_reach, restorable_moments
from lc2_backup_dagster.repository.record import Initiator


def promise_past_window(context: SiteContext, *, window: Window, initiator: Initiator) -> Captured:
    """Record that a past window of the database can be restored: the promise is checked, nothing is copied.

    Raises:
        WindowNotRestorable: no base, and no WAL behind one, reaches into the window; the nearest moments are named.
        BackupError: everything the repository raises.
    """
    frame = CaptureFrame.of_a_window(context, Component.DATABASE, window=window)
    reach = reach_into(frame)
    return commit_promise(frame, reach, reason=_reason(reach), initiator=initiator)


def reach_into(frame: CaptureFrame) -> Reach:
    """Return the latest moments of a past window that can be restored physically.

    Raises:
        WindowNotRestorable: there are none; the nearest are named.
    """
    reach = latest_reach(frame.repository, frame.window)
    if reach is None:
        restorable = [*restorable_moments(frame.repository), *moments(frame.earlier)]
        raise not_restorable(frame.window, what=frame.what, restorable=restorable)
    return reach


@contextmanager
def server_as_of(
    context: SiteContext, reach: Reach, *, progress: Callable[[int, int | None], None]
) -> Generator[Server]:
    """Yield a private server with the data of the latest moment of a reach; it is gone afterwards.

    Raises:
        BackupError: everything a restore raises.
    """
    target = IMMEDIATE
    if reach.coverage is not None:
        # The way that was measured, also where another timeline has been archived since.
        timeline = reach.coverage.timelines[-1][0]
        target = RecoveryTarget("time", to_text(reach.moment.restorable_until), timeline=timeline)
    with scratch_restore(context, reach.base.backup_id, target=target, progress=progress) as server:
        yield server


def _reason(reach: Reach) -> str:
    if reach.coverage is None:
        return f"the past window holds the moment of {reach.base.backup_id}; nothing is copied"
    segments = promised_segments(reach)
    named = f" ({segments[0]} to {segments[-1]})" if segments else ""
    return (
        f"{len(segments)} archived WAL segments{named} reach without a gap from {reach.base.backup_id} to "
        f"{to_text(reach.moment.restorable_until)} in the past window; nothing is copied"
    )
