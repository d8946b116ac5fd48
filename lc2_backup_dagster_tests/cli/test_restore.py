import hashlib
import json

import pytest

from lc2_backup_dagster_tests.cli.calling import lc2
from lc2_backup_dagster_tests.operations.tiny_site import (
    SEALED_ALONE,
    STORE_PREFIX,
    content_of,
    databases_of,
    drop_database,
    picture_of,
)

SITE = "retail/liferay"


@pytest.fixture
def point(backed_up) -> str:
    return backed_up.point.backup.backup_id


def test_a_dry_run_prints_the_plan_and_changes_nothing(copy, backed_up, point, postgres):
    before = picture_of(copy.bucket), databases_of(postgres), picture_of(copy.restored)
    answer = lc2(copy, "restore", SITE, point, "--dry-run")
    assert answer.code == 0
    assert "database tiny_backed_up_restored_" in answer.out
    assert f"{backed_up.files.backup.summary['objects']} files" in answer.out
    assert "afterwards: " in answer.out, "what must be known before is not told only afterwards"
    assert "dry run: nothing was changed" in answer.out
    told = lc2(copy, "--json", "restore", SITE, point, "--dry-run", "--target-database", "tiny_backed_up").json
    assert (told["dry_run"], told["database"], told["files"]) == (True, None, None)
    assert "exists" in told["plan"]["blockers"][0]
    assert (picture_of(copy.bucket), databases_of(postgres), picture_of(copy.restored)) == before


def test_a_restore_tells_what_was_done_and_what_remains_to_do(copy, backed_up, point, postgres):
    tables, files = backed_up.dump.manifest.details["tables"], backed_up.files.backup.summary["objects"]
    try:
        answer = lc2(copy, "restore", SITE, point, "--target-database", "tiny_by_cli", "--target-prefix", "cli/")
        assert answer.code == 0, answer.err
        assert f"database tiny_by_cli: {tables} tables" in answer.out
        assert f"files: {files} written, 0 left as they were" in answer.out
        assert "now: reindex required" in answer.out
        assert "rows name files, 0 of them name a file that is missing" in answer.out
        assert "tiny_by_cli" in databases_of(postgres)
    finally:
        drop_database(postgres, "tiny_by_cli")
    assert len(content_of(copy.restored / "cli")) == files


def test_orphans_are_named_by_the_dry_run_and_then_removed(copy, backed_up, point, postgres):
    options = ["--target-database", "tiny_by_cli", "--target-prefix", "cli/", "--remove-orphans"]
    answer = lc2(copy, "restore", SITE, point, *options, "--dry-run")
    assert f"to remove in the end, no row names them: 2 files: {SEALED_ALONE}, lc2-demo-seed.json" in answer.out
    try:
        answer = lc2(copy, "restore", SITE, point, *options)
    finally:
        drop_database(postgres, "tiny_by_cli")
    assert answer.code == 0, answer.err
    assert "2 files are named by no row; 2 of those removed" in answer.out
    assert len(content_of(copy.restored / "cli")) == backed_up.files.backup.summary["objects"] - 2


def test_json_of_a_restore_is_for_machines(copy, point):
    answer = lc2(copy, "--json", "restore", SITE, point, "--scope", "files", "--file", SEALED_ALONE)
    assert answer.json["files"]["written"] == 1
    assert answer.json["plan"]["files"]["objects"] == 1
    assert answer.err == ""


def test_blockers_end_with_1_and_are_all_told(copy, point):
    (copy.restored / point).mkdir(parents=True)
    (copy.restored / point / "there").write_text("mine")
    answer = lc2(copy, "restore", SITE, point, "--target-database", "tiny_backed_up")
    assert answer.code == 1
    assert "'tiny_backed_up' exists" in answer.err
    assert "is not empty" in answer.err
    assert list(content_of(copy.restored)) == [f"{point}/there"]


