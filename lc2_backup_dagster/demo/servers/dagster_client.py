"""Drive Dagster through its GraphQL interface, as its UI does. No Dagster import; the standard library only.

`dagster-graphql`'s own client launches jobs only; assets are launched by `launchRun` with an asset selection on the
hidden job ``__ASSET_JOB``.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lc2_backup_dagster.model.errors import PermanentError, TransientError

ASSET_JOB = "__ASSET_JOB"
_REPOSITORY = "__repository__"
FINISHED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
AssetKeyPath = Sequence[str]


class DagsterUnreachable(TransientError):
    """The web server does not answer (yet)."""


@dataclass(frozen=True, slots=True)
class Location:
    """State of the code location: loaded, or failed with an error text; neither while it loads."""

    is_loaded: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run as the UI shows it.

    Attributes:
        errors: messages of the run's failure and of each failed step, outermost first.
    """

    run_id: str
    status: str
    tags: Mapping[str, str]
    errors: tuple[str, ...]

    @property
    def is_finished(self) -> bool:
        """Whether the status will not change any more."""
        return self.status in FINISHED


class DagsterClient:
    """A small client of one web server and one code location."""

    def __init__(self, url: str, *, location: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = url.rstrip("/")
        self._location = location
        self._headers = {"Content-Type": "application/json", **(headers or {})}

    def query(self, document: str, **variables: object) -> dict[str, Any]:
        """Send one GraphQL document; return its data.

        Raises:
            DagsterUnreachable: no answer.
            PermanentError: the server refused the document or answered with errors.
        """
        request = urllib.request.Request(  # noqa: S310 - the address is ours
            f"{self._url}/graphql",
            data=json.dumps({"query": document, "variables": variables}).encode(),
            headers=self._headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - the address is ours
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise PermanentError(f"Dagster answered {error.code}: {text[:2000]}", status=error.code) from error
        except (OSError, http.client.HTTPException) as error:
            raise DagsterUnreachable(f"Dagster at {self._url} does not answer: {error}") from error
        if answer.get("errors"):
            raise PermanentError(f"Dagster answered with errors: {json.dumps(answer['errors'])[:2000]}")
        return answer["data"]

    def location(self) -> Location:
        """Return whether the code location is loaded."""
        entries = self.query(_LOCATIONS)["workspaceOrError"].get("locationEntries", [])
        for entry in entries:
            loaded = entry["locationOrLoadError"]
            if entry["name"] == self._location and loaded:
                if loaded["__typename"] == "RepositoryLocation":
                    return Location(is_loaded=True, error=None)
                # A code server that is still starting is an error for Dagster, and goes away by itself.
                if "UserCodeUnreachable" in (loaded.get("className") or "") or "UNAVAILABLE" in _error_text(loaded):
                    return Location(is_loaded=False, error=None)
                return Location(is_loaded=False, error=_error_text(loaded))
        return Location(is_loaded=False, error=None)

    def silent_daemons(self) -> list[str]:
        """Return the daemons that are needed and have not sent a heartbeat lately."""
        statuses = self.query(_DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return [status["daemonType"] for status in statuses if status["required"] and not status["healthy"]]

    def launch_assets(
        self,
        assets: Sequence[AssetKeyPath],
        *,
        partition: str | None = None,
        config: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Launch a run over assets, as "Materialize" in the UI does; return its id.

        Raises:
            PermanentError: Dagster refused (unknown partition, wrong config, different partitions, …), with its words.
        """
        all_tags = {**(tags or {}), **({"dagster/partition": partition} if partition else {})}
        parameters = {
            "selector": {
                "repositoryLocationName": self._location,
                "repositoryName": _REPOSITORY,
                "jobName": ASSET_JOB,
                "assetSelection": [{"path": list(key)} for key in assets],
                # null: the checks of these assets run with them. An empty list would leave them out.
                "assetCheckSelection": None,
            },
            "runConfigData": config or {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in all_tags.items()]},
        }
        return self._launch(parameters)

    def launch_job(self, job: str, *, config: Mapping[str, object] | None = None) -> str:
        """Launch a whole job; return the run's id."""
        selector = {"repositoryLocationName": self._location, "repositoryName": _REPOSITORY, "jobName": job}
        return self._launch({"selector": selector, "runConfigData": config or {}})

    def launch_backfill(self, assets: Sequence[AssetKeyPath], partitions: Sequence[str]) -> str:
        """Launch a backfill over partitions; return its id. Its runs carry the tag ``dagster/backfill``."""
        parameters = {"assetSelection": [{"path": list(key)} for key in assets], "partitionNames": list(partitions)}
        answer = self.query(_LAUNCH_BACKFILL, parameters=parameters)["launchPartitionBackfill"]
        if "backfillId" not in answer:
            raise PermanentError(f"Dagster refused the backfill: {_error_text(answer)}")
        return answer["backfillId"]

    def run(self, run_id: str) -> Run:
        """Return one run."""
        answer = self.query(_RUN, id=run_id)["runOrError"]
        if answer["__typename"] != "Run":
            raise PermanentError(f"Dagster knows no run {run_id}: {_error_text(answer)}")
        return _run(answer, self._errors_of(run_id) if answer["status"] == "FAILURE" else ())

    def runs(self, *, tags: Mapping[str, str] | None = None, limit: int = 100) -> list[Run]:
        """Return runs with these tags, newest first, without their errors."""
        wanted = {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]}
        answer = self.query(_RUNS, filter=wanted, limit=limit)["runsOrError"]
        return [_run(run, ()) for run in answer["results"]]

    def wait(self, run_id: str, *, timeout_seconds: float = 600.0, until: frozenset[str] = FINISHED) -> Run:
        """Wait until a run has one of the statuses `until`, or has finished.

        Raises:
            TransientError: it has not after `timeout_seconds`.
        """
        deadline = time.monotonic() + timeout_seconds
        pause = 0.05
        while True:
            run = self.run(run_id)
            if run.is_finished or run.status in until:
                return run
            if time.monotonic() > deadline:
                raise TransientError(f"run {run_id} is still {run.status} after {timeout_seconds:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def terminate(self, run_id: str, *, force: bool = False) -> None:
        """Ask a run to stop; with `force` also mark it as canceled at once (its process may go on)."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        answer = self.query(_TERMINATE, id=run_id, policy=policy)["terminateRun"]
        if answer["__typename"] != "TerminateRunSuccess":
            raise PermanentError(f"Dagster did not terminate run {run_id}: {_error_text(answer)}")

    def partitions(self, asset: AssetKeyPath) -> dict[str, str]:
        """Return the status of each partition of an asset in order: MATERIALIZED, FAILED, MATERIALIZING or MISSING."""
        node = self.query(_PARTITIONS, key={"path": list(asset)})["assetNodeOrError"]
        if node["__typename"] != "AssetNode":
            raise PermanentError(f"Dagster knows no asset {'/'.join(asset)}: {_error_text(node)}")
        keys: list[str] = node["partitionKeys"]
        statuses = dict.fromkeys(keys, "MISSING")
        found = node["assetPartitionStatuses"]
        for status in ("materialized", "failed", "materializing"):  # the latest word wins
            for key in found.get(f"{status}Partitions") or ():
                statuses[key] = status.upper()
        for stretch in found.get("ranges") or ():
            for key in keys[keys.index(stretch["startKey"]) : keys.index(stretch["endKey"]) + 1]:
                statuses[key] = stretch["status"]
        return statuses

    def automation(self) -> dict[str, str]:
        """Return the state (RUNNING or STOPPED) of every schedule and sensor by name."""
        selector = {"repositoryLocationName": self._location, "repositoryName": _REPOSITORY}
        answer = self.query(_AUTOMATION, selector=selector)
        states = {found["name"]: found["scheduleState"]["status"] for found in answer["schedulesOrError"]["results"]}
        return states | {found["name"]: found["sensorState"]["status"] for found in answer["sensorsOrError"]["results"]}

    def _launch(self, parameters: Mapping[str, object]) -> str:
        answer = self.query(_LAUNCH, parameters=parameters)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise PermanentError(f"Dagster refused the launch: {_error_text(answer)}", kind=answer["__typename"])
        return answer["run"]["id"]

    def _errors_of(self, run_id: str) -> tuple[str, ...]:
        events = self.query(_ERRORS, id=run_id)["logsForRun"].get("events", [])
        errors: list[str] = []
        for event in events:
            if event["__typename"] in ("RunFailureEvent", "ExecutionStepFailureEvent"):
                errors.append(event["message"])
                errors.extend(_error_text(event["error"]).splitlines()[:1] if event.get("error") else ())
                if failure := event.get("failureMetadata"):
                    errors.append(failure["description"])
        return tuple(error for error in errors if error)


def _run(answer: Mapping[str, Any], errors: tuple[str, ...]) -> Run:
    tags = {tag["key"]: tag["value"] for tag in answer["tags"]}
    return Run(run_id=answer["id"], status=answer["status"], tags=tags, errors=errors)


def _error_text(answer: Mapping[str, Any]) -> str:
    """Return what Dagster said, whichever of its error types it is."""
    if answer.get("errors"):
        return "; ".join(error["message"] for error in answer["errors"])
    causes = [cause["error"]["message"].strip() for cause in answer.get("errorChain") or ()]
    return "; caused by ".join([str(answer.get("message") or answer["__typename"]).strip(), *causes])


_ERROR = "... on Error { message } ... on PythonError { className errorChain { error { message } } }"
_LOCATIONS = f"""{{ workspaceOrError {{ ... on Workspace {{ locationEntries {{
  name locationOrLoadError {{ __typename {_ERROR} }} }} }} }} }}"""
_DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
_LAUNCH = f"""mutation($parameters: ExecutionParams!) {{ launchRun(executionParams: $parameters) {{
  __typename ... on LaunchRunSuccess {{ run {{ id }} }}
  ... on RunConfigValidationInvalid {{ errors {{ message }} }} {_ERROR} }} }}"""
_LAUNCH_BACKFILL = f"""mutation($parameters: LaunchBackfillParams!) {{
  launchPartitionBackfill(backfillParams: $parameters) {{
  __typename ... on LaunchBackfillSuccess {{ backfillId }} {_ERROR} }} }}"""
_RUN_FIELDS = "id status tags { key value }"
_RUN = f"query($id: ID!) {{ runOrError(runId: $id) {{ __typename ... on Run {{ {_RUN_FIELDS} }} {_ERROR} }} }}"
_RUNS = f"""query($filter: RunsFilter, $limit: Int) {{ runsOrError(filter: $filter, limit: $limit) {{
  ... on Runs {{ results {{ {_RUN_FIELDS} }} }} }} }}"""
_ERRORS = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { __typename
  ... on MessageEvent { message }
  ... on RunFailureEvent { error { __typename message errorChain { error { message } } } }
  ... on ExecutionStepFailureEvent {
    failureMetadata { description } error { __typename message errorChain { error { message } } } } } } } }"""
_TERMINATE = f"""mutation($id: String!, $policy: TerminateRunPolicy) {{
  terminateRun(runId: $id, terminatePolicy: $policy) {{ __typename
  ... on TerminateRunFailure {{ message }} {_ERROR} }} }}"""
_PARTITIONS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { __typename
  ... on AssetNode { partitionKeys assetPartitionStatuses { __typename
    ... on DefaultPartitionStatuses { materializedPartitions failedPartitions materializingPartitions }
    ... on TimePartitionStatuses { ranges { status startKey endKey } } } } ... on Error { message } } }"""
_AUTOMATION = """query($selector: RepositorySelector!) {
  schedulesOrError(repositorySelector: $selector) { ... on Schedules { results { name scheduleState { status } } } }
  sensorsOrError(repositorySelector: $selector) { ... on Sensors { results { name sensorState { status } } } } }"""
