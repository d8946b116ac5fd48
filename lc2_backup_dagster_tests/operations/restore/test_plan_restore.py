"""The plan of a restore: exact, with every blocker at once, and without changing anything."""

from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.model.errors import ConfigurationError, RecoveryPointNotFound
from lc2_backup_dagster.operations.restore.plan_restore import plan_restore
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.tiny_site import SEALED_ALONE, databases_of, picture_of

NOW = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)


def plan(site, **request):
    return plan_restore(site.context, RestoreRequest(**request), now=NOW)


def point_of(backed_up) -> str:
    return backed_up.point.backup.backup_id


def test_a_plan_tells_objects_bytes_and_new_places(backed_up):
    found = plan(backed_up.site, backup_id=point_of(backed_up))
    assert found.blockers == ()
    assert found.moment == backed_up.dump.manifest.moment.restorable_until
    assert found.database.backup_id == backed_up.dump.backup.backup_id
    assert found.database.database == "tiny_backed_up_restored_20261123_163000"
    assert found.files.backup_id == backed_up.files.backup.backup_id
    assert found.files.prefix == f"{point_of(backed_up)}/"
    assert found.files.objects == backed_up.files.backup.summary["objects"]
    assert found.plain_bytes == found.database.plain_bytes + backed_up.files.backup.summary["logical_bytes"]
    assert "reindex required" in found.notes[0]


def test_the_derived_name_of_a_database_fits_whatever_the_sources_name_is(backed_up):
    long = backed_up.site.changed(backed_up.site.root / "long", database__name="x" * 63)
    found = plan(long, backup_id=point_of(backed_up), scope=RestoreScope.DATABASE)
    assert len(found.database.database) == 63
    assert found.database.database.endswith("_restored_20261123_163000")


def test_a_choice_of_files_is_counted_exactly(backed_up):
    found = plan(backed_up.site, backup_id=point_of(backed_up), scope=RestoreScope.FILES, globs=("20097/20121/*/1.0",))
    with_globs = [key for key in picture_of(backed_up.site.library) if key.startswith("20097/20121/")]
    wanted = [key for key in with_globs if key.count("/") == 3 and key.endswith("/1.0")]
    assert found.files.objects == len(wanted)
    assert found.files.plain_bytes == sum((backed_up.site.library / key).stat().st_size for key in wanted)
    assert found.database is None
    assert found.notes == ()


def test_all_blockers_are_told_at_once(backed_up, tmp_path):
    site = backed_up.site.copied(tmp_path)
    there = site.restored / point_of(backed_up) / "there"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    found = plan(site, backup_id=point_of(backed_up), target_database="tiny_backed_up")
    assert [blocker.split(" at ")[0] for blocker in found.blockers if "database" in blocker] == [
        "database 'tiny_backed_up' exists"
    ]
    assert [blocker for blocker in found.blockers if "is not empty, it holds 'there'" in blocker]
    assert len(found.blockers) == 2
    assert not found.only_outages


def test_a_glob_that_matches_nothing_is_a_blocker_that_explains_globs(backed_up):
    found = plan(backed_up.site, backup_id=point_of(backed_up), scope=RestoreScope.FILES, globs=("20121/*",))
    [blocker] = found.blockers
    assert "no file" in blocker
    assert "slashes included" in blocker


def test_a_server_that_is_away_is_an_outage_and_a_bucket_that_is_missing_is_not(backed_up, tmp_path):
    site = backed_up.site.copied(tmp_path)
    away = site.changed(site.root, restore__database__port=1)
    found = plan(away, backup_id=point_of(backed_up))
    assert len(found.blockers) == 1
    assert found.only_outages
    missing = away.changed(
        site.root, restore__files__store__path=str(tmp_path / "missing"), restore__files__store__create=False
    )
    found = plan(missing, backup_id=point_of(backed_up))
    assert len(found.blockers) == 2
    assert not found.only_outages


def test_a_plan_changes_nothing(backed_up, postgres):
    before = picture_of(backed_up.site.bucket), picture_of(backed_up.site.library), databases_of(postgres)
    plan(backed_up.site, backup_id=point_of(backed_up))
    assert (picture_of(backed_up.site.bucket), picture_of(backed_up.site.library), databases_of(postgres)) == before
    assert picture_of(backed_up.site.restored) == {}


@pytest.mark.parametrize("scope", [RestoreScope.FILES, RestoreScope.DATABASE])
def test_a_single_backup_has_no_other_scope_than_its_own(backed_up, scope):
    other = backed_up.dump if scope is RestoreScope.FILES else backed_up.files
    with pytest.raises(ConfigurationError, match=f"which has no {scope}"):
        plan(backed_up.site, backup_id=other.backup.backup_id, scope=scope)


def test_single_backups_are_restored_alone(backed_up):
    found = plan(backed_up.site, backup_id=backed_up.full.backup.backup_id)
    assert (found.database, found.files.objects) == (None, backed_up.full.backup.summary["objects"])
    found = plan(backed_up.site, backup_id=backed_up.dump.backup.backup_id)
    assert (found.files, found.blockers) == (None, ())


def test_a_base_backup_is_sent_to_a_directory(backed_up):
    with pytest.raises(ConfigurationError, match=r"whole database server; hint: .*--target-directory"):
        plan(backed_up.site, backup_id=backed_up.base.backup.backup_id)


def test_an_unknown_point_names_the_newest_ones(backed_up):
    with pytest.raises(RecoveryPointNotFound, match=f"does not exist; hint: the newest are .*{point_of(backed_up)}"):
        plan(backed_up.site, backup_id="20200101T000000Z-00000000")


def test_a_point_with_an_expired_member_is_refused_and_never_replaced_by_another(backed_up, tmp_path):
    site = backed_up.site.copied(tmp_path)
    expired = backed_up.files.backup.backup_id
    site.repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [expired]})
    with pytest.raises(RecoveryPointNotFound, match=f"backup {expired} .*has expired"):
        plan(site, backup_id=point_of(backed_up))


def test_one_file_of_a_choice_that_is_there_is_no_blocker_of_the_plan_but_of_its_writing(backed_up, tmp_path):
    site = backed_up.site.copied(tmp_path)
    there = site.restored / "chosen" / SEALED_ALONE
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    request = {"backup_id": point_of(backed_up), "scope": RestoreScope.FILES, "files_prefix": "chosen/"}
    assert plan(site, **request, globs=("20097/20121/2041*/1.0",)).blockers == ()
    assert len(plan(site, **request).blockers) == 1
