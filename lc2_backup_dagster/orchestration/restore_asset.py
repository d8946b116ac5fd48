"""The asset that restores: one partition for each point that can be restored, its launch form is the wish."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from lc2_backup_dagster.engines.files.restore.remarks import remarks
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.sizes import readable_bytes
from lc2_backup_dagster.operations.restore.request import RestorePlan, RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import Restored, StepDone, restore
from lc2_backup_dagster.orchestration.asset_traits import SiteAssets
from lc2_backup_dagster.orchestration.interruptions import translate_errors
from lc2_backup_dagster.orchestration.keys import RESTORE, asset_key, group_name, pool_name, restore_key
from lc2_backup_dagster.orchestration.partitions import recovery_points
from lc2_backup_dagster.orchestration.progress import LoggedProgress
from lc2_backup_dagster.orchestration.restore_form import RestoreConfig, Scope
from lc2_backup_dagster.orchestration.restore_server_run import restore_whole_server
from lc2_backup_dagster.orchestration.run_context import initiator_of
from lc2_backup_dagster.resources.sites import SitesResource


def restore_asset(site: SiteAssets) -> dg.AssetsDefinition:
    """Return the restore asset of a site."""
    definition = site.definition
    site_id, application = definition.site_id, definition.application_kind

    @dg.asset(
        key=restore_key(site_id),
        deps=[
            # A dynamic asset below a windowed one must say how they map; the point is named by the partition.
            dg.AssetDep(
                asset_key(site_id, application, Component.RECOVERY_POINT), partition_mapping=dg.LastPartitionMapping()
            )
        ],
        partitions_def=recovery_points(site_id),
        group_name=group_name(site_id),
        pool=pool_name(site_id, RESTORE),
        description=f"Restores {site_id}: pick a recovery point as the partition, then a target in the launch form "
        "(Shift+click on Materialize opens it). Without any input everything is restored into a new database and an "
        "empty folder; nothing existing is touched. Start with `dry_run: true` to see the plan.",
        owners=list(definition.owners),
        tags=dict(definition.tags),
        kinds={"postgres", "file"},
        op_tags={"lc2/component": RESTORE},
    )
    def restore_point(
        context: dg.AssetExecutionContext, config: RestoreConfig, sites: SitesResource
    ) -> dg.MaterializeResult:
        # Never tried again by itself: a second try would only refuse what the first one wrote.
        with translate_errors(max_retries=0):
            if config.scope is Scope.SERVER:
                return dg.MaterializeResult(metadata=restore_whole_server(context, config, sites.open(definition)))
            restored = restore(
                sites.open(definition),
                restore_request(context.partition_key, config),
                now=datetime.now(UTC),
                initiator=initiator_of(context),
                progress=_RestoreLog(context.log).tell,
                say=context.log.info,
            )
            if restored.dry_run:
                context.log.info(plan_text(restored.plan))
            metadata = _metadata(restored)
            if failure := restored.failure:
                # The data is there, but nobody must take the step for done: what remains to do is in the message.
                raise dg.Failure(description=str(failure), metadata=metadata, allow_retries=False)
            return dg.MaterializeResult(metadata=metadata)

    return restore_point


def restore_request(point: str, config: RestoreConfig) -> RestoreRequest:
    """Read a launch form for everything but a whole server.

    Raises:
        ConfigurationError: the form does not fit together.
    """
    if config.target_prefix and not config.target_prefix.endswith("/"):
        raise ConfigurationError(
            f"target_prefix '{config.target_prefix}' does not end with a slash", hint="write a folder, like restored/"
        )
    directory = Path(config.target_directory) if config.target_directory else None
    if directory is not None and config.scope is not Scope.FILES:
        raise ConfigurationError(
            f"target_directory is for scope 'files' and for scope 'server', not for '{config.scope.value}'",
            hint="choose one of them, or leave it out",
        )
    return RestoreRequest(
        backup_id=point,
        scope=RestoreScope(config.scope),
        target_database=config.target_database,
        files_bucket=config.target_bucket,
        files_prefix=config.target_prefix,
        files_directory=directory,
        configuration_directory=Path(config.configuration_directory) if config.configuration_directory else None,
        globs=tuple(config.files),
        below=config.files_below,
        keys=tuple(config.file_keys),
        conflict=Conflict(config.on_conflict),
        remove_orphans=config.remove_orphans,
        import_configuration=config.import_configuration,
        invalidate_cdn=config.invalidate_cdn,
        jobs=config.jobs,
        dry_run=config.dry_run,
    )


class _RestoreLog:
    """Progress in the run's log, each step with its own rate and time remaining."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._steps: dict[str, LoggedProgress] = {}

    def tell(self, done: StepDone) -> None:
        if done.step not in self._steps:
            self._steps[done.step] = LoggedProgress(self._log, f"restore of {done.step}", done.total_bytes)
        progress = self._steps[done.step]
        if done.objects is None:
            progress.bytes_done(done.done_bytes, done.total_bytes)
        else:
            progress.objects_done(done.objects, done.done_bytes)


