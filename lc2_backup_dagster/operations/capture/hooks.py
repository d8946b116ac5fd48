"""Runs the hooks of a component before its capture begins anything."""

from lc2_backup_dagster.engines.hooks.ports import Say
from lc2_backup_dagster.engines.hooks.run import BoundHook, run_hooks
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import Initiator


def silent(_line: str) -> None:
    """Take a line for the log where there is none."""


def hooks_before(component: Component, context: SiteContext) -> list[BoundHook]:
    """Return the hooks that run before a component's capture, in their order."""
    return [bound for bound in context.hooks if bound.component is component]


def run_hooks_before(component: Component, context: SiteContext, *, initiator: Initiator, say: Say) -> None:
    """Run a component's hooks; nothing of a backup has begun when one fails.

    Only for data of now: a past window is not what a command would prepare. Artefacts are not kept here.

    Raises:
        HookFailed: a hook failed or timed out; its output is shown.
        BackupError: what a hook's runner raises.
    """
    hooks = hooks_before(component, context)
    if not hooks:
        return
    with scratch_folder(context.database.scratch_directory, context.site, f"hooks-{component}") as scratch:
        run_hooks(hooks, artifacts=scratch, say=say, run=initiator.run_id or "")
