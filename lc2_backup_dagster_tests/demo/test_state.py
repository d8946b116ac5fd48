import json
from pathlib import Path

from lc2_backup_dagster.demo.state import DemoState


def test_a_state_is_found_again_and_only_its_owner_reads_it(tmp_path: Path):
    first = DemoState.load(tmp_path)
    first.restored_databases["retail/drupal"] = ["drupal_restored_1"]
    first.save(tmp_path)
    assert DemoState.load(tmp_path) == first
    assert (tmp_path / "state.json").stat().st_mode & 0o077 == 0


def test_the_state_of_a_demo_that_had_one_site_is_still_understood(tmp_path: Path):
    state = DemoState.load(tmp_path)
    told = json.loads((tmp_path / "state.json").read_text())
    told |= {"restored_databases": ["lportal_restored_2"], "restored_prefixes": ["restored-2/"], "rounds": 2}
    del told["api_token"]
    (tmp_path / "state.json").write_text(json.dumps(told))
    found = DemoState.load(tmp_path)
    assert found.restored_databases == {"retail/liferay": ["lportal_restored_2"]}
    assert found.restored_prefixes == {"retail/liferay": ["restored-2/"]}
    assert (found.rounds, found.owner_password) == (2, state.owner_password)
    assert found.api_token
