"""After a restore rows and files of the target are compared, and only what the restore brought may be removed."""

from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.errors import TargetNotEmpty
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import SEALED_ALONE, content_of, drop_database, open_window

SEED_NOTE = "lc2-demo-seed.json"
"""The other file that no row names."""


@pytest.fixture
def site(backed_up, tmp_path):
    return backed_up.site.copied(tmp_path)


@pytest.fixture
def run(site, backed_up, postgres):
    def run(of=site, *, point=backed_up.point.backup.backup_id, **request):
        wish = RestoreRequest(point, target_database="tiny_rows_back", files_prefix="new/", **request)
        return restore(of.context, wish, now=datetime.now(UTC), initiator=TESTER)

    yield run
    drop_database(postgres, "tiny_rows_back")


def told(site) -> dict:
    return [each.body for each in site.repository.log.records() if each.type is RecordType.RESTORE][-1]


def test_what_was_restored_fits_as_the_point_promised(site, backed_up, run):
    restored = run()
    match, promised = restored.rows.match, backed_up.point.manifest.details["row_match"]
    assert restored.rows.passed
    assert (match.rows, match.files, match.dangling_count) == (promised["rows"], promised["files"], 0)
    assert match.orphans == promised["orphans"] == [SEALED_ALONE, SEED_NOTE]
    assert told(site)["row_match"] == {
        "rows": promised["rows"], "dangling": 0, "size_mismatches": 0, "orphans": 2, "orphans_removed": 0,
    }  # fmt: skip
    assert (site.restored / "new" / SEALED_ALONE).exists()
    assert content_of(site.scratch) == {}


def test_orphans_are_removed_exactly_as_foreseen(site, run):
    plan = run(remove_orphans=True, dry_run=True).plan
    assert (plan.files.forecast.orphans, plan.files.forecast.orphans_first) == (2, (SEALED_ALONE, SEED_NOTE))
    assert not (site.restored / "new").exists()

    restored = run(remove_orphans=True)

    assert [key for key, _ in restored.rows.removed.samples] == [SEALED_ALONE, SEED_NOTE]
    assert len(content_of(site.restored / "new")) == restored.files.written - 2
    assert told(site)["row_match"]["orphans_removed"] == 2


def test_files_that_the_application_makes_by_itself_are_no_orphans(make_site, run):
    site = make_site(files__excludeGeneratedFiles=False)
    day = open_window(WindowLength.DAILY)
    for verb in (capture_database_dump, capture_site_files):
        verb(site.context, window=day, asked_at=datetime.now(UTC), initiator=TESTER)
    point = bind_recovery_point(site.context, window=day, initiator=TESTER).backup.backup_id
    restored = run(site, remove_orphans=True, point=point)
    assert restored.rows.removed.count == 2
    assert any(site.context.files.is_generated(key) for key in content_of(site.restored / "new"))


def test_what_was_there_before_is_never_removed(site, run):
    context = site.context
    target = context.restore.open_files_target(None, "new/")
    target.put("foreign/orphan", b"of somebody else")
    target.put(SEALED_ALONE, b"was there")
    restored = run(remove_orphans=True, conflict=Conflict.SKIP)
    assert [key for key, _ in restored.rows.removed.samples] == [SEED_NOTE]
    assert target.get("foreign/orphan") == b"of somebody else"
    assert target.get(SEALED_ALONE) == b"was there"
    assert restored.rows.match.orphan_count == 3


@pytest.mark.parametrize("choice", [{"scope": RestoreScope.FILES}, {"below": "20097/"}])
def test_orphans_of_a_part_cannot_be_told(run, choice):
    with pytest.raises(TargetNotEmpty, match="restored whole"):
        run(remove_orphans=True, **choice)


def test_a_part_is_not_compared(run):
    assert run(scope=RestoreScope.FILES).rows is None
    assert run(scope=RestoreScope.DATABASE).rows is None


def test_where_too_many_rows_miss_their_files_nothing_is_removed(site, backed_up, run):
    target = site.context.restore.open_files_target(None, "new/")
    for found in site.context.files.store.list():
        if "/0/" not in found.key and found.key.endswith("1.0"):
            target.put(found.key, b"another size, and left as it is under skip")
    restored = run(remove_orphans=True, conflict=Conflict.SKIP)
    assert not restored.rows.passed
    assert "no orphan was removed" in restored.rows.message
    assert (site.restored / "new" / SEED_NOTE).exists()
    assert told(site)["row_match"]["size_mismatches"] > 10


def test_a_comparison_that_cannot_be_made_fails_no_restore(site, run):
    wrong = site.changed(site.root, database__fileReferenceSql="SELECT key, row_id, size_bytes FROM nowhere")
    restored = run(wrong)
    assert (restored.rows.match, restored.rows.passed) == (None, False)
    assert "could not be compared" in restored.rows.message and "nowhere" in restored.rows.message
    assert told(site)["result"] == "restored"


def test_without_a_query_nothing_is_compared(site, run):
    assert run(site.changed(site.root, database__fileReferenceSql="none")).rows is None
