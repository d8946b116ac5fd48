import os
from collections import Counter
from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, Parts
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.files import capture_site_files, file_entries
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.cli.calling import lc2
from lc2_backup_dagster_tests.operations.tiny_site import open_window, picture_of

SITE = "retail/liferay"


def damage(site, key: str) -> None:
    path = site.bucket / key
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 2
    path.unlink()
    path.write_bytes(body)


def dump_part(backed_up) -> str:
    return f"backups/retail/liferay/database_dump/{backed_up.dump.backup.backup_id}/dump.custom/000000"


def stored_in(site, kind) -> str:
    """Return the key of an object of the newest backup that a file is stored in by some kind of location."""
    repository = site.repository
    newest = repository.backups(Component.FILES)[-1]
    with file_entries(repository, newest.backup_id) as entries:
        entry = next(each for each in entries if isinstance(each.location, kind))
        return entry.stored_objects(repository.site)[0][0]


def test_whole_backups_end_with_0_and_each_is_read_once(copy, monkeypatch):
    read = Counter()
    get = DirectoryStore.get

    def counting(self, key, **options):
        read[key] += 1
        return get(self, key, **options)

    monkeypatch.setattr(DirectoryStore, "get", counting)
    answer = lc2(copy, "verify", SITE)
    assert answer.code == 0
    # The newest of each component; files and dump as members of the point.
    assert [line.split(" ")[0] for line in answer.out.splitlines() if line[0] != " "] == [
        "recovery_point",
        "database_dump",
        "files",
        "database",
    ]
    assert answer.out.count("whole") == 4
    parts = {key: count for key, count in read.items() if "dump.custom" in key or "base.tar" in key}
    assert set(parts.values()) == {1}


def test_all_means_every_backup_and_every_object_of_files_once(copy, backed_up, monkeypatch):
    read = Counter()
    opened = DirectoryStore.open

    def counting(self, key, **options):
        read[key] += key.startswith("files/")
        return opened(self, key, **options)

    monkeypatch.setattr(DirectoryStore, "open", counting)
    told = lc2(copy, "--json", "verify", SITE, "--all").json
    assert len(told) == 5
    assert {each["backup"]["backup_id"] for each in told} >= {backed_up.full.backup.backup_id}
    [files] = [each["files"] for each in told if each["files"]]
    assert len(files["backup_ids"]) == 2
    stored = {key for key, count in read.items() if count}
    assert files["found"]["objects"] == files["found"]["read_objects"] == len(stored)
    assert {read[key] for key in stored} == {1}


def test_damage_is_named_and_ends_with_4(copy, backed_up):
    damage(copy, dump_part(backed_up))
    answer = lc2(copy, "verify", SITE, backed_up.point.backup.backup_id)
    assert answer.code == 4
    assert "1 damaged" in answer.out
    assert f"{dump_part(backed_up)}: " in answer.out
    told = lc2(copy, "--json", "verify", SITE, backed_up.dump.backup.backup_id)
    assert told.code == 4
    assert [each["key"] for each in told.json[0]["damages"]] == [dump_part(backed_up)]


def test_files_that_need_a_damaged_object_are_named(copy, backed_up):
    bundle = max((copy.bucket / "files").rglob("*"), key=lambda path: path.stat().st_size)
    key = str(bundle.relative_to(copy.bucket))
    damage(copy, key)
    answer = lc2(copy, "verify", SITE, "--all")
    assert answer.code == 4
    assert key in answer.out
    assert "needed by 20097/" in answer.out


def test_a_quick_look_does_not_read_files(copy, backed_up):
    key = stored_in(copy, Parts)
    damage(copy, key)
    quick = lc2(copy, "verify", SITE, "--quick")
    assert quick.code == 0
    assert "objects looked at, none read" in quick.out
    assert "no damage found" in quick.out
    (copy.bucket / key).unlink()
    answer = lc2(copy, "verify", SITE, "--quick")
    assert answer.code == 4
    assert "it is gone" in answer.out


def test_a_damaged_log_ends_with_4_and_names_the_record(copy):
    damage(copy, f"log/retail/liferay/{4:020}.json")
    answer = lc2(copy, "verify", SITE)
    assert answer.code == 4
    assert "LogCorrupt" in answer.err
    assert "record 4 of the log of retail/liferay" in answer.err


def test_a_site_without_backups_has_nothing_to_verify_and_says_so(make_site):
    answer = lc2(make_site(), "verify", SITE)
    assert answer.code == 1
    assert "no backup was made here yet" in answer.err


