"""Capture the files of a site: only what changed since the last backup is moved."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime

from lc2_backup_dagster.engines.files.capture.capture import FileSource, capture_files
from lc2_backup_dagster.engines.files.capture.past import AsOf, known_at
from lc2_backup_dagster.engines.files.capture.shards import WHOLE, Shard
from lc2_backup_dagster.engines.files.capture.transfer import Limits
from lc2_backup_dagster.engines.files.manifest.entry import STREAM, FileEntry, Protection, decode_entries
from lc2_backup_dagster.engines.files.ports import Progress
from lc2_backup_dagster.engines.files.verify.proof_sets import known_hashes
from lc2_backup_dagster.engines.files.verify.proofs import with_known_hashes
from lc2_backup_dagster.engines.hooks.ports import Say
from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.browse.stored_files import stored_lines
from lc2_backup_dagster.operations.capture.captured import Captured, moments
from lc2_backup_dagster.operations.capture.files_draft import files_draft, require_complete
from lc2_backup_dagster.operations.capture.files_plan import FilesPlan, listed_from, plan_of_now, plan_of_past
from lc2_backup_dagster.operations.capture.frame import CaptureFrame
from lc2_backup_dagster.operations.capture.hooks import run_hooks_before, silent
from lc2_backup_dagster.operations.capture.kept_files import with_kept_files
from lc2_backup_dagster.operations.capture.windows import is_past, nearest
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository

Expect = Callable[[int, int], None]
"""Called once with the files and bytes that were listed, where they are known before anything is copied."""


def capture_site_files(
    context: SiteContext,
    *,
    window: Window,
    asked_at: datetime,
    initiator: Initiator,
    progress: Progress | None = None,
    expect: Expect | None = None,
    say: Say = silent,
) -> Captured:
    """Capture every file of the site, in this process, and commit it as the backup of a window.

    The backup whose files are nearest is the base: its objects are shared, and it is named in ``begin`` so that a purge
    keeps them. A run that was killed is resumed: what it had copied is not copied again. SHA-256 that verifications
    computed of copies made by the store go into the new manifest.

    A past window is filled from the versions that the source keeps, as of the window's last moment. So is a window that
    ended before the listing began: what was captured is kept under the window it belongs to. The site's hooks for files
    run before anything is begun, unless the window is past.

    Raises:
        HookFailed: a hook failed; nothing was begun.
        WindowNotRestorable: the window is past, or the listing began outside it (the backup is kept then), and the
            source's versions do not prove what was there.
        BackupPartial: some files could not be read; all others were committed as a backup that is called partial.
        BackupError: everything engine and repository raise; nothing half-done is listed.
    """
    frame, plan = choose_plan(context, window=window, asked_at=asked_at)
    if plan.as_of is None:
        run_hooks_before(Component.FILES, context, initiator=initiator, say=say)
    try:
        return _capture(context, frame, plan, initiator=initiator, progress=progress, expect=expect)
    except WindowNotRestorable as late:
        return past_instead(context, frame, late, initiator=initiator, progress=progress)


def choose_plan(context: SiteContext, *, window: Window, asked_at: datetime) -> tuple[CaptureFrame, FilesPlan]:
    """Decide which moment fills a window, and what the capture stands on; nothing was written when it raises.

    Raises:
        WindowNotRestorable: it has not begun, or is past and cannot be rebuilt.
    """
    if is_past(window, asked_at=asked_at):
        return _past(context, window)
    frame = CaptureFrame.of_the_present(context, Component.FILES, window=window, asked_at=asked_at)
    source = context.files
    keeps_versions = source.store.capabilities.versions
    return frame, plan_of_now(frame.earlier, source_id=source.source_id, keeps_versions=keeps_versions)


def past_instead(
    context: SiteContext,
    frame: CaptureFrame,
    late: WindowNotRestorable,
    *,
    initiator: Initiator,
    progress: Progress | None,
) -> Captured:
    """Fill a window as a past one, after a capture for it was committed too late and kept.

    Raises:
        WindowNotRestorable: nothing was kept, or the past window cannot be rebuilt either.
    """
    kept = late.attributes.get("backup_id")
    if not isinstance(kept, str):
        raise late
    try:
        past, plan = _past(context, frame.window)
        captured = _capture(context, past, plan, initiator=initiator, progress=progress)
    except WindowNotRestorable:
        raise late from None
    return replace(captured, kept=frame.repository.backup(kept))


def _past(context: SiteContext, window: Window) -> tuple[CaptureFrame, FilesPlan]:
    frame = CaptureFrame.of_a_window(context, Component.FILES, window=window)
    source = context.files
    keeps_versions = source.store.capabilities.versions
    return frame, plan_of_past(
        frame.earlier, window, source_id=source.source_id, keeps_versions=keeps_versions, what=frame.what
    )


def _capture(
    context: SiteContext,
    frame: CaptureFrame,
    plan: FilesPlan,
    *,
    initiator: Initiator,
    progress: Progress | None,
    expect: Expect | None = None,
) -> Captured:
    repository = frame.repository
    attempt = repository.begin(
        Component.FILES,
        window=frame.window.key,
        initiator=initiator,
        bases=[base.backup_id for base in plan.bases],
    )
    with attempt, known_files(repository, plan) as (previous, as_of):
        with nearest_named(frame.window, what=frame.what, earlier=frame.earlier):
            captured = capture_files(
                attempt,
                repository,
                file_source(context),
                previous=previous,
                as_of=as_of,
                scratch=context.database.scratch_directory,
                limits=capture_limits(context),
                progress=progress,
                expect=expect,
            )
        captured = with_kept_files(
            context,
            attempt,
            repository,
            file_source(context),
            captured,
            plan=plan,
            window=frame.window,
            limits=capture_limits(context),
        )
        done = frame.commit(attempt, files_draft(captured, plan), decides=captured.moment.restorable_from)
    return require_complete(done, what=files_named(context))


def file_source(context: SiteContext, shard: Shard = WHOLE) -> FileSource:
    """Return the site's files, or a shard of them, as the engine takes them."""
    return FileSource(
        store=context.files.store,
        source_id=context.files.source_id,
        shard=shard,
        include=context.files.is_selected,
        protection_of=lambda key: Protection(context.files.protection_of(key)),
    )


