"""A recovery point names the base and the WAL that lead to its moment, and a server restored from them ends there."""

from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.engines.postgres.servers.scratch import start_and_ask
from lc2_backup_dagster.model.errors import TargetUnreachable
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.capture.physical_point import physical_point
from lc2_backup_dagster.operations.restore.point_target import physical_target
from lc2_backup_dagster.operations.restore.server import restore_server
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.fixtures_chains import ChainSite, receiving
from lc2_backup_dagster_tests.operations.tiny_site import open_window


def mark(site: ChainSite, text: str) -> None:
    site.postgres.execute(f"INSERT INTO marks VALUES ('{text}')", database=site.site.database.database)


def bind(site: ChainSite) -> Captured:
    context, day = site.site.context, open_window(WindowLength.DAILY)
    for capture in (capture_database_dump, capture_site_files):
        capture(context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)
        mark(site, "later than the moment")
    return bind_recovery_point(context, window=day, initiator=TESTER)


def test_a_point_is_reached_by_base_and_wal_and_the_restored_server_ends_at_its_moment(wal_liferay, open_place):
    with receiving(wal_liferay):
        base = wal_liferay.capture()
        mark(wal_liferay, "before the moment")
        point = bind(wal_liferay)
    physical = point.manifest.details["physical"]
    assert physical["reaches_moment"] is True
    assert physical["base"] == base.backup.backup_id
    assert physical["lsn"] == point.manifest.moment.lsn == physical["wal"]["to_lsn"]
    assert physical["wal"]["from_lsn"] == base.manifest.moment.lsn
    assert physical["wal"]["segments"] >= 1
    assert physical["restore_point"].startswith("lc2-")

    repository = wal_liferay.site.repository
    backup_id, target = physical_target(repository, point.backup.backup_id, None)
    restored = restore_server(
        wal_liferay.site.context,
        backup_id,
        target_directory=open_place / "restored",
        target=target,
        initiator=TESTER,
    )
    rows = start_and_ask(
        restored.base.directory, "SELECT mark FROM marks", database=wal_liferay.site.database.database, fsync=False
    )
    assert rows == [("before the moment",)]


def test_a_base_that_ends_behind_the_moment_is_not_taken_for_one_before_it(wal_liferay: ChainSite):
    """Also where the clock was set back between them, so that its time lies before the moment's."""
    site = wal_liferay.changed(database__wal=None)
    site.capture()
    dump = capture_database_dump(
        site.site.context, window=open_window(WindowLength.DAILY), asked_at=datetime.now(UTC), initiator=TESTER
    ).manifest
    early = dump.model_copy(update={"moment": dump.moment.model_copy(update={"lsn": "0/1000028"})})
    assert physical_point(site.site.repository, dump, None)["base"] is not None
    assert physical_point(site.site.repository, early, None)["base"] is None


def test_without_archived_wal_the_point_says_that_only_its_dump_restores(wal_liferay: ChainSite):
    site = wal_liferay.changed(database__wal=None)
    base = site.capture()
    point = bind(site)
    physical = point.manifest.details["physical"]
    assert (physical["base"], physical["reaches_moment"], physical["wal"]) == (base.backup.backup_id, False, None)
    with pytest.raises(TargetUnreachable, match="no WAL is archived for this site") as refusal:
        physical_target(site.site.repository, point.backup.backup_id, None)
    assert "restore its database" in str(refusal.value)


def test_a_receiver_that_stands_still_leaves_the_point_to_its_dump(wal_liferay: ChainSite):
    with receiving(wal_liferay):
        base = wal_liferay.capture()
    point = bind(wal_liferay)
    physical = point.manifest.details["physical"]
    assert (physical["base"], physical["reaches_moment"]) == (base.backup.backup_id, False)
    assert "restore the dump" in physical["reason"]
