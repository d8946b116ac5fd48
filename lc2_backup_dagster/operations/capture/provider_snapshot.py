"""Have the provider make a snapshot, and commit it as a backup whose data lies with the provider."""

from lc2_backup_dagster.clouds.managed_database import ManagedDatabase
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.choose_strategy import ServerState
from lc2_backup_dagster.operations.capture.frame import CaptureFrame
from lc2_backup_dagster.repository.attempt import ManifestDraft
from lc2_backup_dagster.repository.record import Initiator


def capture_snapshot(
    frame: CaptureFrame, managed: ManagedDatabase, *, server: ServerState, reason: str, initiator: Initiator
) -> Captured:
    """Make a snapshot and commit it; the repository holds its id, not its data (R-3).

    Raises:
        WindowNotRestorable: it was taken after the window; it is kept under the window it belongs to.
        BackupError: what provider and repository raise.
    """
    with frame.repository.begin(Component.DATABASE, window=frame.window.key, initiator=initiator) as attempt:
        snapshot = managed.create_snapshot(f"lc2-{attempt.backup_id}".lower())
        draft = ManifestDraft(
            kind=BackupKind.SNAPSHOT,
            moment=Moment(snapshot.taken_at, snapshot.taken_at),
            window=None,
            strategy=(str(BackupKind.SNAPSHOT), reason),
            streams=(),
            details={
                "server_version": server.facts.version,
                "system_identifier": server.system_identifier,
                "snapshot_id": snapshot.snapshot_id,
                "location": snapshot.location,
                "encrypted": snapshot.encrypted,
            },
            summary={
                "server_version": server.facts.version,
                "system_identifier": server.system_identifier,
                "snapshot_id": snapshot.snapshot_id,
                "logical_bytes": snapshot.size_bytes or server.facts.database_bytes,
                "copied_bytes": 0,
                "unencrypted_objects": 0 if snapshot.encrypted else 1,
            },
        )
        return frame.commit(attempt, draft, decides=snapshot.taken_at)
