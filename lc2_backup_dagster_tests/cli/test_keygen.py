from lc2_backup_dagster.clouds.local.key_file import KeyFile
from lc2_backup_dagster_tests.cli.calling import lc2


def test_a_new_key_is_only_its_owners_and_is_not_printed(site, tmp_path):
    answer = lc2(site, "keygen", tmp_path / "new.key")
    assert answer.code == 0
    assert (tmp_path / "new.key").stat().st_mode & 0o777 == 0o600
    assert KeyFile.read(tmp_path / "new.key").key_id in answer.out
    assert (tmp_path / "new.key").read_text().strip() not in answer.out


def test_a_key_is_never_replaced(site, tmp_path):
    lc2(site, "keygen", tmp_path / "new.key")
    before = (tmp_path / "new.key").read_bytes()
    answer = lc2(site, "keygen", tmp_path / "new.key")
    assert answer.code == 1
    assert "AlreadyExists" in answer.err
    assert (tmp_path / "new.key").read_bytes() == before


def test_json_names_the_key(site, tmp_path):
    told = lc2(site, "--json", "keygen", tmp_path / "new.key").json
    assert told == {"path": str(tmp_path / "new.key"), "key_id": KeyFile.read(tmp_path / "new.key").key_id}
