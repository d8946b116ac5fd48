"""Capture the configuration of a site: its hooks run, its documents are proven and stored as one export.

It is of the present only: nothing keeps what a configuration was, so a past window without an export stays empty.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lc2_backup_dagster.engines.exports.capture import CapturedExport, capture_export
from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.engines.hooks.hook import HookOutcome
from lc2_backup_dagster.engines.hooks.ports import Say
from lc2_backup_dagster.model.errors import BackupPartial, ConfigurationError, SourceChanged
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.frame import CaptureFrame
from lc2_backup_dagster.operations.capture.hooks import run_hooks_before, silent
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import ConfigurationAccess, ExportNeeds, SiteContext
from lc2_backup_dagster.repository.attempt import Attempt, ManifestDraft
from lc2_backup_dagster.repository.record import Initiator

Progress = Callable[[int, int], None]
_SAMPLE = 5
_OUTPUT = 8192
_TRIES = 3


def capture_configuration(
    context: SiteContext,
    *,
    window: Window,
    asked_at: datetime,
    initiator: Initiator,
    progress: Progress | None = None,
    say: Say = silent,
) -> Captured:
    """Export the configuration and commit it as one backup.

    Args:
        context: the site.
        window: the day it is for.
        asked_at: when the run was created.
        initiator: who asked.
        progress: called with the documents and the bytes taken so far.
        say: told what the site's hooks say.

    Raises:
        ConfigurationError: the site has no configuration.
        WindowNotRestorable: the window has ended; a configuration of the past is nowhere to be had.
        HookFailed: a hook failed, or left no usable artefact.
        ExportInvalid: there is nothing, or a document that must be there is missing, or one does not parse.
        BackupPartial: the application could not export everything; what it could was kept.
        BackupError: everything hooks, source and repository raise; nothing half-done is listed.
    """
    access = _access(context)
    frame = CaptureFrame.of_the_present(context, Component.CONFIGURATION, window=window, asked_at=asked_at)
    with (
        frame.repository.begin(Component.CONFIGURATION, window=window.key, initiator=initiator) as attempt,
        scratch_folder(context.database.scratch_directory, context.site, "configuration") as scratch,
    ):
        # Within the attempt: two exports at once would write into each other's folders.
        began = attempt.clock.now()
        artifacts = scratch / "artifacts"
        artifacts.mkdir(mode=0o700)
        hooks = run_hooks_before(Component.CONFIGURATION, context, initiator=initiator, say=say, artifacts=artifacts)
        captured = _export(access, frame, attempt, scratch=scratch, progress=progress)
        if hooks:
            captured = replace(captured, moment=replace(captured.moment, restorable_from=began))
        done = frame.commit(attempt, _draft(captured, access, frame, hooks), decides=captured.moment.restorable_until)
    return _require_complete(done, captured, what=frame.what)


def _access(context: SiteContext) -> ConfigurationAccess:
    if context.configuration is None:
        raise ConfigurationError(
            f"site {context.site} has no configuration", hint="add `configuration` to its site file"
        )
    return context.configuration


def _export(
    access: ConfigurationAccess, frame: CaptureFrame, attempt: Attempt, *, scratch: Path, progress: Progress | None
) -> CapturedExport:
    waiting = scratch / "documents"
    waiting.mkdir(mode=0o700)
    before = frame.newest
    needs = ExportNeeds(
        artifacts=scratch / "artifacts",
        scratch=waiting,
        before=StoredExport(frame.repository, frame.repository.manifest(before.backup_id)) if before else None,
    )
    for tries_left in reversed(range(_TRIES)):
        try:
            with access.open_source(needs) as source:
                return capture_export(
                    source,
                    write=lambda name: attempt.stream_writer(name, on_part=frame.first_byte.stored),
                    scratch=waiting,
                    clock=attempt.clock,
                    required=access.required,
                    progress=progress,
                )
        except SourceChanged:
            # Somebody saved a document just then. Nothing was written: that begins when all documents were read.
            if not tries_left:
                raise
    raise AssertionError("a last try either returns or raises")


def _draft(
    captured: CapturedExport, access: ConfigurationAccess, frame: CaptureFrame, hooks: Sequence[HookOutcome]
) -> ManifestDraft:
    before = frame.newest
    return ManifestDraft(
        kind=BackupKind.FULL,
        moment=captured.moment,
        window=None,
        strategy=("export", f"all documents, from {access.origin}"),
        streams=captured.streams,
        details={
            "documents": captured.documents,
            "documents_bytes": captured.size_bytes,
            "export_sha256": captured.sha256,
            "required": list(access.required),
            "unexported": [list(each) for each in captured.unexported],
            "hooks": [
                {"name": each.name, "milliseconds": round(each.seconds * 1000), "output": each.output.text[-_OUTPUT:]}
                for each in hooks
            ],
            **captured.details,
        },
        summary={
            "documents": captured.documents,
            "export_sha256": captured.sha256,
            "unexported": len(captured.unexported),
            "partial": captured.partial,
            # Two days are compared by their contents alone: equal exports have equal hashes.
            "same_as": before.backup_id if before and before.summary.get("export_sha256") == captured.sha256 else None,
        },
    )


def _require_complete(done: Captured, captured: CapturedExport, *, what: str) -> Captured:
    if captured.partial:
        named = ", ".join(f"{name} ({reason})" for name, reason in captured.unexported[:_SAMPLE])
        more = ", …" if len(captured.unexported) > _SAMPLE else ""
        raise BackupPartial(
            f"{len(captured.unexported)} items of {what} could not be exported: {named}{more}",
            hint=f"look at them in the application and run again; what could be exported was kept as partial backup "
            f"{done.backup.backup_id}",
            backup_id=done.backup.backup_id,
        )
    return done
