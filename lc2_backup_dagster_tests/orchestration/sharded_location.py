"""A code location for tests with processes: a site that is cut into shards, whose steps do what a test file tells them.

Shards append what they do, for which run and in which process to ``$SHARDED_HOME/steps``. While ``meet`` exists each
waits for all others to have begun, and while ``hold`` does, for that to go; the one that ``kill`` names dies before its
fifth object.
"""

import os
import re
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from lc2_backup_dagster.engines.files.capture import transfer
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.capture import shards as capture_shards
from lc2_backup_dagster.orchestration import sharded_files
from lc2_backup_dagster.orchestration.asset_traits import SiteAssets
from lc2_backup_dagster.orchestration.build import build_definitions
from lc2_backup_dagster.resources.sites import SitesResource
from lc2_backup_dagster.sites.assembly import open_site
from lc2_backup_dagster.sites.loader import load_sites
from lc2_backup_dagster_tests.journeys.bad_days.errand import watched

HOME = Path(os.environ["SHARDED_HOME"])
JOB = "files_only"
SHARDS = 3


def told(step: str, *facts: object) -> None:
    with (HOME / "steps").open("a") as steps:
        steps.write(" ".join(map(str, [step, *facts, os.getpid()])) + "\n")


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not until():
        assert time.monotonic() < deadline, "waited two minutes"
        time.sleep(0.02)


def _begun() -> int:
    return len(set(re.findall(r"^shard (\d+)", (HOME / "steps").read_text(), re.MULTILINE)))


def _open(resource: SitesResource, definition: Any) -> Any:
    stored = 0

    def before(operation: str, key: str) -> None:
        nonlocal stored
        victim = (HOME / "kill").read_text() if (HOME / "kill").exists() else ""
        if operation == "put" and key.startswith("files/") and victim == _mine:
            stored += 1
            if stored == 5:
                os.kill(os.getpid(), signal.SIGKILL)

    return watched(open_site(definition, environment=os.environ), before)


_mine = ""
_capture_shard = capture_shards.capture_shard


def _captured(context: Any, number: int, **options: Any) -> Any:
    global _mine
    _mine = str(number)
    told("shard", number, options["ticket"])
    if (HOME / "meet").exists():
        _wait(lambda: _begun() == SHARDS)
    _wait(lambda: not (HOME / "hold").exists())
    result = _capture_shard(context, number, **options)
    told("captured", number, options["ticket"], result.capture.counts.copied_objects, result.capture.counts.resumed)
    return result


# Small steps: a journal of a few files, so that a process that dies has finished some.
capture_shards.capture_limits = lambda *_, **__: Limits(max_concurrency=1, journal_entries=2)  # type: ignore
transfer.BUNDLE_FILES = 2
SitesResource.open = _open  # type: ignore[method-assign]
sharded_files.capture_shard = _captured  # type: ignore[assignment]
sharded_files.BUSY_SECONDS = 1


def definitions() -> dg.Definitions:
    loaded = load_sites([HOME / "sites"], environment=os.environ)
    assert not loaded.problems, [str(problem) for problem in loaded.problems]
    [definition] = loaded.sites
    now = datetime.now(UTC)
    files = SiteAssets(definition, now).key(Component.FILES)
    job = dg.define_asset_job(JOB, selection=[files], executor_def=dg.multiprocess_executor)
    return dg.Definitions.merge(build_definitions([definition], now=now), dg.Definitions(jobs=[job]))


def job() -> dg.JobDefinition:
    return definitions().resolve_job_def(JOB)
