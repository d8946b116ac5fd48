"""A backup that copies nothing: the promise that a base and archived WAL behind it restore moments of a window."""

import time
from collections.abc import Callable
from typing import Any

from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.choose_strategy import ArchivedWal, ServerState
from lc2_backup_dagster.operations.capture.frame import CaptureFrame
from lc2_backup_dagster.operations.chains import by_id, chain_of, position_of
from lc2_backup_dagster.operations.site_context import WalSettings
from lc2_backup_dagster.operations.wal.catching_up import caught_up
from lc2_backup_dagster.operations.wal.physical_reach import Reach, coverage_behind, needed_segments, wal_range
from lc2_backup_dagster.repository.attempt import ManifestDraft
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository


def archived_wal(
    repository: SiteRepository,
    base: CommittedBackup,
    server: ServerState,
    settings: WalSettings,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> ArchivedWal | str:
    """Return what is archived behind a base, once the archive has caught up with the server, or why nothing is.

    Waits as long as the receiver may hold back WAL, and a little longer; then takes what there is.
    """
    archive = repository.wal(server.system_identifier)
    if caught_up(archive, server.written, settings, at=server.asked_at, sleep=sleep) is None:
        return "no WAL of this server has arrived in the repository; does wal-receive run?"
    coverage = coverage_behind(repository, base)
    if coverage is None:
        return f"{base.backup_id} does not tell its positions"
    return ArchivedWal(base, coverage)


def commit_promise(
    frame: CaptureFrame, reach: Reach, *, reason: str, initiator: Initiator, chosen: str = str(BackupKind.WAL)
) -> Captured:
    """Commit that a base and the WAL behind it restore moments of the frame's window; nothing is copied.

    The base and all that it stands on are named in ``begin``, so retention cannot purge them meanwhile.

    Raises:
        WindowNotRestorable: the moment lies in another window; the promise is kept under that one.
        ChainBroken: what the base stands on has expired.
        Fenced: one of them was expired meanwhile, or the attempt was superseded.
    """
    base = reach.base
    chain = chain_of(base, by_id(frame.repository.backups(Component.DATABASE)))
    manifest = frame.repository.manifest(base.backup_id)
    with frame.repository.begin(
        Component.DATABASE,
        window=frame.window.key,
        initiator=initiator,
        bases=[each.backup_id for each in chain.members],
    ) as attempt:
        wal = _wal_details(reach, base)
        draft = ManifestDraft(
            kind=BackupKind.WAL,
            parent=base.backup_id,
            moment=reach.moment,
            window=None,
            strategy=(chosen, reason),
            streams=(),
            details={
                **{name: manifest.details[name] for name in _OF_THE_BASE if name in manifest.details},
                "full_id": base.summary.get("full_id", base.backup_id),
                "wal": wal,
            },
            summary={
                **{name: base.summary[name] for name in _OF_THE_BASE if name in base.summary},
                "full_id": base.summary.get("full_id", base.backup_id),
                "chain_length": base.summary.get("chain_length", 0),
                "wal_segments": wal["segments"],
                "copied_bytes": 0,
                # What can be restored of it is all of the base: what the database weighs does not shrink to nothing.
                "logical_bytes": base.summary.get("logical_bytes", base.summary["plain_bytes"]),
                "timeline": reach.moment.timeline,
            },
        )
        return frame.commit(attempt, draft, decides=reach.moment.restorable_until)


_OF_THE_BASE = ("server_version", "system_identifier", "wal_segment_bytes")


def _wal_details(reach: Reach, base: CommittedBackup) -> dict[str, Any]:
    start, until = position_of(base.summary), _until(reach)
    assert start is not None
    return {
        **wal_range(start, until, promised_segments(reach)),
        "timelines": [list(leg) for leg in reach.coverage.timelines] if reach.coverage else [[start.timeline, None]],
    }


def _until(reach: Reach) -> Lsn:
    moment = reach.moment
    assert moment.lsn is not None
    assert moment.timeline is not None
    return Lsn.parse(moment.lsn, timeline=moment.timeline)


def promised_segments(reach: Reach) -> list[str]:
    """Return the names of the segments, the last partial one included, that the promise needs, in replay order."""
    if reach.coverage is None:
        return []
    return needed_segments(reach.coverage, _until(reach), segment_bytes=reach.base.summary["wal_segment_bytes"])
