"""What an operation is told of the run it works for: who asked, when, and for which window."""

from datetime import UTC, datetime

import dagster as dg

from lc2_backup_dagster.model.clock import from_text
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.orchestration.deployment.run_tags import ASKED_AT_TAG, INITIATOR_TAG
from lc2_backup_dagster.repository.record import Initiator

StepContext = dg.AssetExecutionContext | dg.OpExecutionContext
"""What a step is given, whether it is an asset of its own or one of several that make one."""

_SOURCES = {"schedule": "schedule", "sensor": "request", "backfill": "backfill"}


def initiator_of(context: StepContext) -> Initiator:
    """Return who asked for the run, from the tag that the coordinator set."""
    told = context.run.tags.get(INITIATOR_TAG, "local")
    return Initiator(actor=told, source=_SOURCES.get(told.partition(":")[0], "ui"), run_id=context.run.run_id)


def asked_at(context: StepContext) -> datetime:
    """Return when the run was created: a run asked for at 10:59:58 may start at 11:00:02."""
    if told := context.run.tags.get(ASKED_AT_TAG):
        return from_text(told)
    record = context.instance.get_run_record_by_id(context.run.run_id)
    return record.create_timestamp.astimezone(UTC) if record else datetime.now(UTC)


def window_of(context: StepContext, length: WindowLength) -> Window:
    """Return the window of the run's partition."""
    return Window.parse(context.partition_key, length=length)


def ticket_of(context: StepContext) -> str:
    """Return what names the run together with all that go on with it: the id of the run that was launched first."""
    return context.run.root_run_id or context.run.run_id
