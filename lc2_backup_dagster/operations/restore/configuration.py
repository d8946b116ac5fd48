"""Restore a configuration: its documents go into a new directory, whole or not at all."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from lc2_backup_dagster.engines.exports.stored import StoredExport
from lc2_backup_dagster.engines.exports.unpack import UnpackedExport, check_target, unpack_export
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError
from lc2_backup_dagster.operations.restore.request import ConfigurationPlan, RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository


def plan_configuration(
    context: SiteContext,
    repository: SiteRepository,
    request: RestoreRequest,
    backup: CommittedBackup,
    blockers: list[BackupError],
) -> ConfigurationPlan:
    """Plan the restore of an export.

    A full restore that names no directory leaves the configuration out, and the plan says so; a restore of the
    configuration alone cannot run without one.
    """
    manifest = repository.manifest(backup.backup_id)
    target = target_of(context, request, backup)
    export = StoredExport(repository, manifest)
    documents = size_bytes = 0
    try:
        if request.scope is RestoreScope.CONFIGURATION:
            for entry in export.entries():
                if entry.path in request.selection:
                    documents, size_bytes = documents + 1, size_bytes + entry.size_bytes
        else:
            documents, size_bytes = backup.summary["documents"], manifest.details["documents_bytes"]
        if target is None and request.scope is RestoreScope.CONFIGURATION:
            raise ConfigurationError(
                f"no directory is named for the configuration of {context.site}",
                hint="name one for the restore, or set restore.configuration.directory in the site file",
            )
        if target is not None:
            check_target(target)
        if not documents:
            raise ConfigurationError(f"{backup.backup_id} has no document that was asked for", hint="look at ls")
    except BackupError as error:
        blockers.append(error)
    command = _import_command(context, request, backup, target, blockers) if request.import_configuration else None
    left_out = manifest.details.get("secrets_left_out") or {}
    return ConfigurationPlan(
        backup_id=backup.backup_id,
        target=str(target) if target else None,
        documents=documents,
        plain_bytes=size_bytes,
        secrets_left_out=int(left_out.get("count", 0)),
        import_command=command,
    )


def _import_command(
    context: SiteContext,
    request: RestoreRequest,
    backup: CommittedBackup,
    target: Path | None,
    blockers: list[BackupError],
) -> str | None:
    """Return the command of an import that was asked for, and refuse one that cannot be right."""
    told = context.restore.configuration_import
    if told is None:
        blockers.append(
            ConfigurationError(
                f"the site file of {context.site} names no command that imports a configuration",
                hint="set restore.configuration.importCommand, or import the restored documents by hand",
            )
        )
    # An import makes the application equal to the folder: what is missing there is deleted from the application.
    some = request.scope is RestoreScope.CONFIGURATION and not request.selection.is_everything
    if some or backup.summary.get("partial"):
        what = "only some documents are restored" if some else f"{backup.backup_id} is partial"
        blockers.append(
            ConfigurationError(
                f"{what}, and an import would take the others for deleted",
                hint="import a whole configuration, or restore these documents and import them by hand",
            )
        )
    if target is None and request.scope is RestoreScope.FULL:
        blockers.append(not_restored())
    return shlex.join(told.words(target)) if told and target else None


def not_restored() -> ConfigurationError:
    """Return the refusal of an import of what is not restored."""
    return ConfigurationError(
        "an import of the configuration is asked for, but no configuration is restored",
        hint="restore one, into a directory that the request or restore.configuration.directory names",
    )


def restore_configuration(
    repository: SiteRepository, request: RestoreRequest, plan: ConfigurationPlan
) -> UnpackedExport:
    """Write the documents below the planned directory.

    Raises:
        TargetNotEmpty: the directory came to be in the meantime.
        ExportCorrupt: a document is not what was stored.
        BackupError: what repository and directory raise; nothing is left then.
    """
    assert plan.target is not None
    export = StoredExport(repository, repository.manifest(plan.backup_id))
    wanted = request.selection.__contains__ if request.scope is RestoreScope.CONFIGURATION else None
    return unpack_export(export.documents(wanted), Path(plan.target))


def target_of(context: SiteContext, request: RestoreRequest, backup: CommittedBackup) -> Path | None:
    """Return the new directory: the one that was named, else one named after the backup in the site's own place."""
    if request.configuration_directory is not None:
        return request.configuration_directory
    own = context.restore.configuration_directory
    return own / backup.backup_id if own else None


def notes_of(plan: ConfigurationPlan | None, scope: RestoreScope) -> Sequence[str]:
    """Say what a person must know of the configuration of a restore."""
    if plan is None:
        return ()
    notes: list[str] = []
    if plan.target is None and scope is RestoreScope.FULL:
        notes.append(
            f"configuration: {plan.documents} documents are not restored, because no directory is named for them; "
            "restore them alone with scope configuration"
        )
    if plan.target is not None and plan.secrets_left_out:
        notes.append(
            f"configuration: {plan.secrets_left_out} secrets are not part of the backup and must be supplied; "
            f"`lc2-backup show` of {plan.backup_id} names them"
            + (", and the import brings the documents in without them" if plan.import_command else "")
        )
    return notes
