"""Database and files of one window, bound only where they fit together (R-26)."""

from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.model.errors import BackupPartial, ComponentMissing, RowsDangling
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Moment, Window, WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point, restorable_points
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.operations.tiny_site import SEALED_ALONE, open_window

PAST = Window.parse("2026-02-03", length=WindowLength.DAILY)


def capture(context, *, verb=capture_site_files):
    return verb(context, window=open_window(WindowLength.DAILY), asked_at=datetime.now(UTC), initiator=TESTER)


def bind(context, window=None):
    return bind_recovery_point(context, window=window or open_window(WindowLength.DAILY), initiator=TESTER)


def member(repository, component: Component, hour: int, **summary):
    """Commit a member of the past window without data; no rows of it name files."""
    moment = datetime(2026, 2, 3, hour, tzinfo=UTC)
    draft = a_draft(moment=Moment(moment, moment), window=PAST.key, summary={"objects": 0, **summary})
    with repository.begin(component, window=PAST.key, initiator=TESTER) as attempt:
        return attempt.commit(draft).backup_id


def test_a_point_binds_the_dump_and_the_files_that_were_listed_after_it(backed_up):
    point = backed_up.point
    assert (point.backup.component, point.backup.kind) == (Component.RECOVERY_POINT, BackupKind.BINDING)
    assert point.manifest.moment == backed_up.dump.manifest.moment
    assert point.manifest.details["members"] == {
        "database_dump": {
            "backup_id": backed_up.dump.backup.backup_id,
            "manifest_sha256": backed_up.dump.backup.manifest_sha256,
        },
        "files": {
            "backup_id": backed_up.files.backup.backup_id,
            "manifest_sha256": backed_up.files.backup.manifest_sha256,
        },
    }
    assert point.backup.summary["member_ids"] == point.manifest.bases
    assert point.backup.window == backed_up.dump.backup.window


def test_every_row_has_its_file_and_generated_files_are_no_orphans(backed_up):
    match = backed_up.point.manifest.details["row_match"]
    assert match["rows"] == backed_up.dump.manifest.details["references"]
    assert match["files"] == backed_up.files.backup.summary["objects"]
    assert (match["dangling_count"], match["size_mismatch_count"]) == (0, 0)
    assert match["orphans"] == [SEALED_ALONE, "lc2-demo-seed.json"]


def test_a_point_names_the_base_backup_before_it_and_says_that_wal_is_missing(backed_up):
    physical = backed_up.point.manifest.details["physical"]
    assert physical["base"] == backed_up.base.backup.backup_id
    assert physical["reaches_moment"] is False
    assert "restore the dump" in physical["reason"]


def test_a_point_needs_a_dump_and_files_listed_after_it(site):
    context = site.context
    capture(context)
    with pytest.raises(ComponentMissing, match="has no database_dump"):
        bind(context)
    capture(context, verb=capture_database_dump)
    with pytest.raises(ComponentMissing, match="has no document_library captured after the dump"):
        bind(context)
    later = capture(context)
    point = bind(context)
    assert later.backup.backup_id in point.backup.summary["member_ids"]
    assert [each.backup_id for each in restorable_points(site.repository)] == [point.backup.backup_id]


def test_rows_whose_files_are_gone_block_the_point_above_the_sites_limit(make_site):
    site = make_site(own=True)
    lost = [each for each in sorted(site.library.rglob("1.0*")) if "/0/" not in str(each)][:3]
    for path in lost:
        path.unlink()
    capture(site.context, verb=capture_database_dump)
    capture(site.context)
    with pytest.raises(RowsDangling, match="3 of them name a file that is missing") as refusal:
        bind(site.context)
    sample = refusal.value.attributes["dangling_sample"]
    assert [line.split(" ")[0] for line in sample] == [str(each.relative_to(site.library)) for each in lost]
    assert site.repository.backups(Component.RECOVERY_POINT) == []
    assert site.repository.log.history().running == {}

    generous = site.changed(site.root, policies__danglingRowsLimitShare=0.5)
    assert bind(generous.context).backup.summary["dangling"] == 3


def test_files_that_the_site_leaves_out_are_not_missing(make_site):
    site = make_site(files__exclude=["*/.cache/*", "20097/41305/*"])
    capture(site.context, verb=capture_database_dump)
    capture(site.context)
    assert bind(site.context).backup.summary["dangling"] == 0


def test_a_past_window_is_bound_from_what_was_captured_inside_it(site):
    context = site.context
    repository = context.open_repository(True)
    member(repository, Component.DATABASE_DUMP, 1)
    dump = member(repository, Component.DATABASE_DUMP, 3)
    files = member(repository, Component.FILES, 4)
    member(repository, Component.DATABASE_DUMP, 5)
    point = bind(context, PAST)
    assert point.backup.summary["member_ids"] == [dump, files]
    assert point.backup.window == PAST.key
    assert point.moment in PAST


def test_an_earlier_pair_is_bound_where_the_newest_dump_has_no_files_yet(site):
    context = site.context
    repository = context.open_repository(True)
    pair = [member(repository, Component.DATABASE_DUMP, 1), member(repository, Component.FILES, 2, partial=True)]
    member(repository, Component.DATABASE_DUMP, 3)
    with pytest.raises(BackupPartial, match="files .* which is partial itself") as refused:
        bind(context, PAST)
    kept = repository.backup(str(refused.value.attributes["backup_id"]))
    assert kept.summary["member_ids"] == pair
    assert kept.summary["partial"] is True


def test_a_point_whose_member_has_expired_is_no_longer_offered(backed_up, tmp_path):
    repository = backed_up.site.copied(tmp_path).repository
    assert [each.backup_id for each in restorable_points(repository)] == [backed_up.point.backup.backup_id]
    repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [backed_up.dump.backup.backup_id]})
    assert restorable_points(repository) == []