def capture_limits(context: SiteContext, *, processes: int = 1) -> Limits:
    """Return what one of several processes that capture at once may use."""
    rate = context.files.max_bytes_per_second
    return Limits(
        max_concurrency=context.files.max_concurrency, bytes_per_second=None if rate is None else rate // processes
    )


def files_named(context: SiteContext) -> str:
    """Name the site's files in a message, with the application's own word."""
    return f"{context.site}/{context.application.files_word}"


@contextmanager
def known_files(
    repository: SiteRepository, plan: FilesPlan, shard: Shard = WHOLE
) -> Generator[tuple[Iterable[FileEntry], AsOf | None]]:
    """Open what backups know of a shard's files, as ``capture_files`` takes it: the present's, or a past moment's."""
    with ExitStack() as stack:

        def of_shard(backup: CommittedBackup) -> Iterator[FileEntry]:
            if shard == WHOLE:
                return stack.enter_context(file_entries(repository, backup.backup_id))
            # Shards are many, and each would decode all of the list: only their own lines are.
            lines = stack.enter_context(stored_lines(repository, backup, prefix=shard.prefix, folders=True))
            return (line.entry() for line in lines if line.key in shard)

        before = of_shard(plan.before) if plan.before else iter(())
        if plan.as_of is None:
            yield with_known_hashes(before, stack.enter_context(known_hashes(repository))), None
            return
        assert plan.before is not None
        after = of_shard(plan.after) if plan.after else iter(())
        yield (), AsOf(plan.as_of, listed_from(plan.before), known_at(plan.as_of, before, after))


@contextmanager
def nearest_named(window: Window, *, what: str, earlier: Sequence[CommittedBackup]) -> Generator[None]:
    """Name the nearest restorable moments in a refusal of the engine, which does not know them.

    Raises:
        WindowNotRestorable: as raised inside, with that hint.
    """
    try:
        yield
    except WindowNotRestorable as error:
        raise WindowNotRestorable(
            f"window {window.key} of {what} cannot be rebuilt: {error.message}",
            hint=error.hint or nearest(window.end, moments(earlier)),
            window=window.key,
        ) from error


@contextmanager
def file_entries(repository: SiteRepository, backup_id: str) -> Generator[Iterator[FileEntry]]:
    """Open the file entries of a backup, sorted by key, read as a stream."""
    with repository.open_stream(repository.manifest(backup_id), STREAM) as reader:
        yield decode_entries(reader, name=f"files of {backup_id}")
