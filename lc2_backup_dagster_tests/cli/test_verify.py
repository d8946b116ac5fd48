from collections import Counter

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster_tests.cli.calling import lc2

SITE = "retail/liferay"


def damage(site, key: str) -> None:
    path = site.bucket / key
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 2
    path.unlink()
    path.write_bytes(body)


def dump_part(backed_up) -> str:
    return f"backups/retail/liferay/database_dump/{backed_up.dump.backup.backup_id}/dump.custom/000000"


def test_whole_backups_end_with_0_and_each_is_read_once(backed_up, monkeypatch):
    read = Counter()
    get = DirectoryStore.get

    def counting(self, key, **options):
        read[key] += 1
        return get(self, key, **options)

    monkeypatch.setattr(DirectoryStore, "get", counting)
    answer = lc2(backed_up.site, "verify", SITE)
    assert answer.code == 0
    # The newest of each component; files and dump as members of the point.
    assert [line.split(" ")[0] for line in answer.out.splitlines()] == [
        "recovery_point",
        "database_dump",
        "files",
        "database",
    ]
    assert answer.out.count("whole") == 4
    parts = {key: count for key, count in read.items() if "dump.custom" in key or "base.tar" in key}
    assert set(parts.values()) == {1}


def test_all_means_every_backup(backed_up):
    told = lc2(backed_up.site, "--json", "verify", SITE, "--all").json
    assert len(told) == 5
    assert {each["backup"]["backup_id"] for each in told} >= {backed_up.full.backup.backup_id}


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
    stored = max((copy.bucket / "files").rglob("*"), key=lambda path: path.stat().st_size)
    damage(copy, str(stored.relative_to(copy.bucket)))
    assert lc2(copy, "verify", SITE, "--quick").code == 0
    stored.unlink()
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
