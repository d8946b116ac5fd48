"""Capture the files of a site: only what changed since the last backup is moved."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

from lc2_backup_dagster.engines.files.capture import FilesCapture, FileSource, capture_files
from lc2_backup_dagster.engines.files.entry import STREAM, FileEntry, Protection, decode_entries
from lc2_backup_dagster.engines.files.ports import Progress
from lc2_backup_dagster.engines.files.proof_sets import known_hashes
from lc2_backup_dagster.engines.files.proofs import with_known_hashes
from lc2_backup_dagster.engines.files.transfer import Limits
from lc2_backup_dagster.model.errors import BackupPartial
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.capture_frame import CaptureFrame
from lc2_backup_dagster.operations.captured import Captured
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.attempt import ManifestDraft
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository

_SAMPLE = 100


def capture_site_files(
    context: SiteContext,
    *,
    window: Window,
    asked_at: datetime,
    initiator: Initiator,
    progress: Progress | None = None,
    expect: Callable[[int, int], None] | None = None,
) -> Captured:
    """Capture every file of the site and commit it as the backup of a window.

    The newest committed backup of the files is the base: its objects are shared, and it is named in ``begin`` so that
    a purge keeps them. A run that was killed is resumed: what it had copied is not copied again. SHA-256 that
    verifications computed of copies made by the store go into the new manifest.

    Raises:
        WindowNotRestorable: the window is past, or the listing began outside it (the backup is kept then).
        BackupPartial: some files could not be read; all others were committed as a backup that is called partial.
        BackupError: everything engine and repository raise; nothing half-done is listed.
    """
    frame = CaptureFrame.of_the_present(context, Component.FILES, window=window, asked_at=asked_at)
    repository = frame.repository
    base = _base(frame.earlier, context.files.source_id)
    attempt = repository.begin(
        Component.FILES,
        window=window.key,
        initiator=initiator,
        bases=[base.backup_id] if base else [],
    )
    with attempt, ExitStack() as stack:
        previous: Iterable[FileEntry] = ()
        if base:
            previous = with_known_hashes(
                stack.enter_context(file_entries(repository, base.backup_id)),
                stack.enter_context(known_hashes(repository)),
            )
        captured = capture_files(
            attempt,
            repository,
            FileSource(
                store=context.files.store,
                source_id=context.files.source_id,
                include=context.files.is_selected,
                protection_of=lambda key: Protection(context.files.protection_of(key)),
            ),
            previous=previous,
            scratch=context.database.scratch_directory,
            limits=Limits(
                max_concurrency=context.files.max_concurrency, bytes_per_second=context.files.max_bytes_per_second
            ),
            progress=progress,
            expect=expect,
        )
        done = frame.commit(
            attempt,
            _draft(captured, base=base, source_id=context.files.source_id),
            decides=captured.moment.restorable_from,
        )
    _require_complete(
        captured, what=f"{context.site}/{context.application.files_word}", backup_id=done.backup.backup_id
    )
    return done


def _require_complete(captured: FilesCapture, *, what: str, backup_id: str) -> None:
    unreadable = captured.counts.unreadable
    if unreadable.count:
        named = ", ".join(f"{key} ({reason})" for key, reason in unreadable.samples[:5])
        raise BackupPartial(
            f"{unreadable.count} files of {what} could not be read: {named}{', …' if unreadable.count > 5 else ''}",
            hint=f"give the backup role the right to read them and run again; what could be read was kept as "
            f"partial backup {backup_id}, and materializing recovery_point binds it as it is",
            backup_id=backup_id,
        )


@contextmanager
def file_entries(repository: SiteRepository, backup_id: str) -> Generator[Iterator[FileEntry]]:
    """Open the file entries of a backup, sorted by key, read as a stream."""
    with repository.open_stream(repository.manifest(backup_id), STREAM) as reader:
        yield decode_entries(reader, name=f"files of {backup_id}")


def _base(earlier: Sequence[CommittedBackup], source_id: str) -> CommittedBackup | None:
    newest = earlier[-1] if earlier else None
    if newest is None:
        return None
    # Identities hold the source's id: a backup of another source shares nothing.
    return newest if newest.summary.get("source_id") == source_id else None


def _draft(captured: FilesCapture, *, base: CommittedBackup | None, source_id: str) -> ManifestDraft:
    counts = captured.counts
    if base is None:
        strategy = ("full", "no earlier backup of this source to stand on")
    else:
        strategy = ("incremental", f"only what changed since {base.backup_id} was copied")
    return ManifestDraft(
        kind=BackupKind.INCREMENTAL if base else BackupKind.FULL,
        parent=base.backup_id if base else None,
        moment=captured.moment,
        window=None,
        strategy=strategy,
        streams=captured.streams,
        details={
            "source_id": source_id,
            "partial": captured.partial,
            "listing_ordered": captured.listing_ordered,
            "damaged_journals": list(captured.damaged_journals),
            "unreadable": [list(sample) for sample in counts.unreadable.samples[:_SAMPLE]],
            "vanished": [list(sample) for sample in counts.vanished.samples[:_SAMPLE]],
            "special": [list(sample) for sample in captured.special.samples[:_SAMPLE]],
        },
        summary={
            "source_id": source_id,
            "partial": captured.partial,
            "objects": counts.objects,
            "links": counts.links,
            "folders": counts.folders,
            "special": captured.special.count,
            "logical_bytes": counts.size_bytes,
            "added": counts.added,
            "changed": counts.changed,
            "changed_objects": counts.added + counts.changed,
            "facts_changed": counts.facts_changed,
            "removed": counts.removed,
            "unchanged": counts.unchanged,
            "resumed": counts.resumed,
            "copied_bytes": counts.copied_bytes,
            "copied_stored_bytes": counts.stored_bytes,
            "excluded": captured.excluded,
            "unreadable": counts.unreadable.count,
            "vanished": counts.vanished.count,
            "unencrypted_objects": counts.store_copies_unencrypted,
            "sha256_pending": counts.sha256_pending,
        },
    )
