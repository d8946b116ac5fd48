"""Chains of increments on a real server: what is chosen, why, and what stands on what (L-11)."""

import pytest

from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.checks import chain_complete
from lc2_backup_dagster.operations.verify.chain_objects import look_at_chain
from lc2_backup_dagster.repository.layout import backup_prefix
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.operations.fixtures_chains import ChainSite, prepare_ledger
from lc2_backup_dagster_tests.operations.tiny_site import until

FULL, INCREMENTAL = BackupKind.FULL, BackupKind.INCREMENTAL


def shape(captured):
    return captured.backup.kind, captured.backup.parent, captured.backup.summary["chain_length"]


def expire(site: ChainSite, backup_id: str) -> None:
    site.site.repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [backup_id]})


def test_a_full_backup_is_followed_by_increments_each_behind_the_one_before(chain_site: ChainSite):
    chain_site.write(1, 2, 3)
    first = chain_site.capture()
    chain_site.write(4)
    second = chain_site.capture()
    chain_site.write(5)
    third = chain_site.capture()
    ids = [each.backup.backup_id for each in (first, second, third)]
    assert [shape(each) for each in (first, second, third)] == [
        (FULL, None, 0),
        (INCREMENTAL, ids[0], 1),
        (INCREMENTAL, ids[1], 2),
    ]
    assert "there is no earlier backup" in first.manifest.strategy.reason
    assert f"increment 2 of at most 24 behind the full backup {ids[0]}" in third.manifest.strategy.reason
    assert third.manifest.bases == ids[:2], "retention keeps the whole chain while an increment of it is made"
    assert {each.backup.summary["full_id"] for each in (first, second, third)} == {ids[0]}
    assert second.manifest.plain_bytes < first.manifest.plain_bytes / 2
    outcome = chain_complete(third, look_at_chain(chain_site.site.repository, third.backup))
    assert outcome.passed
    assert outcome.facts["chain"] == ids


def test_a_chain_that_is_long_enough_ends_and_the_next_full_says_so(make_chain_site, summarizing):
    site = make_chain_site(summarizing, policies__chains__maxLength=1)
    first, second, third = site.capture(), site.capture(), site.capture()
    assert [each.backup.kind for each in (first, second, third)] == [FULL, INCREMENTAL, FULL]
    assert "already has 1 increments (policies.chains.maxLength)" in third.manifest.strategy.reason


def test_a_site_that_wants_no_increments_gets_none(make_chain_site, summarizing):
    site = make_chain_site(summarizing, policies__chains__incremental=False)
    site.capture()
    second = site.capture()
    assert second.backup.kind is FULL
    assert "policies.chains.incremental" in second.manifest.strategy.reason
    assert "database.wal.enabled" in second.manifest.strategy.reason


def test_nothing_stands_on_an_expired_backup_nor_on_what_stands_on_one(chain_site: ChainSite):
    first, second = chain_site.capture(), chain_site.capture()
    assert second.backup.kind is INCREMENTAL
    expire(chain_site, first.backup.backup_id)
    third = chain_site.capture()
    assert third.backup.kind is FULL
    assert f"stands on {first.backup.backup_id}, which has expired or is gone" in third.manifest.strategy.reason


@pytest.mark.parametrize("victim", ["manifest.json", "base.tar/000000", "backup_manifest/000000"])
def test_a_chain_that_lost_an_object_is_found_named_and_not_built_on(chain_site: ChainSite, victim: str):
    first, second = chain_site.capture(), chain_site.capture()
    repository = chain_site.site.repository
    key = f"{backup_prefix(repository.site, Component.DATABASE, first.backup.backup_id)}{victim}"
    (chain_site.site.bucket / key).unlink()
    outcome = chain_complete(second, look_at_chain(repository, second.backup))
    assert not outcome.passed
    assert outcome.blocking
    assert key in outcome.message
    assert first.backup.backup_id in outcome.message
    third = chain_site.capture()
    assert third.backup.kind is FULL
    assert f"{first.backup.backup_id} is damaged" in third.manifest.strategy.reason


def test_without_summaries_backups_are_full_and_the_next_chain_begins_after_them(make_chain_site, tmp_path):
    def running(summarize_wal: str) -> PostgresServer:
        return PostgresServer(
            tmp_path / "server", password="of-one-test", fsync=False, settings={"summarize_wal": summarize_wal}
        ).start()

    server = running("off")
    try:
        prepare_ledger(server)
        site = make_chain_site(server)
        off = site.capture()
        server.stop()
        server = running("on")
        site = ChainSite(site.site.changed(site.site.root, database__port=server.port), server)
        behind, third = site.capture(), site.capture()
    finally:
        server.remove()
    assert [each.backup.kind for each in (off, behind, third)] == [FULL, FULL, INCREMENTAL]
    assert "summarize_wal is off on the server" in off.manifest.strategy.reason
    assert f"{off.backup.backup_id} was taken while summarize_wal was off" in behind.manifest.strategy.reason
    assert third.backup.parent == behind.backup.backup_id


@pytest.fixture(params=["told", "refused"])
def summaries_told(request, summarizing: PostgresServer):
    """Whether the role may ask how far summaries reach; where it may not, only a refusal tells."""
    statement = "{} EXECUTE ON FUNCTION pg_available_wal_summaries() {} PUBLIC"
    if request.param == "refused":
        summarizing.execute(statement.format("REVOKE", "FROM"), database="ledger")
    yield request.param == "told"
    summarizing.execute(statement.format("GRANT", "TO"), database="ledger")


def _summarized(site: ChainSite) -> bool:
    with site.postgres.server().connect() as connection:
        answer = connection.execute(
            "SELECT (SELECT max(end_lsn) FROM pg_available_wal_summaries()) >= redo_lsn FROM pg_control_checkpoint()"
        ).fetchone()
    return answer == (True,)


def test_a_chain_whose_summaries_are_gone_ends_in_a_full_backup_of_the_same_run(
    chain_site: ChainSite, summaries_told: bool
):
    first = chain_site.capture()
    chain_site.postgres.execute("SELECT pg_switch_wal()", "CHECKPOINT")
    # What is summarized only after the files were removed would be there all the same.
    until(lambda: _summarized(chain_site), what="the server has summarized what it has")
    removed = [path.unlink() for path in (chain_site.postgres.data_directory / "pg_wal/summaries").iterdir()]
    assert removed
    second = chain_site.capture()
    assert shape(second) == (FULL, None, 0)
    reason = second.manifest.strategy.reason
    assert first.backup.backup_id in reason
    assert "summaries" in reason
    assert ("the server refused an increment" in reason) is not summaries_told
    history = chain_site.site.repository.log.history()
    assert [each.backup_id for each in history.restorable(Component.DATABASE)] == [
        first.backup.backup_id,
        second.backup.backup_id,
    ]
    assert not history.running


def test_a_server_that_was_replaced_gets_a_full_backup_that_names_both_clusters(make_chain_site, summarizing, postgres):
    site = make_chain_site(summarizing)
    first = site.capture()
    prepare_ledger(postgres)
    other = ChainSite(site.site.changed(site.site.root, database__port=postgres.port), postgres)
    second = other.capture()
    assert second.backup.kind is FULL
    reason = second.manifest.strategy.reason
    assert first.backup.summary["system_identifier"] in reason
    assert second.backup.summary["system_identifier"] in reason
