"""Recovery points that lack a component: kept and labelled, restorable in their parts, never taken for the whole."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.model.errors import BackupPartial, ComponentMissing
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Moment, Window, WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point, restorable_points
from lc2_backup_dagster.operations.capture.point_members import choose_members
from lc2_backup_dagster.operations.restore.plan_restore import members_of, partial_notes, plan_restore
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.site_context import ConfigurationAccess
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.operations.files_site import FilesSite

DAY = Window.around(datetime(2026, 2, 3, tzinfo=UTC), length=WindowLength.DAILY)
DUMP, FILES, CONFIGURATION = Component.DATABASE_DUMP, Component.FILES, Component.CONFIGURATION


@pytest.fixture
def site(tmp_path) -> FilesSite:
    site = FilesSite(tmp_path)

    def nothing(needs):
        raise AssertionError("nothing is exported here")

    site.context = replace(site.context, configuration=ConfigurationAccess(nothing, (), "nowhere"))
    return site


def member(site: FilesSite, component: Component, hour: int, details: dict | None = None, **summary) -> str:
    moment = datetime(2026, 2, 3, hour, tzinfo=UTC)
    draft = a_draft(
        moment=Moment(moment, moment),
        window=DAY.key,
        summary={"objects": 0, **summary},
        details=details or _DETAILS[component],
    )
    repository = site.open_repository(True)
    with repository.begin(component, window=DAY.key, initiator=TESTER) as attempt:
        return attempt.commit(draft).backup_id


_DETAILS = {
    DUMP: {"server_version": "17.0", "tool_version": "17.0"},
    FILES: {},
    CONFIGURATION: {"documents_bytes": 0},
}


def bind(site: FilesSite, *, allow_partial: bool = True):
    return bind_recovery_point(site.context, window=DAY, initiator=TESTER, allow_partial=allow_partial)


def partial_point(site: FilesSite):
    with pytest.raises(BackupPartial) as kept:
        bind(site)
    return site.repository.backup(str(kept.value.attributes["backup_id"])), str(kept.value)


def test_a_complete_point_binds_all_three(site: FilesSite):
    ids = [member(site, DUMP, 1), member(site, FILES, 2), member(site, CONFIGURATION, 3, documents=4)]
    point = bind(site, allow_partial=False)
    assert point.backup.summary["member_ids"] == ids
    assert (point.backup.summary["partial"], point.backup.summary["missing"]) == (False, [])
    assert point.backup.summary["documents"] == 4
    assert point.manifest.details["skipped"].keys() == {"search_index"}


@pytest.mark.parametrize("absent", [DUMP, FILES, CONFIGURATION])
def test_what_there_is_of_a_day_is_kept_and_labelled(site: FilesSite, absent: Component):
    ids = [member(site, each, hour) for hour, each in enumerate((DUMP, FILES, CONFIGURATION)) if each is not absent]
    with pytest.raises(ComponentMissing, match="materialize"):
        bind(site, allow_partial=False)
    assert restorable_points(site.repository) == []

    point, message = partial_point(site)
    assert "is partial: it has no" in message and "parts can be restored" in message
    assert point.summary["member_ids"] == ids
    assert (point.summary["partial"], point.summary["missing"]) == (True, [str(absent)])
    assert [each.backup_id for each in restorable_points(site.repository)] == [point.backup_id]

    member(site, absent, 4)
    if absent is DUMP:
        member(site, FILES, 5)  # what was captured before it does not fit it
        member(site, CONFIGURATION, 6)
    complete = bind(site)
    assert complete.backup.summary["partial"] is False


def test_files_that_were_listed_before_the_dump_are_not_bound_to_it(site: FilesSite):
    member(site, FILES, 1)
    ids = [member(site, DUMP, 2), member(site, CONFIGURATION, 3)]
    point, message = partial_point(site)
    assert point.summary["member_ids"] == ids
    assert "no document_library captured after the dump" in message


def test_of_nothing_at_all_no_point_is_made(site: FilesSite):
    with pytest.raises(ComponentMissing, match="no database_dump and no document_library and no configuration"):
        bind(site)


def test_an_export_from_before_the_dump_does_not_stand_in_for_one_that_failed(site: FilesSite):
    member(site, CONFIGURATION, 1)
    ids = [member(site, DUMP, 2), member(site, FILES, 3)]
    with pytest.raises(
        ComponentMissing, match=r"has no configuration captured after the dump.*materialize configuration"
    ):
        bind(site, allow_partial=False)
    point, message = partial_point(site)
    assert point.summary["member_ids"] == ids
    assert "no configuration captured after the dump" in message


def test_the_first_complete_export_after_the_dump_is_taken(site: FilesSite):
    member(site, DUMP, 1)
    member(site, FILES, 2)
    member(site, CONFIGURATION, 3, partial=True)
    after = member(site, CONFIGURATION, 4)
    member(site, CONFIGURATION, 5)
    chosen = choose_members(site.context, site.repository, DAY).configuration
    assert chosen is not None and chosen.backup_id == after


def test_of_a_day_whose_dump_was_rebuilt_the_last_export_of_that_day_is_taken(site: FilesSite):
    member(site, CONFIGURATION, 1)
    last = member(site, CONFIGURATION, 2)
    member(site, FILES, 23, as_of="2026-02-03T23:59:59.000000Z")
    member(
        site,
        DUMP,
        22,
        details={"rebuilt_from": "a base", **_DETAILS[DUMP]},
        restorable_until="2026-02-03T22:00:00.000000Z",
    )
    members = choose_members(site.context, site.repository, DAY)
    assert members.configuration is not None and members.configuration.backup_id == last
    assert "exported before the dump was rebuilt" in bind(site, allow_partial=False).manifest.strategy.reason


def test_a_full_restore_of_a_partial_point_is_refused_and_its_parts_are_offered(site: FilesSite):
    member(site, FILES, 1)
    member(site, CONFIGURATION, 2, documents=1)
    point, _ = partial_point(site)
    now = datetime.now(UTC)
    plan = plan_restore(site.context, RestoreRequest(point.backup_id), now=now)
    assert any("is partial: it has no database_dump" in each and "its parts" in each for each in plan.blockers)
    with pytest.raises(Exception, match="has no database"):
        plan_restore(site.context, RestoreRequest(point.backup_id, RestoreScope.DATABASE), now=now)


def test_a_restore_says_that_a_member_lacks_something(site: FilesSite):
    """Nothing is missing of such a point, so it can be restored in full; but nobody takes it for the whole."""
    member(site, DUMP, 1)
    files = member(site, FILES, 2, partial=True, unreadable=3)
    export = member(site, CONFIGURATION, 3, documents=1, partial=True, unexported=2)
    point, _ = partial_point(site)
    assert (point.summary["partial"], point.summary["missing"]) == (True, [])
    plan = plan_restore(site.context, RestoreRequest(point.backup_id, RestoreScope.FILES), now=datetime.now(UTC))
    assert [note for note in plan.notes if "is partial" in note] == [
        f"files: {files} is partial; 3 items of its source are not in it"
    ]
    told = list(partial_notes(members_of(site.repository, RestoreRequest(point.backup_id))))
    assert [f"{export} is partial; 2 items" in note for note in told] == [False, True]


def test_a_site_without_files_or_without_configuration_has_complete_points_without_them(site: FilesSite):
    site.context = replace(site.context, library=None, configuration=None)
    [dump] = [member(site, DUMP, 1)]
    point = bind(site, allow_partial=False)
    assert point.backup.summary["member_ids"] == [dump]
    assert point.backup.summary["partial"] is False