def test_results_are_kept_unless_told_otherwise(copy):
    before = picture_of(copy.bucket)
    assert lc2(copy, "verify", SITE, "--no-keep").code == 0
    assert picture_of(copy.bucket) == before
    assert lc2(copy, "verify", SITE, "--due", "--quick").code == 2
    assert lc2(copy, "verify", SITE).code == 0
    kept = picture_of(copy.bucket).keys() - before.keys()
    assert kept and all(name.startswith("verified/retail/liferay/") for name in kept)

    due = lc2(copy, "--json", "verify", SITE, "--due").json["found"]
    assert due["read_objects"] < due["objects"], "only what the older backup alone needs"
    due = lc2(copy, "--json", "verify", SITE, "--due").json["found"]
    assert (due["read_objects"], due["never_read"], due["over_age"]) == (0, 0, 0)


def test_rot_in_a_copy_that_no_etag_and_no_time_shows_is_found_by_what_was_kept(make_site):
    site = make_site()
    window = open_window(WindowLength.DAILY)
    capture_site_files(site.context, window=window, asked_at=datetime.now(UTC), initiator=TESTER)
    path = site.bucket / stored_in(site, Copied)
    status, body = path.stat(), path.read_bytes()

    def write_in_place(content: bytes) -> None:
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert lc2(site, "verify", SITE, "--due").code == 0
    write_in_place(bytes([body[0] ^ 1]) + body[1:])
    assert lc2(site, "verify", SITE, "--quick").code == 0, "nothing but reading shows it"
    answer = lc2(site, "verify", SITE)
    assert answer.code == 4
    assert "it holds other bytes than when it was read before" in answer.out
    assert lc2(site, "verify", SITE, "--quick").code == 4, "what was found damaged is not forgotten"

    write_in_place(body)
    assert lc2(site, "verify", SITE, "--due").code == 0
    assert lc2(site, "verify", SITE, "--quick").code == 0
    again = capture_site_files(site.context, window=window, asked_at=datetime.now(UTC), initiator=TESTER)
    assert again.backup.summary["sha256_pending"] == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--quick", "--sample"],
        ["--sample", "--due"],
        ["--due", "--all"],
        ["--due", "20261123T020000Z-00000000"],
        ["--seed", "x"],
        ["--confidence", "99"],
        ["--sample", "--damaged-percent", "0"],
        ["--sample", "--confidence", "100"],
        ["--sample", "--of", "files"],
        ["--max-bytes", "0"],
    ],
)
def test_options_that_make_no_sense_together_are_wrong_usage(backed_up, options):
    assert lc2(backed_up.site, "verify", SITE, *options).code == 2


def test_a_sample_says_what_it_proves_and_can_be_repeated(copy):
    options = ["--sample", "--damaged-percent", "20", "--confidence", "90", "--seed", "spring", "--no-keep"]
    answer = lc2(copy, "verify", SITE, *options)
    assert answer.code == 0
    assert "drawn at random with seed spring, no damage: with 90 % confidence at most" in answer.out
    found = [
        next(each["files"]["found"] for each in lc2(copy, "--json", "verify", SITE, *options).json if each["files"])
        for _ in range(2)
    ]
    assert found[0]["sample"] == found[1]["sample"]
    assert found[0]["read_bytes"] == found[1]["read_bytes"]
    assert 0 < found[0]["sample"]["drawn"] == found[0]["read_objects"] < found[0]["objects"]
    too_large = lc2(copy, "verify", SITE, "--sample", "--max-bytes", "5")
    assert too_large.code == 1
    assert "more than the 5 that may be read" in too_large.err


def test_files_that_were_not_read_for_too_long_end_with_1(copy, tmp_path):
    site = copy.changed(tmp_path, policies__verification={"maxAgeDays": 3})
    old = [site.bucket / stored_in(site, kind) for kind in (Parts, Bundled)]
    long_ago = datetime.now(UTC).timestamp() - 4 * 86400
    for path in old:
        content = path.read_bytes()
        path.unlink()  # linked from elsewhere
        path.write_bytes(content)
        os.utime(path, (long_ago, long_ago))
    answer = lc2(site, "verify", SITE, "--due", "--max-bytes", "1")
    assert answer.code == 1
    assert "FilesUnverified: 1 of" in answer.err
    assert "were not read for more than 3 days, the oldest for 4.0 days" in answer.err
    assert lc2(site, "verify", SITE, "--due", "--max-bytes", "1").code == 0, "every run reads on"


def test_a_site_without_an_age_has_nothing_due(copy, tmp_path):
    site = copy.changed(tmp_path, policies__verification={"maxAgeDays": None})
    answer = lc2(site, "verify", SITE, "--due")
    assert answer.code == 1
    assert "policies.verification.maxAgeDays" in answer.err
