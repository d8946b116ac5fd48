"""Tag every run before it is queued, however it was launched.

Dagster's tag limits see the tags of jobs only; assets launched from the UI carry none, so a limit per project would
not hold for them. The coordinator is the one door all runs pass: UI, schedules, sensors, backfills, retries, CLI.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import dagster as dg

from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.orchestration.deployment.run_tags import (
    ASKED_AT_TAG,
    INITIATOR_TAG,
    OPERATION_TAG,
    RESTORE,
    initiator_of_automation,
    initiator_of_request,
    tags_of_selection,
)

FORWARDED_USER_HEADER = "X-Forwarded-User"


class TaggingQueuedRunCoordinator(dg.QueuedRunCoordinator):
    """The queued coordinator, with project, application, operation and initiator on every run.

    Configured like `QueuedRunCoordinator`. Tags derived from assets replace what the launcher supplied, since the
    limits count them; a run of a plain job (no assets) keeps the tags of its job.
    """

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag the run, then queue it."""
        run = context.dagster_run
        tags = {INITIATOR_TAG: _initiator(context), ASKED_AT_TAG: to_text(datetime.now(UTC))}
        keys = [key.path for key in _selected_assets(run, self._instance)]
        if keys:
            tags |= tags_of_selection(keys)
        elif OPERATION_TAG not in run.tags:
            tags |= tags_of_selection([])
        if tags.get(OPERATION_TAG, run.tags.get(OPERATION_TAG)) == RESTORE:
            # A restore that was killed has perhaps written something; run again it would only refuse its own target.
            tags["dagster/max_retries"] = "0"
        # Before the run is queued: from then on the daemon may read it at any moment.
        self._instance.add_run_tags(run.run_id, tags)
        return super().submit_run(context)


def _initiator(context: dg.SubmitRunContext) -> str:
    # Only a workspace of the web server has a `source`, the request; the daemon submits all the others.
    if getattr(context.workspace, "source", None) is not None:
        return initiator_of_request(context.get_request_header(FORWARDED_USER_HEADER))
    return initiator_of_automation(context.dagster_run.tags)


def _selected_assets(run: dg.DagsterRun, instance: dg.DagsterInstance) -> Iterable[dg.AssetKey]:
    if run.asset_selection:
        return run.asset_selection
    if run.asset_check_selection:
        return {check.asset_key for check in run.asset_check_selection}
    # A schedule that launches a whole asset job names no assets; the plan that was stored with the run does.
    if run.execution_plan_snapshot_id is None:
        return ()
    return instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).asset_selection
