"""Restores: into new places, identical to the source, written down in the log, refused where something is there."""

from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.demo.compare import compare_databases, compare_stores
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.model.errors import PartCorrupt, TargetNotEmpty, TransientError
from lc2_backup_dagster.operations.capture.files import file_entries
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.restore.run import StepDone, restore
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import (
    SEALED_ALONE,
    content_of,
    databases_of,
    drop_database,
    nothing_left_on,
    picture_of,
)


@pytest.fixture
def site(backed_up, tmp_path):
    return backed_up.site.copied(tmp_path)


@pytest.fixture
def target_database(postgres):
    yield "tiny_restored"
    drop_database(postgres, "tiny_restored")


def run(site, **request):
    return restore(site.context, RestoreRequest(**request), now=datetime.now(UTC), initiator=TESTER)


def told(site) -> list[dict]:
    return [each.body for each in site.repository.log.records() if each.type is RecordType.RESTORE]


def test_a_point_restores_to_identical_rows_and_bytes(site, backed_up, postgres, target_database):
    steps = {}
    restored = restore(
        site.context,
        RestoreRequest(backed_up.point.backup.backup_id, target_database=target_database, files_prefix="new/"),
        now=datetime.now(UTC),
        initiator=TESTER,
        progress=lambda done: steps.update({done.step: done}),
    )
    found = compare_databases(site.database, postgres.server(target_database))
    assert found.equal, found.text()
    context = site.context
    found = compare_stores(
        context.files.store,
        "",
        context.restore.open_files_target(None, "new/"),
        "",
        ignore=lambda key: not context.files.is_selected(key),
    )
    assert found.equal, found.text()
    assert restored.database.tables == backed_up.dump.manifest.details["tables"]
    assert restored.files.written == backed_up.files.backup.summary["objects"]
    dump, files = restored.plan.database, restored.plan.files
    assert steps["database"] == StepDone("database", dump.plain_bytes, dump.plain_bytes)
    assert steps["files"] == StepDone("files", files.plain_bytes, files.plain_bytes, files.objects, files.objects)
    [record] = told(site)
    assert (record["result"], record["point"]) == ("restored", backed_up.point.backup.backup_id)
    assert target_database in record["database"]
    nothing_left_on(postgres)
    assert content_of(site.scratch) == {}


def test_an_earlier_backup_restores_what_was_there_then(site, backed_up):
    run(site, backup_id=backed_up.full.backup.backup_id, files_prefix="then/")
    restored = content_of(site.restored / "then")
    assert len(restored) == backed_up.full.backup.summary["objects"]
    with file_entries(site.repository, backed_up.full.backup.backup_id) as entries:
        assert {entry.key for entry in entries if entry.kind is PosixKind.FILE} == set(restored)
    assert not set(backed_up.changes.added) & set(restored)
    assert any(key in restored for key in backed_up.changes.deleted)


def test_a_dry_run_changes_nothing_anywhere(site, backed_up, postgres):
    before = picture_of(site.bucket), picture_of(site.library), databases_of(postgres), picture_of(site.restored)
    restored = run(site, backup_id=backed_up.point.backup.backup_id, dry_run=True)
    assert restored.dry_run
    assert (restored.database, restored.files) == (None, None)
    after = picture_of(site.bucket), picture_of(site.library), databases_of(postgres), picture_of(site.restored)
    assert after == before


def test_an_existing_database_and_a_folder_in_use_are_refused_before_anything_is_written(site, backed_up, postgres):
    there = site.restored / "used" / "file"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    before = picture_of(site.bucket), picture_of(site.restored), databases_of(postgres)
    with pytest.raises(TargetNotEmpty, match="'tiny_backed_up' exists.*used/' is not empty") as refusal:
        run(
            site,
            backup_id=backed_up.point.backup.backup_id,
            target_database="tiny_backed_up",
            files_prefix="used/",
        )
    assert "nothing was changed" in refusal.value.hint
    assert (picture_of(site.bucket), picture_of(site.restored), databases_of(postgres)) == before


