"""Capture the files of a site in shards: several processes, perhaps on several machines, one attempt, one commit.

``begin_shards`` begins the attempt and writes down what all go by; ``capture_shard`` captures one shard of it, and is
run once for each, in any order or at once; ``commit_shards`` puts their results together and commits. Each opens
everything anew, and finds the attempt by the ticket of the run that began it. What dies is run again by itself: a
capture resumes from its journal, and a commit that was made already is found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lc2_backup_dagster.engines.files.capture.capture import capture_files
from lc2_backup_dagster.engines.files.capture.documents import read_document, write_document
from lc2_backup_dagster.engines.files.capture.shard_merge import merge_shards
from lc2_backup_dagster.engines.files.capture.shard_results import ShardResult, read_result, write_result
from lc2_backup_dagster.engines.files.capture.shards import Lane, Shard, plan_key, shards_of
from lc2_backup_dagster.engines.files.ports import Progress
from lc2_backup_dagster.engines.hooks.ports import Say
from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import ComponentMissing, ConfigurationError, Fenced, WindowNotRestorable
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.files import (
    Expect,
    capture_limits,
    choose_plan,
    file_source,
    files_named,
    known_files,
    nearest_named,
    past_instead,
)
from lc2_backup_dagster.operations.capture.files_draft import files_draft, require_complete
from lc2_backup_dagster.operations.capture.files_plan import FilesPlan
from lc2_backup_dagster.operations.capture.frame import CaptureFrame
from lc2_backup_dagster.operations.capture.hooks import run_hooks_before, silent
from lc2_backup_dagster.operations.capture.kept_files import with_kept_files
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.history import CommittedBackup, RunningAttempt
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the step that begins decides for all others.

    Attributes:
        ticket: names the run that began the attempt.
        window: what is to be filled.
        prefixes: how the library is cut, in the order of the shards.
        settings: what decides which files are captured, and how.
        plan: what the capture stands on.
    """

    ticket: str
    window: Window
    prefixes: tuple[str, ...]
    settings: str
    plan: FilesPlan


def begin_shards(
    context: SiteContext,
    *,
    window: Window,
    asked_at: datetime,
    initiator: Initiator,
    ticket: str,
    say: Say = silent,
) -> str:
    """Begin an attempt whose shards are captured by ``capture_shard``, and return its id.

    Args:
        context: the site; its ``files.shards`` say how it is cut.
        window: what is to be filled.
        asked_at: when the run was asked for.
        initiator: who asks.
        ticket: names the run, and every run that goes on with it.
        say: told what the site's hooks for files say; they run before anything is begun, unless the window is past.

    Raises:
        HookFailed: a hook failed; nothing was begun.
        WindowNotRestorable: the window has not begun, or is past and cannot be rebuilt.
        ComponentBusy: another attempt is alive.
        BackupError: everything the repository raises; nothing half-done is listed.
    """
    frame, plan = choose_plan(context, window=window, asked_at=asked_at)
    if plan.as_of is None:
        run_hooks_before(Component.FILES, context, initiator=initiator, say=say)
    repository = frame.repository
    prefixes = tuple(shard.prefix for shard in shards_of(context.files.shards)[:-1])
    with repository.begin(
        Component.FILES, window=window.key, initiator=initiator, bases=[base.backup_id for base in plan.bases]
    ) as attempt:
        shared = _Shared(ticket, window, prefixes, context.files.settings, plan)
        write_document(attempt, plan_key(repository.site, attempt.backup_id), _to_body(shared))
        attempt.hand_over()
    return attempt.backup_id


def capture_shard(
    context: SiteContext,
    number: int,
    *,
    ticket: str,
    initiator: Initiator,
    progress: Progress | None = None,
    expect: Expect | None = None,
) -> ShardResult:
    """Capture one shard for the attempt of a run, and write its result down; one that is there already is returned.

    Args:
        context: the site.
        number: of the shard, as ``shards_of`` counts.
        ticket: of the run that began the attempt.
        initiator: who asks.
        progress: told how far it is.
        expect: told how much there is.

    Raises:
        Fenced: the run's attempt was superseded, or has ended.
        ConfigurationError: the site file has changed since the attempt began.
        BackupError: everything engine and repository raise. The attempt stays alive for a while: the shard can be
            captured again, and goes on where it was.
    """
    repository = context.open_repository(False)
    running, shared = _attempt_of(repository, ticket)
    shard = _shards(context, shared)[number]
    with repository.join(running, initiator=initiator) as attempt:
        if (earlier := read_result(repository, attempt.backup_id, shard)) is not None:
            return earlier
        frame = CaptureFrame.of_repository(repository, Component.FILES, window=shared.window)
        with (
            known_files(repository, shared.plan, shard) as (previous, as_of),
            nearest_named(frame.window, what=frame.what, earlier=frame.earlier),
        ):
            captured = capture_files(
                attempt,
                repository,
                file_source(context, shard),
                previous=previous,
                as_of=as_of,
                lane=Lane(shard),
                scratch=context.database.scratch_directory,
                limits=capture_limits(context, processes=len(shared.prefixes) + 1),
                progress=progress,
                expect=expect,
            )
        result = ShardResult(attempt.backup_id, shard, repository.sealer.key_id, captured)
        return write_result(attempt, repository, result)


