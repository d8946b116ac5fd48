"""``restore-content-types``: bring Bloomreach's content types back into a development project."""

import os
from dataclasses import asdict
from typing import Any

import click

from lc2_backup_dagster.applications.bloomreach.restore_content_types import (
    ContentTypePlan,
    ContentTypeStep,
    TypeState,
    apply_plan,
    plan_content_types,
)
from lc2_backup_dagster.cli.printed import number_of, tell_if_partial
from lc2_backup_dagster.cli.session import Session, pass_session
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError, ResourceConflict
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.operations.browse.stored_exports import export_backup, stored_export
from lc2_backup_dagster.operations.restore.record import recorded_restore
from lc2_backup_dagster.sites.content_types import open_content_types

_NAMES_RECORDED = 200


@click.command("restore-content-types")
@click.argument("site")
@click.argument("backup")
@click.option(
    "--project", required=True, metavar="PROJECT", help="Development project to write to; never the live one."
)
@click.option(
    "--overwrite",
    multiple=True,
    metavar="NAME",
    help="Replace this content type where the project has it with other content; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Only print the plan with what differs; write nothing.")
@pass_session
def restore_content_types(
    session: Session, site: str, backup: str, project: str, overwrite: tuple[str, ...], dry_run: bool
) -> None:
    """Restore the content types of BACKUP into a development project of SITE's Bloomreach.

    BACKUP is a recovery point, a backup of the configuration, or "latest". Nothing is written while one content type
    is there with other content and not named by --overwrite, and nothing over a version that the plan has not seen.
    The live project is never written: what is restored is reviewed and merged in the product.
    """
    repository = session.open(site).open_repository(False)
    access = open_content_types(session.sites.site(SiteId.parse(site)), os.environ)
    export = export_backup(repository, backup)
    tell_if_partial(session, export)
    with access.client as client:
        plan = plan_content_types(
            client,
            stored_export(repository, export).documents(),
            project=project,
            overwrite=frozenset(overwrite).__contains__,
        )
        _require_known(plan, overwrite, export.backup_id)
        if dry_run:
            _print(session, plan, backup_id=export.backup_id, dry_run=True)
            return
        _require_agreed(plan)
        written = _Written()
        body: dict[str, Any] = {
            "point": export.backup_id,
            "configuration": f"project {project} at {access.address}",
            "content_types": written.told,
        }
        with recorded_restore(repository, session.initiator, body):
            try:
                done = apply_plan(client, plan, on_step=written.note)
            except BackupError:
                session.messages.print(f"before it failed: {written.text()}", markup=False, soft_wrap=True)
                raise
            if not done.is_whole:
                # Printed before it fails: what was written stays, and is named nowhere else.
                _print(session, done, backup_id=export.backup_id, dry_run=False)
                raise _not_whole(done)
    _print(session, done, backup_id=export.backup_id, dry_run=False)


class _Written:
    """Names by what came of them, for the log; it has them also where the restore breaks off."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def note(self, step: ContentTypeStep) -> None:
        names: list[str] = self.told.setdefault(str(step.state), [])
        if len(names) < _NAMES_RECORDED:
            names.append(step.name)

    def text(self) -> str:
        changed = [f"{state} {', '.join(names)}" for state, names in self.told.items() if state != TypeState.UNCHANGED]
        return "; ".join(changed) or "nothing was written"


def _require_known(plan: ContentTypePlan, overwrite: tuple[str, ...], backup_id: str) -> None:
    if not plan.steps:
        raise ConfigurationError(f"{backup_id} has no content types", hint="lc2-backup ls --component configuration")
    if unknown := sorted(set(overwrite) - {step.name for step in plan.steps}):
        raise ConfigurationError(
            f"{backup_id} has no content type {', '.join(unknown)} to overwrite with",
            hint="it has " + ", ".join(sorted(step.name for step in plan.steps)),
        )


def _require_agreed(plan: ContentTypePlan) -> None:
    if conflicts := _names(plan, TypeState.CONFLICT):
        raise ResourceConflict(
            f"project {plan.project} has {number_of(len(conflicts), 'content type')} with other content: "
            f"{', '.join(conflicts)}; nothing was changed",
            hint="look at --dry-run, and name each that may be replaced: "
            + " ".join(f"--overwrite {name}" for name in conflicts),
        )


def _not_whole(done: ContentTypePlan) -> ResourceConflict:
    reasons = "; ".join(f"{step.name}: {step.reason}" for step in done.steps if step.state in _NOT_WRITTEN)
    written = done.count(TypeState.CREATED, TypeState.REPLACED)
    return ResourceConflict(
        f"not all content types were restored into project {done.project}: {reasons}",
        hint=f"{written} others were written and stay; run again, which plans anew",
    )


_NOT_WRITTEN = (TypeState.CONFLICT, TypeState.REFUSED)


def _names(plan: ContentTypePlan, *states: TypeState) -> list[str]:
    return [step.name for step in plan.steps if step.state in states]


def _print(session: Session, plan: ContentTypePlan, *, backup_id: str, dry_run: bool) -> None:
    if session.as_json:
        session.print_json(
            {
                "backup_id": backup_id,
                "project": plan.project,
                "dry_run": dry_run,
                "steps": [_fields(step) for step in plan.steps],
                "extra": list(plan.extra),
            }
        )
        return
    out = session.console
    out.print(f"{number_of(len(plan.steps), 'content type')} of {backup_id}, into project {plan.project}", markup=False)
    for line in plan.text():
        out.print(f"  {line}", markup=False, soft_wrap=True)
    if dry_run:
        out.print("dry run: nothing was changed")
    else:
        out.print(
            f"{plan.count(TypeState.CREATED)} created, {plan.count(TypeState.REPLACED)} replaced, "
            f"{plan.count(TypeState.UNCHANGED)} as they were"
        )


def _fields(step: ContentTypeStep) -> dict[str, Any]:
    return {
        "name": step.name,
        "state": str(step.state),
        "version": step.version,
        "reason": step.reason,
        "changes": asdict(step.changes) if step.changes else None,
    }
