"""Two backups of one component at once: one wins, the other says who holds it."""

import pytest

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.journeys.bad_days.errand import Place
from lc2_backup_dagster_tests.operations.tiny_site import TinySite, nothing_left_on, until

# Long enough that a busy machine does not take a living process for a dead one.
PATIENT = {"lease_seconds": 120.0}
BEFORE_COMMIT = Place(r"put backups/.*/manifest\.json")


@pytest.mark.parametrize("component", [Component.DATABASE_DUMP, Component.FILES], ids=str)
def test_of_two_that_start_at_the_same_moment_one_wins_and_the_other_names_the_holder(component, site, start, postgres):
    both = {
        actor: start(site, component.value, actor=actor, wait_at=BEFORE_COMMIT, **PATIENT) for actor in ("anna", "bert")
    }
    # The winner waits before its commit, so whoever ends first has lost.
    until(lambda: not all(each.process.is_alive() for each in both.values()), what="one of them has ended")
    loser = next(actor for actor, each in both.items() if not each.process.is_alive())
    winner = next(actor for actor in both if actor != loser)
    lost = both[loser].end()
    assert lost.told["error"] == "ComponentBusy"
    assert f"{winner} (cli" in lost.told["message"]
    assert "nothing was changed" in lost.told["hint"]
    both[winner].let_go()
    won = both[winner].end()
    assert won.code == 0
    assert lost.told["attributes"]["attempt_id"] == won.told["backup_id"]
    assert [each.backup_id for each in site.repository.backups()] == [won.told["backup_id"]]
    begun = [each for each in site.repository.log.records() if each.type is RecordType.BEGIN]
    assert [each.body["attempt"] for each in begun] == [won.told["backup_id"]]
    nothing_left_on(postgres)


def test_a_later_one_is_refused_as_long_as_the_first_lives_and_succeeds_afterwards(site, start, run):
    first = start(site, "files", actor="anna", wait_at=BEFORE_COMMIT, **PATIENT)
    first.wait_until_waiting()
    for _ in range(2):
        refused = run(site, "files", actor="bert", **PATIENT)
        assert refused.told["error"] == "ComponentBusy"
        assert "anna (cli" in refused.told["message"]
    # Another component of the site is not held.
    assert run(site, "database_dump", **PATIENT).code == 0
    first.let_go()
    assert first.end().code == 0
    assert run(site, "files", actor="bert", **PATIENT).code == 0
    kinds = [str(each.kind) for each in site.repository.backups(Component.FILES)]
    assert kinds == ["full", "incremental"]


def test_two_first_backups_of_a_new_repository_make_one_repository_and_one_key(site: TinySite, start):
    both = [start(site, verb, **PATIENT) for verb in ("database_dump", "files")]
    assert [each.end().code for each in both] == [0, 0]
    assert len(list((site.bucket / "keys/retail/liferay").iterdir())) == 1
    assert len(site.repository.backups()) == 2