def commit_shards(
    context: SiteContext, *, ticket: str, initiator: Initiator, progress: Progress | None = None
) -> Captured:
    """Put the results of all shards together and commit them as the backup of the window.

    Where listings began too late for the window, it is filled as a past one, in this process: nearly everything is
    shared with what was just committed.

    Raises:
        ComponentMissing: a shard has no result yet.
        WindowNotRestorable: a listing began outside the window (the backup is kept then), and the source's versions do
            not prove what was there.
        BackupPartial: some files could not be read; all others were committed as a backup that is called partial.
        Fenced: the run's attempt was superseded, or has ended.
        BackupError: everything engine and repository raise; nothing half-done is listed.
    """
    repository = context.open_repository(False)
    if (done := _committed_by(repository, ticket)) is not None:
        return require_complete(done, what=files_named(context))
    running, shared = _attempt_of(repository, ticket)
    shards = _shards(context, shared)
    frame = CaptureFrame.of_repository(repository, Component.FILES, window=shared.window)
    try:
        with repository.join(running, initiator=initiator) as attempt:
            captured = merge_shards(attempt, repository, _results(repository, attempt.backup_id, shards))
            captured = with_kept_files(
                context,
                attempt,
                repository,
                file_source(context),
                captured,
                plan=shared.plan,
                window=frame.window,
                limits=capture_limits(context),
                repeatable=True,
            )
            done = frame.commit(
                attempt,
                files_draft(captured, shared.plan, shards=len(shards)),
                decides=captured.moment.restorable_from,
                last_begun=captured.last_begun,
            )
    except WindowNotRestorable as late:
        return past_instead(context, frame, late, initiator=initiator, progress=progress)
    return require_complete(done, what=files_named(context))


def _results(repository: SiteRepository, attempt_id: str, shards: Sequence[Shard]) -> list[ShardResult]:
    found = [read_result(repository, attempt_id, shard) for shard in shards]
    missing = [str(shard) for shard, result in zip(shards, found, strict=True) if result is None]
    if missing:
        raise ComponentMissing(
            f"attempt {attempt_id} has no result for {', '.join(missing)}",
            hint="run the steps of these shards again, then this one",
            attempt_id=attempt_id,
        )
    return [result for result in found if result is not None]


def _attempt_of(repository: SiteRepository, ticket: str) -> tuple[RunningAttempt, _Shared]:
    running = repository.log.history().holder(Component.FILES)
    told = read_document(repository, plan_key(repository.site, running.attempt_id)) if running else None
    if running is None or told is None or told["ticket"] != ticket:
        held = f"; attempt {running.attempt_id} of {running.initiator} runs" if running else ""
        raise Fenced(
            f"the attempt that run {ticket} began for the files of {repository.site} is no longer running{held}",
            hint="launch all steps anew; what was copied is not copied again",
        )
    kept = {each.backup_id: each for each in repository.backups(Component.FILES)}
    if gone := [base for base in running.bases if base not in kept]:
        raise Fenced(
            f"the bases {', '.join(gone)} expired or were purged while attempt {running.attempt_id} ran",
            hint="launch all steps anew; what they shared is copied again",
        )
    return running, _from_body(told, kept)


def _committed_by(repository: SiteRepository, ticket: str) -> Captured | None:
    """Return what the run committed before its process died: the log has it, only nobody heard of it."""
    backups = repository.backups(Component.FILES)
    if not backups:
        return None
    newest = backups[-1]
    told = read_document(repository, plan_key(repository.site, newest.backup_id))
    if told is None or (told["ticket"], told["window"]) != (ticket, newest.window):
        return None
    window = Window.parse(told["window"], length=WindowLength.DAILY)
    return Captured(newest, repository.manifest(newest.backup_id), window, earlier=tuple(backups[:-1]))


def _shards(context: SiteContext, shared: _Shared) -> tuple[Shard, ...]:
    shards = shards_of(context.files.shards)
    if shared.prefixes != tuple(shard.prefix for shard in shards[:-1]) or shared.settings != context.files.settings:
        raise ConfigurationError(
            f"the files of {context.site} are described otherwise than when run {shared.ticket} began",
            hint="launch all steps anew; what was copied is not copied again",
        )
    return shards


def _to_body(shared: _Shared) -> dict[str, Any]:
    plan = shared.plan
    return {
        "ticket": shared.ticket,
        "window": shared.window.key,
        "prefixes": list(shared.prefixes),
        "settings": shared.settings,
        "source_id": plan.source_id,
        "keeps_versions": plan.keeps_versions,
        "before": plan.before.backup_id if plan.before else None,
        "after": plan.after.backup_id if plan.after else None,
        "as_of": to_text(plan.as_of) if plan.as_of else None,
    }


def _from_body(told: dict[str, Any], kept: Mapping[str, CommittedBackup]) -> _Shared:
    before, after = (kept[told[name]] if told[name] else None for name in ("before", "after"))
    as_of = from_text(told["as_of"]) if told["as_of"] else None
    return _Shared(
        told["ticket"],
        Window.parse(told["window"], length=WindowLength.DAILY),
        tuple(told["prefixes"]),
        told["settings"],
        FilesPlan(told["source_id"], told["keeps_versions"], before, after, as_of),
    )
