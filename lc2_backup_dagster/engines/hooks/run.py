"""Carries out hooks one after the other, before anything of a backup is begun."""

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lc2_backup_dagster.engines.hooks.hook import Hook, HookOutcome
from lc2_backup_dagster.engines.hooks.ports import HookRunner, Say
from lc2_backup_dagster.model.site import Component


@dataclass(frozen=True, slots=True)
class BoundHook:
    """A hook with what runs it.

    Attributes:
        hook: what is to be done.
        runner: where it is done.
        component: whose capture it runs before.
    """

    hook: Hook
    runner: HookRunner
    component: Component


def run_hooks(hooks: Iterable[BoundHook], *, artifacts: Path, say: Say, run: str = "") -> tuple[HookOutcome, ...]:
    """Run hooks in their order; the first that fails ends all.

    The artefact of a hook with ``store_artifact`` lies afterwards in ``artifacts/<hook name>/`` as plain files. What an
    earlier try left there is removed first.

    Args:
        hooks: those of one component.
        artifacts: a folder of this run alone; made where it is absent.
        say: takes lines for the log, without secrets.
        run: names the run that asks, so that another try of it finds and replaces what the first left in a cluster.

    Raises:
        HookFailed: a hook failed, timed out (``HookTimedOut``), or left no usable artefact.
        AccessDenied: we may not run anything where the hook is to run.
        ServiceUnavailable: that place cannot be reached right now.
    """
    return tuple(_run(bound, artifacts=artifacts, say=say, run=run) for bound in hooks)


def _run(bound: BoundHook, *, artifacts: Path, say: Say, run: str) -> HookOutcome:
    hook = bound.hook
    folder = artifacts / hook.name if hook.store_artifact else None
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    say(f"hook {hook.name}: begins, may take {hook.timeout_seconds} s")
    begun = time.monotonic()
    done = bound.runner.run(hook, run=run, artifact=folder, say=lambda line: say(f"hook {hook.name}: {line}"))
    seconds = time.monotonic() - begun
    kept = f", artefact of {done.artifact.files} files, {done.artifact.size_bytes} bytes" if done.artifact else ""
    say(f"hook {hook.name}: done in {seconds:.1f} s{kept}")
    return HookOutcome(hook.name, seconds, done.output, folder, done.artifact)
