"""Capture the database physically, by the cheapest means that keeps the window's promise, and say which and why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lc2_backup_dagster.engines.postgres.base.capture import capture_base_backup
from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM
from lc2_backup_dagster.engines.postgres.servers.preflight import check_connected
from lc2_backup_dagster.engines.postgres.wal.position import wal_position
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import IncrementRefused, WindowNotRestorable
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.capture.base_draft import base_draft
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.choose_strategy import (
    ArchivedWal,
    ServerState,
    Strategy,
    choose_strategy,
    newest_chain,
)
from lc2_backup_dagster.operations.capture.frame import CaptureFrame
from lc2_backup_dagster.operations.capture.past_windows import promise_past_window
from lc2_backup_dagster.operations.capture.provider_snapshot import capture_snapshot
from lc2_backup_dagster.operations.capture.wal_promise import archived_wal, commit_promise
from lc2_backup_dagster.operations.capture.windows import is_past
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.verify.chain_objects import look_at_chain
from lc2_backup_dagster.operations.wal.physical_reach import coverage_after, reach_over
from lc2_backup_dagster.repository.attempt import ManifestDraft
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class _Request:
    """What every way of capturing is given."""

    context: SiteContext
    frame: CaptureFrame
    initiator: Initiator
    progress: Progress


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and what it was chosen from.

    Attributes:
        strategy: how the database is captured.
        server: as it was then.
        wal: archived WAL behind the newest base, or why none of it can be used.
    """

    strategy: Strategy
    server: ServerState
    wal: ArchivedWal | str


def capture_database(
    context: SiteContext,
    *,
    window: Window,
    asked_at: datetime,
    initiator: Initiator,
    progress: Progress = lambda done, total: None,
) -> Captured:
    """Capture the database for a window: by an increment, archived WAL, a provider's snapshot or a full backup.

    A past window is filled where a base and archived WAL reach into it; nothing is copied then. So is a window that
    ended while its capture ran: what was captured is kept under the window it belongs to.

    Raises:
        WindowNotRestorable: nothing restorable lies in the window (a backup that came too late is kept).
        BackupError: everything engine and repository raise; nothing half-done is listed.
    """
    if is_past(window, asked_at=asked_at):
        return promise_past_window(context, window=window, initiator=initiator)
    frame = CaptureFrame.of_the_present(context, Component.DATABASE, window=window, asked_at=asked_at)
    request = _Request(context, frame, initiator, progress)
    try:
        return _capture(request, choose(context, frame.repository, frame.earlier))
    except WindowNotRestorable as late:
        kept = late.attributes.get("backup_id")
        if context.database.wal is None or not isinstance(kept, str):
            raise
        try:
            promised = promise_past_window(context, window=window, initiator=initiator)
        except WindowNotRestorable:
            raise late from None
        return replace(promised, kept=frame.repository.backup(kept))


def choose(context: SiteContext, repository: SiteRepository, earlier: Sequence[CommittedBackup]) -> Choice:
    """Look at server, history and archive, and choose how the database is captured now."""
    access = context.database
    with access.replication.connect() as connection:
        facts = check_connected(connection, access.replication, None, physical=True, dump=False)
        position = wal_position(access.replication, connection)
    server = ServerState(
        facts=facts,
        system_identifier=position.system_identifier,
        position=position.lsn,
        asked_at=position.time,
        snapshots=access.managed is not None and access.managed.capabilities.snapshots,
    )
    chain = newest_chain(earlier, server)
    if isinstance(chain, str):
        wal: ArchivedWal | str = chain
        damaged: dict[str, str] = {}
    else:
        # An increment behind a chain that a bucket's own rules have broken would be a backup of nothing (L-18).
        losses = look_at_chain(repository, chain.newest).losses
        damaged = {loss.backup_id: f"{loss.key} {loss.reason}" for loss in losses}
        wal = "no WAL of this site is archived (database.wal.enabled)"
        if access.wal and not (facts.summarize_wal and access.chains.incremental):
            wal = archived_wal(repository, chain.newest, server, access.wal)
    strategy = choose_strategy(earlier, server, access.chains, wal=wal, damaged=damaged, now=datetime.now(UTC))
    return Choice(strategy, server, wal)


def _capture(request: _Request, choice: Choice) -> Captured:
    strategy, frame = choice.strategy, request.frame
    if strategy.kind is BackupKind.WAL and isinstance(choice.wal, ArchivedWal):
        reach = reach_over(choice.wal.base, choice.wal.coverage, frame.window)
        if reach is not None:
            return commit_promise(frame, reach, reason=strategy.reason, initiator=request.initiator)
        strategy = Strategy(BackupKind.FULL, f"the archived WAL has no moment of window {frame.window.key}")
    if strategy.kind is BackupKind.SNAPSHOT:
        managed = request.context.database.managed
        assert managed is not None
        return capture_snapshot(
            frame, managed, server=choice.server, reason=strategy.reason, initiator=request.initiator
        )
    try:
        return _copy(request, choice.server, strategy)
    except IncrementRefused as refusal:
        if strategy.parent is None:
            raise
        # Nothing of the refused attempt is used: a backup is one stream of one attempt.
        reason = f"a new chain begins: the server refused an increment behind {strategy.parent.backup_id}: {refusal}"
        return _copy(request, choice.server, Strategy(BackupKind.FULL, reason))


def _copy(request: _Request, server: ServerState, strategy: Strategy) -> Captured:
    """Take a base backup, whole or what changed since the parent; each try is an attempt of its own."""
    access, frame, parent = request.context.database, request.frame, strategy.parent
    with (
        frame.repository.begin(
            Component.DATABASE,
            window=frame.window.key,
            initiator=request.initiator,
            # Retention keeps the parent, and all that it stands on, while an increment of it is made.
            bases=[each.backup_id for each in strategy.chain.members] if strategy.chain else [],
        ) as attempt,
        scratch_folder(access.scratch_directory, request.context.site, str(Component.DATABASE)) as scratch,
    ):
        base = capture_base_backup(
            access.replication,
            facts=server.facts,
            parent_manifest=_fetch_manifest(frame.repository, parent, scratch) if parent else None,
            write=frame.writer(attempt),
            scratch=scratch,
            on_progress=request.progress,
        )
        draft = base_draft(base, strategy, server, backup_id=attempt.backup_id)
        if access.wal:
            draft.details["archived_wal"] = _archived_so_far(frame.repository, draft)
        return frame.commit(attempt, draft, decides=base.moment.restorable_until)


def _archived_so_far(repository: SiteRepository, draft: ManifestDraft) -> dict[str, Any]:
    """Tell whether the archive has reached this backup already (L-12): its moments count from WAL only then."""
    coverage = coverage_after(repository, {**draft.summary, "lsn": draft.moment.lsn})
    until = coverage.until if coverage else None
    return {
        "reaches_backup": until is not None and until >= draft.moment.restorable_until,
        "until": to_text(until) if until else None,
        "gap": coverage.gap if coverage else None,
    }


def _fetch_manifest(repository: SiteRepository, parent: CommittedBackup, scratch: Path) -> Path:
    """Put the parent's ``backup_manifest`` where the engine can send it back to the server."""
    place = scratch / "parent_manifest"
    repository.save_stream(repository.manifest(parent.backup_id), MANIFEST_STREAM, place)
    return place
