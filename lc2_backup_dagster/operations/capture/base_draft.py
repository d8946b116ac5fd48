"""What manifest and log say of a base backup that was just taken. Pure."""

from lc2_backup_dagster.engines.postgres.base.backup_manifest import WalRange, wal_segment_names
from lc2_backup_dagster.engines.postgres.base.capture import BaseBackup
from lc2_backup_dagster.model.errors import IntegrityError
from lc2_backup_dagster.model.site import BackupKind
from lc2_backup_dagster.operations.capture.choose_strategy import ServerState, Strategy
from lc2_backup_dagster.repository.attempt import ManifestDraft


def base_draft(base: BaseBackup, strategy: Strategy, server: ServerState, *, backup_id: str) -> ManifestDraft:
    """Describe a base backup.

    The summary holds what the next choice is made from, so that no manifest has to be read for it.

    Args:
        base: what was captured.
        strategy: what was chosen.
        server: as it was before the capture.
        backup_id: of the attempt.

    Raises:
        IntegrityError: what came is not what was chosen (L-11).
    """
    kind = BackupKind.INCREMENTAL if base.incremental else BackupKind.FULL
    if kind is not strategy.kind:
        raise IntegrityError(f"{strategy.kind} was chosen, {kind} came from the server")
    chain = strategy.chain
    full_id = chain.full.backup_id if chain else backup_id
    same_timeline = base.start_lsn.timeline == base.timeline
    return ManifestDraft(
        kind=kind,
        parent=strategy.parent.backup_id if strategy.parent else None,
        moment=base.moment,
        window=None,
        strategy=(str(strategy.kind), strategy.reason),
        streams=base.streams,
        details={
            "server_version": base.server_version,
            "pg_major": base.major,
            "system_identifier": base.system_identifier,
            "timeline": base.timeline,
            "start_lsn": str(base.start_lsn),
            "stop_lsn": str(base.stop_lsn),
            "wal_segment_bytes": base.wal_segment_bytes,
            "page_bytes": base.page_bytes,
            "wal_segments": list(
                wal_segment_names(WalRange(base.start_lsn, base.stop_lsn), segment_bytes=base.wal_segment_bytes)
            ),
            "tablespaces": [{"oid": each.oid, "location": each.location} for each in base.tablespaces],
            "data_checksums": base.checksums_on,
            "files": base.files,
            "backup_label": base.backup_label,
            "backup_manifest_sha256": base.manifest_sha256,
            "summarize_wal": server.facts.summarize_wal,
            "full_id": full_id,
            "chain_length": chain.increments + 1 if chain else 0,
        },
        summary={
            "server_version": base.server_version,
            "system_identifier": base.system_identifier,
            "timeline": base.timeline,
            # A promotion while the backup ran: nothing stands on a backup whose ends lie on two timelines.
            "start_lsn": str(base.start_lsn) if same_timeline else None,
            "wal_segment_bytes": base.wal_segment_bytes,
            "summarize_wal": server.facts.summarize_wal,
            "full_id": full_id,
            "chain_length": chain.increments + 1 if chain else 0,
            "objects": base.files,
            # What the server weighs, and what of it was moved: an increment is small without anything being lost.
            "logical_bytes": server.facts.cluster_bytes or server.facts.database_bytes,
            "copied_bytes": base.tar_bytes,
        },
    )