def test_a_server_that_is_away_ends_with_3(copy, point):
    away = copy.changed(copy.root, restore__database__port=1)
    answer = lc2(away, "restore", SITE, point)
    assert answer.code == 3
    assert "cannot be reached" in answer.err
    assert picture_of(copy.restored) == {}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--on-conflict", "overwrite"], "say --confirm"),
        (["--on-conflict", "overwrite", "--yes"], "--yes is not enough"),
        (["--delete-extra", "--confirm", "x"], "goes with --on-conflict overwrite"),
        (["--delete-extra", "--on-conflict", "overwrite", "--confirm", "x", "--file", "*"], "not with a choice"),
        (["--delete-extra", "--on-conflict", "overwrite", "--confirm", "x", "--key", "x"], "not with a choice"),
        (["--checksum", "--on-conflict", "skip"], "goes with that"),
        (["--remove-orphans", "--scope", "files"], "both whole"),
        (["--remove-orphans", "--below", "x"], "both whole"),
        (["--target-bucket", "x", "--target-directory", "/tmp/x", "--scope", "files"], "not to both"),
        (["--target-directory", "/tmp/x", "--key", "y", "--scope", "full"], "goes with no other target"),
        (["--target-prefix", "no-slash"], "ends with a slash"),
        (["--scope", "everything"], "Invalid value"),
        (["--target-directory", "/tmp/x", "--target-database", "y"], "goes with no other target"),
        (["--target-directory", "/tmp/x"], "with --scope files"),
        (["--jobs", "0"], "Invalid value"),
        (["--to-latest"], "need --target-directory or --source-database"),
        (["--target-directory", "/tmp/x", "--to-latest", "--to-lsn", "0/1"], "one recovery target only"),
        (["--target-directory", "/tmp/x", "--target-timeline", "2"], "go with a target"),
        (["--target-directory", "/tmp/x", "--delta"], "say --yes"),
        (["--target-directory", "/tmp/x", "--tablespace", "x"], "OID=DIRECTORY"),
        (["--source-database", "x"], "needs --target-database"),
        (["--path", "PG_VERSION"], "needs BACKUP_ID and --output"),
    ],
)
def test_wrong_usage_ends_with_2(copy, point, options, told):
    before = picture_of(copy.bucket)
    answer = lc2(copy, "restore", SITE, point, *options)
    assert answer.code == 2
    assert told in answer.err
    assert picture_of(copy.bucket) == before


class TestOverwriting:
    @pytest.fixture
    def used(self, copy, point):
        """A folder with all files of the point, one of them changed, one more, and a generated one."""
        assert lc2(copy, "restore", SITE, point, "--scope", "files", "--target-prefix", "over/").code == 0
        folder = copy.restored / "over"
        (folder / SEALED_ALONE).write_text("changed")
        (folder / "extra file").write_text("extra")
        return folder

    def options(self, *more: str) -> list[str]:
        return ["--scope", "files", "--target-prefix", "over/", "--on-conflict", "overwrite", "--checksum", *more]

    def test_the_dry_run_tells_what_would_be_lost_and_the_confirmation(self, copy, backed_up, point, used):
        before = content_of(used)
        answer = lc2(copy, "restore", SITE, point, *self.options("--dry-run", "--delete-extra"))
        assert answer.code == 0, answer.err
        assert "of them over others" in answer.out
        assert "to delete: 1 file, 5 B: extra file\n" in answer.out
        assert f"to carry it out: --confirm '{copy.restored}/over/'" in answer.out
        told = lc2(copy, "--json", "restore", SITE, point, *self.options("--dry-run", "--delete-extra")).json
        forecast = told["plan"]["files"]["forecast"]
        assert (forecast["deleted"], forecast["deleted_first"]) == (1, ["extra file"])
        assert forecast["written"] + forecast["kept"] == backed_up.files.backup.summary["objects"]
        assert content_of(used) == before

    @pytest.mark.parametrize("confirmed", ["over/", "/elsewhere/over/", ""])
    def test_another_name_than_the_target_s_confirms_nothing(self, copy, point, used, confirmed):
        before = content_of(used)
        answer = lc2(copy, "restore", SITE, point, *self.options("--delete-extra", "--confirm", confirmed))
        assert answer.code == 1
        assert f"confirm '{copy.restored}/over/'" in answer.err
        assert content_of(used) == before

    def test_confirmed_it_is_done(self, copy, backed_up, point, used):
        answer = lc2(
            copy, "restore", SITE, point, *self.options("--delete-extra", "--confirm", f"{copy.restored}/over")
        )
        assert answer.code == 0, answer.err
        assert "1 deleted" in answer.out
        restored = content_of(used)
        assert len(restored) == backed_up.files.backup.summary["objects"]
        assert all(body == (copy.library / key).read_bytes() for key, body in restored.items())


class TestOneVersionOfOneFile:
    def test_what_find_shows_is_brought_back_by_its_key(self, copy, backed_up, tmp_path):
        gone = backed_up.changes.deleted[0]
        found = lc2(copy, "--json", "find", SITE, gone)
        backup = json.loads(found.out)["last_backup"]
        there = tmp_path / "here"
        answer = lc2(copy, "restore", SITE, backup, "--key", gone, "--target-directory", there)
        assert answer.code == 0, answer.err
        assert content_of(there).keys() == {gone}
        assert hashlib.sha256(content_of(there)[gone]).hexdigest() == json.loads(found.out)["sha256"]

    @pytest.mark.parametrize("choice", ["--key", "--file", "--below"])
    def test_whoever_names_a_file_does_not_get_the_database_with_it(self, copy, point, tmp_path, choice):
        options = [choice, SEALED_ALONE, "--target-directory", tmp_path / "x"]
        told = lc2(copy, "--json", "restore", SITE, point, *options).json
        assert told["database"] is None
        assert content_of(tmp_path / "x").keys() == {SEALED_ALONE}
        both = lc2(copy, "--json", "restore", SITE, point, choice, SEALED_ALONE, "--scope", "full", "--dry-run").json
        assert both["plan"]["database"] is not None

    def test_a_key_is_no_glob(self, copy, point):
        answer = lc2(copy, "restore", SITE, point, "--key", "*")
        assert answer.code == 1
        assert "no file of" in answer.err
        assert content_of(copy.restored) == {}

    def test_a_prefix_goes_into_a_directory_that_is_there(self, copy, point, tmp_path):
        (tmp_path / "x").mkdir()
        options = ["--scope", "files", "--below", STORE_PREFIX, "--target-directory", tmp_path / "x"]
        answer = lc2(copy, "restore", SITE, point, *options)
        assert answer.code == 0, answer.err
        assert content_of(tmp_path / "x") == {
            key: body
            for key, body in content_of(copy.library).items()
            if key.startswith(STORE_PREFIX) and copy.context.files.is_selected(key)
        }
        again = lc2(copy, "restore", SITE, point, *options)
        assert again.code == 1
        assert "already" in again.err

    def test_a_directory_that_cannot_be_made_is_a_blocker(self, copy, point, tmp_path):
        answer = lc2(
            copy,
            "restore",
            SITE,
            point,
            "--scope",
            "files",
            "--target-directory",
            tmp_path / "no" / "such",
            "--dry-run",
        )
        assert answer.code == 0
        assert f"blocker: there is no directory {tmp_path / 'no'}" in answer.out


