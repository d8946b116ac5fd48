"""From a run to the operation that captures a component, and from what it captured to what Dagster shows."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from lc2_backup_dagster.model.errors import IntegrityError, RecoveryPointNotFound, TransientError, WindowNotRestorable
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations import checks
from lc2_backup_dagster.operations.browse.stored_exports import changes_between
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point, restorable_points
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.configuration import capture_configuration
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.verify.chain_objects import look_at_chain
from lc2_backup_dagster.orchestration.checks import check_result
from lc2_backup_dagster.orchestration.keys import points_name
from lc2_backup_dagster.orchestration.metadata import capture_metadata, changes_metadata
from lc2_backup_dagster.orchestration.partitions import window_length
from lc2_backup_dagster.orchestration.progress import LoggedProgress
from lc2_backup_dagster.orchestration.run_context import StepContext, asked_at, initiator_of, window_of
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.resources.catalog import CatalogResource
from lc2_backup_dagster.sites.schema import SiteDefinition


def capture_component(component: Component, context: dg.AssetExecutionContext, opened: SiteContext) -> Captured:
    """Capture the component the run is for."""
    window = window_of(context, window_length(component))
    if component is Component.RECOVERY_POINT:
        allow_partial = bool((context.op_config or {}).get("allow_partial"))
        try:
            return bind_recovery_point(
                opened, window=window, initiator=initiator_of(context), allow_partial=allow_partial
            )
        finally:
            # A partial point ends in an error, and is offered all the same.
            with after_commit(context):
                offer_points(context.instance, opened)
    asked: dict[str, Any] = {"window": window, "asked_at": asked_at(context), "initiator": initiator_of(context)}
    progress = LoggedProgress(context.log, str(component))
    if component is Component.CONFIGURATION:
        return capture_configuration(opened, **asked, progress=progress.objects_done, say=context.log.info)
    if component is Component.FILES:
        asked["say"] = context.log.info
        return capture_site_files(opened, **asked, progress=progress.objects_done, expect=progress.expect)
    if component is Component.DATABASE:
        return capture_database(opened, **asked, progress=progress.bytes_done)
    return capture_database_dump(opened, **asked, progress=progress.bytes_done, say=context.log.info)


def materialized(
    component: Component,
    context: StepContext,
    key: dg.AssetKey,
    definition: SiteDefinition,
    opened: SiteContext,
    captured: Captured,
    *,
    catalog: CatalogResource,
) -> dg.MaterializeResult:
    """Do what follows the commit of a capture, check what was captured, and return what its asset shows."""
    if captured.kept is not None:
        with after_commit(context):
            _report(context, key, captured.kept)
    with after_commit(context):
        if warning := catalog.catch_up(opened.open_repository(False)):
            context.log.warning(warning)
    outcomes = _OUTCOMES[component](definition, opened, captured)
    metadata = capture_metadata(captured)
    if component is Component.CONFIGURATION and captured.earlier:
        with after_commit(context), _earlier_one_may_be_gone(context):
            repository = opened.open_repository(False)
            metadata |= changes_metadata(
                opened.site, changes_between(repository, captured.earlier[-1], captured.backup), captured.backup
            )
    return dg.MaterializeResult(
        asset_key=key,
        metadata=metadata,
        data_version=dg.DataVersion(captured.backup.manifest_sha256),
        check_results=[check_result(outcome) for outcome in outcomes],
    )


@contextmanager
def kept_reported(context: StepContext, key: dg.AssetKey, opened: SiteContext) -> Generator[None]:
    """Report a backup that came too late under the window its moment lies in, when the capture is refused for that."""
    try:
        yield
    except WindowNotRestorable as error:
        backup_id = error.attributes.get("backup_id")
        if isinstance(backup_id, str):
            with after_commit(context):
                _report(context, key, opened.open_repository(False).backup(backup_id))
        raise


def _report(context: StepContext, key: dg.AssetKey, backup: CommittedBackup) -> None:
    if backup.window is None:
        return  # it fills none
    context.instance.report_runless_asset_event(
        dg.AssetMaterialization(
            key,
            partition=backup.window,
            metadata={
                "backup_id": backup.backup_id,
                "kind": str(backup.kind),
                "note": "captured by a run that was meant for an earlier window",
            },
        )
    )


@contextmanager
def after_commit(context: StepContext) -> Generator[None]:
    """Do what follows a commit: an outage now is told and made up by the next run; the backup exists all the same.

    Without this a store that goes away here would make Dagster take the whole backup once more.
    """
    try:
        yield
    except TransientError as error:
        context.log.warning(f"the backup is committed, but what follows it was not possible now: {error}")


@contextmanager
def _earlier_one_may_be_gone(context: StepContext) -> Generator[None]:
    """Compare with the export before; damage of that one, or its purge meanwhile, is no failure of this one."""
    try:
        yield
    except (IntegrityError, RecoveryPointNotFound) as error:
        context.log.error(f"the backup is committed, but what changed since the one before cannot be told: {error}")


def offer_points(instance: dg.DagsterInstance, opened: SiteContext) -> None:
    """Make the partitions of the site's restore asset exactly the points that can be restored."""
    name = points_name(opened.site)
    points = {each.backup_id for each in restorable_points(opened.open_repository(False))}
    offered = set(instance.get_dynamic_partitions(name))
    instance.add_dynamic_partitions(name, sorted(points - offered))
    for gone in sorted(offered - points):
        instance.delete_dynamic_partition(name, gone)


def _dump_outcomes(definition: SiteDefinition, opened: SiteContext, captured: Captured) -> list[checks.Outcome]:
    return [
        checks.checksums(captured, read_back_all=definition.policies.read_back == "all"),
        checks.encrypted(captured, required=definition.destination.encryption.enabled),
        checks.size_is_plausible(captured, change_ratio=opened.limits.change_ratio),
    ]


def _database_outcomes(definition: SiteDefinition, opened: SiteContext, captured: Captured) -> list[checks.Outcome]:
    return [*_dump_outcomes(definition, opened, captured), _chain_outcome(opened, captured)]


def _chain_outcome(opened: SiteContext, captured: Captured) -> checks.Outcome:
    try:
        return checks.chain_complete(captured, look_at_chain(opened.open_repository(False), captured.backup))
    except TransientError as error:
        # The backup is committed: an outage now must not take it once more. What is unknown is no success (L-28).
        return checks.Outcome("chain_complete", passed=False, message=f"could not be looked at: {error}")


def _files_outcomes(definition: SiteDefinition, opened: SiteContext, captured: Captured) -> list[checks.Outcome]:
    return [*_dump_outcomes(definition, opened, captured), checks.files_complete(captured)]


def _configuration_outcomes(
    definition: SiteDefinition, opened: SiteContext, captured: Captured
) -> list[checks.Outcome]:
    return [*_dump_outcomes(definition, opened, captured), checks.export_complete(captured)]


def _point_outcomes(definition: SiteDefinition, opened: SiteContext, captured: Captured) -> list[checks.Outcome]:
    match = captured.manifest.details["row_match"]
    if match is None:
        return [checks.Outcome("files_match_rows", passed=True, message="no rows of this application name files")]
    return [checks.files_match_rows(match, dangling_limit_share=opened.limits.dangling_rows_share)]


_OUTCOMES: dict[Component, Callable[[SiteDefinition, SiteContext, Captured], list[checks.Outcome]]] = {
    Component.DATABASE: _database_outcomes,
    Component.DATABASE_DUMP: _dump_outcomes,
    Component.FILES: _files_outcomes,
    Component.CONFIGURATION: _configuration_outcomes,
    Component.RECOVERY_POINT: _point_outcomes,
}
