import shutil

from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.cli.calling import lc2
from lc2_backup_dagster_tests.operations.tiny_site import picture_of


def ids(answer) -> list[str]:
    return [each["backup_id"] for each in answer.json]


def test_backups_are_listed_newest_first_with_what_matters(backed_up):
    answer = lc2(backed_up.site, "list", "retail/liferay")
    assert answer.code == 0
    lines = [line for line in answer.out.splitlines() if "retail/liferay" in line]
    words = [line.split("│")[2].strip() for line in lines]
    assert words == ["recovery_point", "files", "database_dump", "files", "database"]
    for line, kind in zip(lines, ["binding", "incremental", "dump", "full", "full"], strict=True):
        assert kind in line
    assert backed_up.base.backup.window in lines[-1]
    assert all("complete" in line for line in lines)


def test_a_list_can_be_narrowed(backed_up):
    site = backed_up.site
    assert ids(lc2(site, "--json", "list", "--component", "files")) == [
        backed_up.files.backup.backup_id,
        backed_up.full.backup.backup_id,
    ]
    moment = backed_up.dump.manifest.moment.restorable_until
    assert ids(lc2(site, "--json", "list", "--until", moment)) == [
        backed_up.point.backup.backup_id,
        backed_up.dump.backup.backup_id,
        backed_up.full.backup.backup_id,
        backed_up.base.backup.backup_id,
    ]
    since = lc2(site, "--json", "list", "--since", moment)
    assert ids(since) == [each.backup.backup_id for each in (backed_up.point, backed_up.files, backed_up.dump)]
    limited = lc2(site, "list", "--limit", "2")
    assert limited.out.count("retail/liferay") == 2
    assert "3 older ones are not shown" in limited.err


def test_expired_backups_are_listed_only_when_asked_for(copy, backed_up):
    expired = backed_up.base.backup.backup_id
    copy.repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [expired]})
    assert expired not in ids(lc2(copy, "--json", "list"))
    assert expired in ids(lc2(copy, "--json", "list", "--expired"))
    assert (
        f"expired {copy.repository.log.history().backups[expired].expired_at[:10]}"
        in lc2(copy, "list", "--expired").out
    )


def test_a_time_without_zone_is_refused(backed_up):
    answer = lc2(backed_up.site, "list", "--since", "2026-11-23 02:00")
    assert answer.code == 1
    assert "has no time zone" in answer.err
    assert "append Z" in answer.err


def test_an_unknown_site_names_those_there_are(backed_up):
    answer = lc2(backed_up.site, "list", "retail/drupal")
    assert answer.code == 1
    assert "there is no site 'retail/drupal'" in answer.err
    assert "retail/liferay" in answer.err


def test_a_site_that_cannot_be_read_does_not_hide_the_others(copy, make_site):
    new = make_site(project="new")
    shutil.copy(new.file, copy.file.parent / "new.yaml")
    answer = lc2(copy, "list")
    assert answer.code == 0
    assert answer.out.count("retail/liferay") == 5
    assert "new/liferay: " in answer.err
    assert "no backup was made here yet" in answer.err

    broken = make_site(
        project="broken", destination__store__path="/proc/no-such-folder", destination__store__create=False
    )
    shutil.copy(broken.file, copy.file.parent / "broken.yaml")
    answer = lc2(copy, "--json", "list")
    assert answer.code == 1
    assert len(answer.json) == 5
    assert "broken/liferay: " in answer.err


def test_a_wrong_key_is_refused_by_every_command_and_nothing_is_written(copy, tmp_path):
    assert lc2(copy, "keygen", tmp_path / "other.key").code == 0
    wrong = copy.changed(copy.root, destination__encryption__key__path=str(tmp_path / "other.key"))
    before = picture_of(copy.bucket)
    point = "20260101T000000Z-00000000"
    for command in (
        ["list", "retail/liferay"],
        ["show", "retail/liferay", point],
        ["verify", "retail/liferay"],
        ["restore", "retail/liferay", point],
        ["restore", "retail/liferay", point, "--target-directory", tmp_path / "data"],
    ):
        answer = lc2(wrong, *command)
        assert answer.code == 1, command
        assert "wrong key for site retail/liferay" in answer.err
        assert "other.key" in answer.err
        assert "nothing was written" in answer.err
    assert picture_of(copy.bucket) == before
    assert picture_of(copy.restored) == {}


def test_show_tells_what_a_backup_consists_of(backed_up):
    files = backed_up.files.backup
    answer = lc2(backed_up.site, "show", "retail/liferay", files.backup_id)
    assert answer.code == 0
    for told in (files.backup_id, files.parent, files.manifest_sha256, "AES256_GCM_HKDF_1MB, data-1", "stream files"):
        assert told in answer.out


def test_show_in_json_holds_the_whole_manifest(backed_up):
    dump = backed_up.dump
    told = lc2(backed_up.site, "--json", "show", "retail/liferay", dump.backup.backup_id).json
    assert told["manifest"]["streams"].keys() == dump.manifest.streams.keys()
    assert told["backup"]["manifest_sha256"] == dump.backup.manifest_sha256


def test_an_unknown_backup_names_the_newest(backed_up):
    answer = lc2(backed_up.site, "show", "retail/liferay", "20200101T000000Z-00000000")
    assert answer.code == 1
    assert "does not exist" in answer.err
    assert backed_up.point.backup.backup_id in answer.err
