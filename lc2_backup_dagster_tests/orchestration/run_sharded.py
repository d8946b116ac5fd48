"""Carries out one run of ``sharded_location`` with the multiprocess executor, and writes what became of it as JSON.

A process of its own, so that the server that its steps are forked from has its environment and imports nothing else.
``python -m … RESULT [FAILED_RUN]``: with a run, it is executed again from its failure.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster_tests.orchestration import sharded_location

CONFIG = {
    "execution": {
        "config": {
            "max_concurrent": 3,
            "start_method": {"forkserver": {"preload_modules": [sharded_location.__name__]}},
        }
    }
}


def main(result: Path, failed: str | None) -> None:
    today = Window.around(datetime.now(UTC), length=WindowLength.DAILY)
    with (
        dg.DagsterInstance.get() as instance,
        dg.execute_job(
            dg.reconstructable(sharded_location.job),
            instance,
            run_config=None if failed else CONFIG,
            tags={"dagster/partition": today.key},
            reexecution_options=dg.ReexecutionOptions.from_failure(failed, instance) if failed else None,
        ) as ended,
    ):
        events = ended.all_events
        result.write_text(json.dumps({"run_id": ended.run_id, "success": ended.success, **of_interest(events)}))


def of_interest(events: Sequence[dg.DagsterEvent]) -> dict[str, Any]:
    kinds = dg.DagsterEventType
    ends = {kinds.STEP_SUCCESS: "done", kinds.STEP_FAILURE: "failed"}
    materializations = [
        event.step_materialization_data.materialization
        for event in events
        if event.event_type is kinds.ASSET_MATERIALIZATION
    ]
    checks = [event.asset_check_evaluation_data for event in events if event.event_type is kinds.ASSET_CHECK_EVALUATION]
    return {
        "steps": {
            str(event.step_key).rpartition("__")[2]: ends[event.event_type]
            for event in events
            if event.event_type in ends
        },
        "waits": sum(event.event_type is kinds.STEP_UP_FOR_RETRY for event in events),
        "shown": [{"partition": each.partition, "metadata": sorted(each.metadata)} for each in materializations],
        "checks": {each.check_name: each.passed for each in checks},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
