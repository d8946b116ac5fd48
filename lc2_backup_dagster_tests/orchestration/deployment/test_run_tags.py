"""Tags are decided from what a run materializes and from who asked."""

import pytest

from lc2_backup_dagster.orchestration.deployment.run_tags import (
    initiator_of_automation,
    initiator_of_request,
    tags_of_selection,
)


def test_a_backup_counts_for_its_project() -> None:
    assert tags_of_selection([("retail", "liferay", "database"), ("retail", "liferay", "recovery_point")]) == {
        "lc2/project": "retail",
        "lc2/application": "liferay",
        "lc2/operation": "backup",
        "lc2/backup_of_project": "retail",
    }


def test_a_restore_does_not_count_among_the_backups_of_its_project() -> None:
    tags = tags_of_selection([("retail", "liferay", "restore")])
    assert tags["lc2/operation"] == "restore"
    assert "lc2/backup_of_project" not in tags


@pytest.mark.parametrize("keys", [[("platform", "retention")], [("platform", "a", "b")], [("other",)], []])
def test_what_belongs_to_no_site_is_platform_work(keys: list[tuple[str, ...]]) -> None:
    assert tags_of_selection(keys) == {"lc2/operation": "platform"}


def test_a_run_over_several_projects_counts_as_one_more_project() -> None:
    tags = tags_of_selection([("retail", "liferay", "files"), ("bank", "drupal", "files"), ("platform", "retention")])
    assert tags["lc2/backup_of_project"] == tags["lc2/application"] == "several"


def test_who_asked() -> None:
    assert initiator_of_request("alice") == "user:alice"
    assert initiator_of_request(" ") == initiator_of_request(None) == "local"
    assert initiator_of_automation({}) == "local"
    assert initiator_of_automation({"dagster/schedule_name": "daily"}) == "schedule:daily"
    assert initiator_of_automation({"dagster/sensor_name": "requests"}) == "sensor:requests"


def test_an_initiator_is_believed_from_code_and_not_from_a_backfill_dialog() -> None:
    asked = {"lc2/initiator": "user:alice"}
    assert initiator_of_automation(asked | {"dagster/sensor_name": "requests"}) == "user:alice"
    assert initiator_of_automation(asked | {"dagster/backfill": "abcdefgh"}) == "backfill:abcdefgh"
