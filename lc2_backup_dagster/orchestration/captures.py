"""From a run to the operation that captures a component, and from what it captured to the outcomes of its checks."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from lc2_backup_dagster.model.errors import TransientError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations import checks
from lc2_backup_dagster.operations.bind_recovery_point import bind_recovery_point, restorable_points
from lc2_backup_dagster.operations.capture_database import capture_database
from lc2_backup_dagster.operations.capture_dump import capture_database_dump
from lc2_backup_dagster.operations.capture_files import capture_site_files
from lc2_backup_dagster.operations.captured import Captured
from lc2_backup_dagster.operations.chain_objects import look_at_chain
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.orchestration.keys import points_name
from lc2_backup_dagster.orchestration.partitions import window_length
from lc2_backup_dagster.orchestration.progress import LoggedProgress
from lc2_backup_dagster.orchestration.run_context import asked_at, initiator_of, window_of
from lc2_backup_dagster.sites.schema import SiteDefinition


def capture_component(component: Component, context: dg.AssetExecutionContext, opened: SiteContext) -> Captured:
    """Capture the component the run is for."""
    window = window_of(context, window_length(component))
    if component is Component.RECOVERY_POINT:
        captured = bind_recovery_point(opened, window=window, initiator=initiator_of(context))
        with after_commit(context):
            offer_points(context.instance, opened)
        return captured
    asked: dict[str, Any] = {"window": window, "asked_at": asked_at(context), "initiator": initiator_of(context)}
    progress = LoggedProgress(context.log, str(component))
    if component is Component.FILES:
        return capture_site_files(opened, **asked, progress=progress.objects_done, expect=progress.expect)
    capture = capture_database if component is Component.DATABASE else capture_database_dump
    return capture(opened, **asked, progress=progress.bytes_done)


def outcomes_of(
    component: Component, definition: SiteDefinition, opened: SiteContext, captured: Captured
) -> list[checks.Outcome]:
    """Check what was captured; one outcome for each of the component's specs."""
    return _OUTCOMES[component](definition, opened, captured)


@contextmanager
def after_commit(context: dg.AssetExecutionContext) -> Generator[None]:
    """Do what follows a commit: an outage now is told and made up by the next run; the backup exists all the same.

    Without this a store that goes away here would make Dagster take the whole backup once more.
    """
    try:
        yield
    except TransientError as error:
        context.log.warning(f"the backup is committed, but what follows it was not possible now: {error}")


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


def _point_outcomes(definition: SiteDefinition, opened: SiteContext, captured: Captured) -> list[checks.Outcome]:
    match = captured.manifest.details["row_match"]
    if match is None:
        return [checks.Outcome("files_match_rows", passed=True, message="no rows of this application name files")]
    return [checks.files_match_rows(match, dangling_limit_share=opened.limits.dangling_rows_share)]


_OUTCOMES: dict[Component, Callable[[SiteDefinition, SiteContext, Captured], list[checks.Outcome]]] = {
    Component.DATABASE: _database_outcomes,
    Component.DATABASE_DUMP: _dump_outcomes,
    Component.FILES: _files_outcomes,
    Component.RECOVERY_POINT: _point_outcomes,
}
CAPTURED = tuple(_OUTCOMES)
"""The components that are captured, upstream first."""
