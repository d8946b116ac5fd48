"""Results of verifications are collected once newer ones contain them, and nothing that was proven is forgotten."""

import pytest

from lc2_backup_dagster.engines.files.verify.choices import OldestFirst
from lc2_backup_dagster.engines.files.verify.proof_sets import RESULTS, open_proofs
from lc2_backup_dagster.repository.layout import verified_prefix
from lc2_backup_dagster_tests.engines.files.library import SITE
from lc2_backup_dagster_tests.operations.purging import RememberedLibrary

pytestmark = pytest.mark.usefixtures("small_sizes")
PREFIX = verified_prefix(SITE)


def verify(past: RememberedLibrary, backup_id: str) -> None:
    past.library().verify(backup_id, keep=True, choice=lambda now: OldestFirst(due_before=int(now)))


def folders(past: RememberedLibrary) -> set[str]:
    return {each.key.removeprefix(PREFIX).partition("/")[0] for each in past.store.list(PREFIX)}


def known(past: RememberedLibrary) -> dict[str, int | None]:
    with open_proofs(past.repository, scratch=None) as kept:
        return {each.name: each.read_at for each in kept.proofs()}


@pytest.fixture
def verified(past: RememberedLibrary) -> RememberedLibrary:
    backup_id = past.capture()
    for _ in range(3):
        past.clock.move(days=1)
        verify(past, backup_id)
    assert len(folders(past)) == 3
    return past


def test_only_the_newest_results_stay_and_say_all_that_is_known(verified: RememberedLibrary):
    before = known(verified)
    assert verified.collect().results.count == 0, "younger than the grace"
    verified.clock.move(days=8)
    newest = max(folders(verified))
    done = verified.collect()
    assert folders(verified) == {newest}
    assert done.results.count > 0 and done.complete
    assert known(verified) == before
    assert verified.collect().results.count == 0


def test_what_the_newest_results_do_not_contain_stays(verified: RememberedLibrary):
    """Of two verifications that ran at once neither has taken in the other."""
    newest = max(folders(verified))
    verified.store.delete([f"{PREFIX}{newest}/{RESULTS}"])
    verified.clock.move(days=8)
    verified.collect()
    # The second one is the newest that came to its end; the last one counts by what it wrote down.
    assert len(folders(verified)) == 2
    assert newest in folders(verified)


def test_a_collection_that_dies_in_a_folder_is_finished_by_the_next(verified: RememberedLibrary):
    before = known(verified)
    oldest = min(folders(verified))
    keys = [each.key for each in verified.store.list(f"{PREFIX}{oldest}/")]
    for gone in keys:  # a store deletes a batch in any order
        copy = verified.copy()
        copy.clock.move(days=8)
        copy.store.delete([gone])
        assert known(copy) == before, gone
        copy.collect()
        assert len(folders(copy)) == 1
        assert known(copy) == before