def test_a_server_that_is_away_may_be_tried_again(site, backed_up):
    away = site.changed(site.root, restore__database__port=1)
    with pytest.raises(TransientError, match="cannot be reached"):
        run(away, backup_id=backed_up.point.backup.backup_id)
    assert picture_of(site.restored) == {}


def test_only_the_database_or_only_the_files_are_restored_when_asked(site, backed_up, postgres, target_database):
    point = backed_up.point.backup.backup_id
    assert run(site, backup_id=point, scope=RestoreScope.DATABASE, target_database=target_database).files is None
    assert picture_of(site.restored) == {}
    before = databases_of(postgres)
    assert run(site, backup_id=point, scope=RestoreScope.FILES).database is None
    assert databases_of(postgres) == before
    assert len(picture_of(site.restored / point)) == backed_up.files.backup.summary["objects"]


def test_globs_choose_files_and_one_that_is_there_is_not_overwritten(site, backed_up):
    request = {"backup_id": backed_up.point.backup.backup_id, "scope": RestoreScope.FILES, "files_prefix": "some/"}
    restored = run(site, **request, globs=(SEALED_ALONE, "lc2-*.json"))
    assert restored.files.written == 2
    assert content_of(site.restored / "some") == {
        key: (site.library / key).read_bytes() for key in (SEALED_ALONE, "lc2-demo-seed.json")
    }
    before = picture_of(site.restored)
    with pytest.raises(TargetNotEmpty, match="already"):
        run(site, **request, globs=(SEALED_ALONE, "20097/20121/2042*/1.0"))
    assert picture_of(site.restored) == before
    assert told(site)[-1]["result"] == "failed"


def test_a_restore_that_broke_off_is_continued_with_skip(site, backed_up):
    request = {"backup_id": backed_up.point.backup.backup_id, "scope": RestoreScope.FILES, "files_prefix": "again/"}
    run(site, **request, globs=("20097/20121/*/1.0",))
    before = picture_of(site.restored)
    restored = run(site, **request, conflict=Conflict.SKIP)
    assert restored.files.kept == len(before)
    assert restored.files.written == backed_up.files.backup.summary["objects"] - len(before)
    assert {key: facts for key, facts in picture_of(site.restored).items() if key in before} == before


def test_overwrite_replaces_only_when_it_is_asked_for(site, backed_up):
    request = {"backup_id": backed_up.point.backup.backup_id, "scope": RestoreScope.FILES, "files_prefix": "over/"}
    wrong = site.restored / "over" / SEALED_ALONE
    wrong.parent.mkdir(parents=True)
    wrong.write_text("old")
    confirmed = {"conflict": Conflict.OVERWRITE, "confirm": f"{site.restored}/over/"}
    restored = run(site, **request, globs=(SEALED_ALONE,), **confirmed)
    assert restored.files.overwritten == 1
    assert wrong.read_bytes() == (site.library / SEALED_ALONE).read_bytes()


def test_a_damaged_dump_leaves_no_database_and_the_failure_is_written_down(site, backed_up, postgres, target_database):
    dump = backed_up.dump.backup.backup_id
    part = site.bucket / "backups/retail/liferay/database_dump" / dump / "dump.custom/000000"
    body = bytearray(part.read_bytes())
    body[len(body) // 2] ^= 1
    part.unlink()
    part.write_bytes(body)
    before = databases_of(postgres)
    with pytest.raises(PartCorrupt, match="dump.custom/000000"):
        run(site, backup_id=dump, target_database=target_database)
    assert databases_of(postgres) == before
    assert told(site)[-1]["result"] == "failed"
    assert "dump.custom/000000" in told(site)[-1]["reason"]
    nothing_left_on(postgres)
    assert content_of(site.scratch) == {}