def test_a_dry_run_of_a_base_backup_writes_no_directory(copy, backed_up, tmp_path):
    before = picture_of(copy.bucket)
    base = backed_up.base.backup.backup_id
    answer = lc2(copy, "restore", SITE, base, "--target-directory", tmp_path / "data", "--dry-run")
    assert answer.code == 0
    assert f"base backup {base} of PostgreSQL 17" in answer.out
    assert "dry run: nothing was changed" in answer.out
    told = lc2(copy, "--json", "restore", SITE, base, "--target-directory", copy.root, "--dry-run").json
    assert "is not empty" in told["blockers"][0]
    assert not (tmp_path / "data").exists()
    assert picture_of(copy.bucket) == before


def test_a_base_backup_becomes_a_directory(copy, backed_up, tmp_path):
    base = backed_up.base.backup.backup_id
    answer = lc2(copy, "--json", "restore", SITE, base, "--target-directory", tmp_path / "data", "--no-start")
    assert answer.code == 0, answer.err
    assert (tmp_path / "data" / "PG_VERSION").read_text().strip() == "17"
    assert (tmp_path / "data" / "recovery.signal").exists()
    assert answer.json["files"] == len(content_of(tmp_path / "data")) - 1
    assert answer.json["recovered"] is None
    again = lc2(copy, "restore", SITE, base, "--target-directory", tmp_path / "data", "--no-start")
    assert again.code == 1
    assert "is not empty" in again.err


def test_a_base_backup_without_a_directory_says_what_to_do(copy, backed_up):
    answer = lc2(copy, "restore", SITE, backed_up.base.backup.backup_id)
    assert answer.code == 1
    assert "--target-directory" in answer.err


def test_a_target_without_backup_takes_the_newest_before_it(copy, tmp_path):
    options = ["--target-directory", tmp_path / "data", "--dry-run"]
    early = lc2(copy, "restore", SITE, "--to-time", "2001-01-01T00:00:00Z", *options)
    assert early.code == 1
    assert "the nearest after is 20" in early.err
    naive = lc2(copy, "restore", SITE, "--to-time", "2026-11-23T00:00:00", *options)
    assert naive.code == 1
    assert "zone" in naive.err
    latest = lc2(copy, "restore", SITE, "--to-latest", *options)
    assert latest.code == 0, latest.err
    assert "then WAL to latest" in latest.out


def test_a_delta_goes_into_the_restored_directory(copy, backed_up, tmp_path):
    base = backed_up.base.backup.backup_id
    options = ["--target-directory", tmp_path / "data", "--no-start"]
    assert lc2(copy, "restore", SITE, base, *options).code == 0
    (tmp_path / "data" / "base" / "stray").touch()
    again = lc2(copy, "restore", SITE, base, *options, "--delta", "--yes")
    assert again.code == 0, again.err
    assert "left as they were" in again.out
    assert "its first start ends the recovery and begins a new timeline" in again.out
    assert not (tmp_path / "data" / "base" / "stray").exists()


def test_one_file_and_one_database_come_out_of_a_base_backup(copy, backed_up, tmp_path):
    base, target = backed_up.base.backup.backup_id, f"cli_{tmp_path.name[-8:]}_objects"
    told = lc2(copy, "restore", SITE, base, "--path", "PG_VERSION", "--output", tmp_path / "version")
    assert told.code == 0, told.err
    assert (tmp_path / "version").read_text() == "17\n"
    try:
        name = copy.values["database"]["name"]
        answer = lc2(copy, "restore", SITE, base, "--source-database", name, "--table", "user_",
                     "--target-database", target)  # fmt: skip
        assert answer.code == 0, answer.err
        assert f"database {target}: 1 tables out of '{name}'" in answer.out
        assert "left out: constraint fk_user_company of public.user_" in answer.out
    finally:
        copy.postgres.execute(f"DROP DATABASE IF EXISTS {target}")
