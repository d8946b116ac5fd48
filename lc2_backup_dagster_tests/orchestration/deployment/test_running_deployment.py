"""The whole deployment as dagster.yaml describes it: who is limited, what is tagged, what a step's errors become."""

from pathlib import Path

import pytest

from lc2_backup_dagster.model.errors import PermanentError
from lc2_backup_dagster_tests.orchestration.deployment.conftest import Deployment, wait_for

pytestmark = pytest.mark.journey
DATABASE = ["retail", "liferay", "database"]
STARTED = frozenset({"STARTED"})


@pytest.fixture(scope="module", autouse=True)
def backfill_id(started_deployment: Deployment) -> str:
    """Launched before the first test and looked at in the last: the backfill daemon looks every 30 s only."""
    return started_deployment.client.launch_backfill([["retail", "drupal", "files"]], ["2026-02-01"])


def test_a_run_launched_by_hand_is_tagged_from_its_assets_and_its_user(deployment: Deployment) -> None:
    forged = {"lc2/project": "bank", "lc2/initiator": "user:somebody else"}
    run = deployment.client.wait(deployment.client.launch_assets([DATABASE], partition="2026-01-05", tags=forged))

    assert run.status == "SUCCESS"
    assert run.tags["lc2/project"] == run.tags["lc2/backup_of_project"] == "retail"
    assert run.tags["lc2/application"] == "liferay"
    assert run.tags["lc2/operation"] == "backup"
    assert run.tags["lc2/initiator"] == "local"
    assert deployment.client.partitions(DATABASE)["2026-01-05"] == "MATERIALIZED"
    assert deployment.client.partitions(DATABASE)["2026-01-06"] == "MISSING"


def test_the_user_named_by_a_trusted_proxy_is_the_initiator(deployment: Deployment) -> None:
    client = type(deployment.client)(
        deployment.processes.url, location="lc2_backup", headers={"X-Forwarded-User": "alice@example.com"}
    )
    run_id = client.launch_job("plain_job")
    assert client.run(run_id).tags["lc2/initiator"] == "user:alice@example.com"
    assert client.run(run_id).tags["lc2/operation"] == "platform"


def test_runs_of_a_sensor_name_it_and_are_tagged_from_the_assets_of_their_job(deployment: Deployment) -> None:
    (deployment.scratch / "request").touch()
    by_sensor = {"lc2/initiator": "sensor:on_request"}
    wait_for(lambda: deployment.client.runs(tags=by_sensor), "the sensor's run")

    assert deployment.client.runs(tags=by_sensor)[0].tags["lc2/operation"] == "platform"
    assert deployment.client.automation() == {"every_minute": "STOPPED", "on_request": "RUNNING"}


def test_a_refused_launch_says_why(deployment: Deployment) -> None:
    with pytest.raises(PermanentError, match="nonsense"):
        deployment.client.launch_assets([["platform", "reconciliation"]], config={"nonsense": 1})


def test_a_project_runs_two_backups_at_once_and_a_component_one_while_restores_do_not_wait(
    deployment: Deployment,
) -> None:
    client = deployment.client
    deployment.hold()
    first = client.launch_assets([DATABASE], partition="2026-01-07")
    second = client.launch_assets([["retail", "drupal", "files"]], partition="2026-01-07")
    client.wait(first, until=STARTED)
    client.wait(second, until=STARTED)
    same_pool = client.launch_assets([DATABASE], partition="2026-01-08")
    third = client.launch_assets([["retail", "bloomreach", "media"]])
    other_project = client.launch_assets([["bank", "drupal", "stubborn"]])
    restore = client.launch_assets([["retail", "bloomreach", "restore"]])

    client.wait(other_project, until=STARTED)
    client.wait(restore, until=STARTED)
    assert client.run(same_pool).status == "QUEUED"
    assert client.run(third).status == "QUEUED"

    deployment.release()
    ended = [client.wait(run) for run in (first, second, third, same_pool, restore)]
    assert [(run.status, run.errors) for run in ended] == [("SUCCESS", ())] * len(ended)


def test_a_permanent_error_fails_the_run_at_once_with_its_hint(deployment: Deployment) -> None:
    run = deployment.client.wait(deployment.client.launch_assets([["bank", "errors", "permanent"]]))
    assert run.status == "FAILURE"
    assert len(deployment.starts_of(run.run_id)) == 1
    assert "nothing covers 2026-01-01; hint: nearest: 2026-01-02" in run.errors


def test_a_cancelled_step_does_not_start_again_and_ends_its_run(deployment: Deployment) -> None:
    client = deployment.client
    deployment.hold()
    run_id = client.launch_assets([["bank", "drupal", "stubborn"], ["bank", "drupal", "zz_after"]])
    deployment.worker_of(run_id)

    client.terminate(run_id)
    run = client.wait(run_id)

    assert run.status == "CANCELED"
    assert [asset for asset, _ in deployment.starts_of(run_id)] == ["bank/drupal/stubborn"]


def test_processes_may_write_bytecode_and_can_be_stopped(deployment: Deployment) -> None:
    for name, pid in deployment.processes.pids.items():
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert not [variable for variable in environment if variable.startswith(b"PYTHONDONTWRITEBYTECODE=")], name
        ignored = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigIgn" in line)
        assert int(ignored.split()[1], 16) & 0b10 == 0, f"{name} ignores SIGINT"


def test_runs_of_a_backfill_name_it_and_are_tagged_from_their_assets(deployment: Deployment, backfill_id: str) -> None:
    by_backfill = {"lc2/initiator": f"backfill:{backfill_id}"}
    wait_for(lambda: deployment.client.runs(tags=by_backfill), "the backfill's run")
    tags = deployment.client.runs(tags=by_backfill)[0].tags
    assert (tags["lc2/project"], tags["lc2/application"], tags["lc2/operation"]) == ("retail", "drupal", "backup")
