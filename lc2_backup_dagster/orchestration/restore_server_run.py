"""What the restore asset does when a whole database server is asked for: base backup and WAL, up to a target."""

from pathlib import Path

import dagster as dg

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import ConfigurationError, TargetNotEmpty
from lc2_backup_dagster.model.recovery_target import RecoveryTarget
from lc2_backup_dagster.model.sizes import readable_bytes
from lc2_backup_dagster.operations.restore.point_target import physical_target
from lc2_backup_dagster.operations.restore.server import ServerPlan, plan_server_restore, restore_server
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.orchestration.progress import LoggedProgress
from lc2_backup_dagster.orchestration.restore_form import RestoreConfig, Target
from lc2_backup_dagster.orchestration.run_context import initiator_of


def restore_whole_server(
    context: dg.AssetExecutionContext, config: RestoreConfig, opened: SiteContext
) -> dict[str, dg.MetadataValue]:
    """Restore the server of the run's recovery point into a new directory; return the metadata of what was done.

    Raises:
        ConfigurationError: the form does not fit together.
        TargetNotEmpty: something is in the way; nothing was changed.
        TargetUnreachable: the target cannot be reached.
    """
    if config.import_configuration or config.invalidate_cdn:
        raise ConfigurationError(
            "import_configuration and invalidate_cdn are for restores of a configuration and of files, not of a server",
            hint="leave them out",
        )
    directory = _directory(config)
    backup_id, target = physical_target(opened.open_repository(False), context.partition_key, wished_target(config))
    places = {int(oid): Path(place) for oid, place in config.tablespaces.items()}
    plan = plan_server_restore(opened, backup_id, target_directory=directory, target=target, tablespaces=places)
    shown: dict[str, dg.MetadataValue] = {
        "plan": dg.MetadataValue.md(server_plan_text(plan)),
        "dry_run": dg.MetadataValue.bool(config.dry_run),
    }
    if plan.moment is not None:
        shown["moment"] = dg.MetadataValue.timestamp(from_text(plan.moment))
    if config.dry_run:
        context.log.info(server_plan_text(plan))
        return {**shown, "bytes": dg.MetadataValue.int(0)}
    if plan.blockers:
        raise TargetNotEmpty(
            f"restore of {plan.backup_id} cannot run: " + " | ".join(plan.blockers),
            hint="nothing was changed; remove the blockers and run again",
        )
    restored = restore_server(
        opened,
        backup_id,
        target_directory=directory,
        target=target,
        tablespaces=places,
        initiator=initiator_of(context),
        progress=LoggedProgress(context.log, "restore").bytes_done,
    )
    shown |= {
        "bytes": dg.MetadataValue.int(plan.plain_bytes),
        "directory": dg.MetadataValue.path(str(restored.base.directory)),
        "chain": dg.MetadataValue.json(list(restored.chain)),
        "databases": dg.MetadataValue.json(list(restored.databases)),
    }
    if restored.recovered is not None:
        shown["recovered_to"] = dg.MetadataValue.text(str(restored.recovered.end))
        shown["wal_files"] = dg.MetadataValue.int(restored.recovered.wal_files)
    return shown


def wished_target(config: RestoreConfig) -> RecoveryTarget | None:
    """Return the target that a form asks for, or None for the moment of the recovery point.

    Raises:
        ConfigurationError: a value is missing, or is not one of its kind (a time without a zone, L-15).
    """
    if config.recovery_target is Target.POINT:
        if config.recovery_value is not None or config.recovery_timeline is not None:
            raise ConfigurationError(
                "recovery_value and recovery_timeline mean nothing for the point's own moment",
                hint="choose a recovery_target: time, lsn, name, xid, latest or immediate",
            )
        return None
    return RecoveryTarget.parse(config.recovery_target.value, config.recovery_value, timeline=config.recovery_timeline)


def server_plan_text(plan: ServerPlan) -> str:
    """Return the plan as Markdown."""
    lines = [
        f"**Restore of a server to {plan.target}** (moment: {plan.moment or 'told by the recovery'})",
        "",
        f"- {len(plan.chain)} backups, {readable_bytes(plan.plain_bytes)} in {plan.parts} parts, taken from PostgreSQL "
        f"{plan.server_version}: {', '.join(plan.chain)}",
        f"- up to {plan.wal_segments} archived WAL segments are replayed",
        f"- into {plan.directory} on the machine of this run; it is started privately, asked, and stopped again",
    ]
    lines += [f"- tablespace {oid} was in {place}" for oid, place in plan.tablespaces.items()]
    lines += [f"- **blocker**: {blocker}" for blocker in plan.blockers] or ["- no blockers"]
    return "\n".join(lines)


def _directory(config: RestoreConfig) -> Path:
    if config.target_directory is None or not Path(config.target_directory).is_absolute():
        raise ConfigurationError(
            "scope server needs target_directory, an absolute path on the machine that runs the restore",
            hint="name a new or empty directory",
        )
    unused = {
        "target_database": config.target_database,
        "target_bucket": config.target_bucket,
        "target_prefix": config.target_prefix,
        "configuration_directory": config.configuration_directory,
        "files": config.files,
        "file_keys": config.file_keys,
        "files_below": config.files_below,
    }
    if given := [name for name, value in unused.items() if value]:
        raise ConfigurationError(f"scope server takes no {', '.join(given)}", hint="leave them out")
    return Path(config.target_directory)