def plan_text(plan: RestorePlan) -> str:
    """Return the plan as Markdown."""
    lines = [f"**Restore of {plan.site} as of {plan.moment}** (recovery point `{plan.point}`)", ""]
    if plan.database:
        lines.append(
            f"- {plan.database.target}: {readable_bytes(plan.database.plain_bytes)} of dump in {plan.database.parts} "
            f"parts, taken from PostgreSQL {plan.database.server_version}"
        )
    if plan.files:
        lines.append(f"- {plan.files.objects} files, {readable_bytes(plan.files.plain_bytes)}, to {plan.files.target}")
        if told := plan.files.forecast:
            lines.append(
                f"- of them {told.written} files, {readable_bytes(told.written_bytes)}, would be written, and "
                f"{told.kept} that are there would stay"
            )
            if told.orphans:
                lines.append(f"- in the end {told.orphans} of them would be removed, because no row names them")
    if told := plan.configuration:
        where = f"to {told.target}" if told.target else "left out, no directory is named"
        lines.append(f"- {told.documents} documents of the configuration, {readable_bytes(told.plain_bytes)}, {where}")
    if told and told.import_command:
        lines.append(f"- then the configuration is imported: `{told.import_command}`")
    if plan.files and plan.files.cdn:
        lines.append(f"- then the CDN is told of what was written or deleted: {plan.files.cdn}")
    lines += [f"- **blocker**: {blocker}" for blocker in plan.blockers] or ["- no blockers"]
    lines += [f"- afterwards: {note}" for note in plan.notes]
    return "\n".join(lines)


def _metadata(restored: Restored) -> dict[str, dg.MetadataValue]:
    plan = restored.plan
    shown: dict[str, dg.MetadataValue] = {
        "dry_run": dg.MetadataValue.bool(restored.dry_run),
        "moment": dg.MetadataValue.timestamp(from_text(plan.moment)),
        "plan": dg.MetadataValue.md(plan_text(plan)),
        "bytes": dg.MetadataValue.int(0 if restored.dry_run else plan.plain_bytes),
        "seconds": dg.MetadataValue.float(round(restored.seconds, 3)),
    }
    if restored.database:
        shown["database"] = dg.MetadataValue.text(restored.database.database)
        shown["tables"] = dg.MetadataValue.int(restored.database.tables)
    if restored.files and plan.files:
        shown["files_target"] = dg.MetadataValue.text(plan.files.target)
        shown["files_written"] = dg.MetadataValue.int(restored.files.written)
        shown["files_kept"] = dg.MetadataValue.int(restored.files.kept)
        if told := remarks(restored.files):
            shown["not_as_in_the_backup"] = dg.MetadataValue.md("\n".join(f"- {remark}" for remark in told))
    if restored.rows:
        shown["files_match_rows"] = dg.MetadataValue.bool(restored.rows.passed)
        shown["rows_and_files"] = dg.MetadataValue.text(restored.rows.message)
        if match := restored.rows.match:
            shown["rows"] = dg.MetadataValue.int(match.rows)
            shown["dangling_rows"] = dg.MetadataValue.int(match.dangling_count)
            shown["orphans"] = dg.MetadataValue.int(match.orphan_count)
            shown["orphans_removed"] = dg.MetadataValue.int(restored.rows.removed.count)
    if restored.configuration:
        shown["configuration_directory"] = dg.MetadataValue.path(str(restored.configuration.directory))
        shown["documents"] = dg.MetadataValue.int(restored.configuration.documents)
    for each in restored.follow_ups:
        shown[each.name] = dg.MetadataValue.text(each.text)
        shown[f"{each.name}_done"] = dg.MetadataValue.bool(each.succeeded)
        if each.hint:
            shown[f"{each.name}_hint"] = dg.MetadataValue.text(each.hint)
    return shown
