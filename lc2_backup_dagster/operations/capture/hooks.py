"""Runs the hooks of a component before its capture."""

from pathlib import Path

from lc2_backup_dagster.engines.hooks.hook import HookOutcome
from lc2_backup_dagster.engines.hooks.ports import Say
from lc2_backup_dagster.engines.hooks.run import run_hooks
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import Initiator


def silent(_line: str) -> None:
    """Take a line for the log where there is none."""


def run_hooks_before(
    component: Component,
    context: SiteContext,
    *,
    initiator: Initiator,
    say: Say,
    artifacts: Path | None = None,
) -> tuple[HookOutcome, ...]:
    """Run a component's hooks in their order, and return what came of each.

    Only for data of now: a past window is not what a command would prepare.

    Args:
        component: whose capture is about to begin.
        context: the site.
        initiator: who asks.
        say: takes lines for the log.
        artifacts: folder for the artefacts, each in a folder named after its hook; None where no hook has any.

    Raises:
        HookFailed: a hook failed or timed out; its output is shown.
        BackupError: what a hook's runner raises.
    """
    hooks = [bound for bound in context.hooks if bound.component is component]
    run = initiator.run_id or ""
    if not hooks or artifacts is not None:
        return run_hooks(hooks, artifacts=artifacts or Path(), say=say, run=run)
    with scratch_folder(context.database.scratch_directory, context.site, f"hooks-{component}") as scratch:
        return run_hooks(hooks, artifacts=scratch, say=say, run=run)
