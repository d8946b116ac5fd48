"""Archived WAL as the increment, and hours of the past that it covers: nothing is copied, everything is proven."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.base.capture import BaseBackup, capture_base_backup
from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.model.window import Moment, Window, WindowLength
from lc2_backup_dagster.operations.capture.captured import Captured
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.checks import chain_complete
from lc2_backup_dagster.operations.verify.chain_objects import look_at_chain
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.layout import wal_segment_key, wal_system_prefix
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster.repository.wal.header import Sample
from lc2_backup_dagster.repository.wal.names import segment_name
from lc2_backup_dagster_tests.builders import TESTER, a_backup
from lc2_backup_dagster_tests.operations.fixtures_chains import (
    ChainSite,
    MakeChainSite,
    archived_until,
    prepare_ledger,
    receiving,
)
from lc2_backup_dagster_tests.operations.tiny_site import open_window

FULL, INCREMENTAL, WAL = BackupKind.FULL, BackupKind.INCREMENTAL, BackupKind.WAL
ARCHIVING = {"database__wal__enabled": True, "database__wal__partialSeconds": 1}


SYSTEM, MIB = "7711000000000000001", 1 << 20
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def hour(number: int) -> Window:
    return Window.around(NOON.replace(hour=number), length=WindowLength.HOURLY)


@pytest.mark.majors
@pytest.mark.parametrize("major", [13, 16])
def test_on_servers_below_17_archived_wal_over_a_full_backup_fills_the_hour(postgres_of, make_chain_site, major: int):
    server = postgres_of(major)
    prepare_ledger(server)
    site = make_chain_site(server, **ARCHIVING)
    with receiving(site):
        full = site.capture()
        assert full.backup.kind is FULL
        site.write(1, 2)
        promised = site.capture()
    assert (promised.backup.kind, promised.backup.parent) == (WAL, full.backup.backup_id)
    assert f"PostgreSQL {major} makes none" in promised.manifest.strategy.reason
    assert promised.manifest.streams == {}
    assert promised.manifest.bases == [full.backup.backup_id]
    assert promised.moment > full.moment
    assert promised.moment in promised.window
    told = promised.manifest.details["wal"]
    assert told["from_lsn"] == full.manifest.moment.lsn
    assert Lsn.parse(told["to_lsn"], timeline=1) > Lsn.parse(told["from_lsn"], timeline=1)
    assert told["segments"] >= 1
    assert chain_complete(promised, look_at_chain(site.site.repository, promised.backup)).passed


@pytest.mark.majors
def test_a_receiver_that_stands_still_makes_the_next_backup_a_full_one(postgres_of, make_chain_site: MakeChainSite):
    server = postgres_of(16)
    prepare_ledger(server)
    site = make_chain_site(server, **ARCHIVING)
    with receiving(site):
        site.capture()
    second = site.capture()
    assert second.backup.kind is FULL
    assert "does wal-receive run?" in second.manifest.strategy.reason


def test_an_hour_that_ended_is_filled_from_the_wal_of_an_older_base_without_copying(chain_site: ChainSite):
    site = chain_site.changed(**ARCHIVING)
    with receiving(site):
        base = site.capture()
        site.write(1, 2, 3)
        until = archived_until(site)
        window = Window.around(until, length=WindowLength.HOURLY)
        promised = site.capture(window, asked_at=window.end + timedelta(minutes=1))
    assert (promised.backup.kind, promised.backup.parent) == (WAL, base.backup.backup_id)
    assert "nothing is copied" in promised.manifest.strategy.reason
    assert until <= promised.moment < window.end
    assert promised.backup.window == window.key
    assert promised.manifest.stored_bytes == 0


@pytest.fixture
def past(chain_site: ChainSite) -> ChainSite:
    """A site whose repository holds a base of 12:30 on a day that is over, and WAL behind it until 15:10."""
    repository = chain_site.site.context.open_repository(True)
    a_base(repository, NOON + timedelta(minutes=30), lsn=MIB // 2)
    archive = repository.wal(SYSTEM)
    for number in range(16):
        begins = NOON + timedelta(minutes=30 + 10 * number)
        samples = [Sample(number * MIB + 100, begins), Sample((number + 1) * MIB, begins + timedelta(minutes=10))]
        archive.put_segment(segment_name(1, number * MIB, MIB), bytes(MIB), samples=samples)
    return chain_site


def a_base(repository: SiteRepository, taken: datetime, *, lsn: int) -> CommittedBackup:
    told = {"system_identifier": SYSTEM, "timeline": 1, "start_lsn": str(Lsn(lsn - 100, 1)), "wal_segment_bytes": MIB}
    moment = Moment(taken, taken, lsn=str(Lsn(lsn, 1)), timeline=1)
    return a_backup(repository, moment=moment, window=None, summary=told, details=told)


def fill(site: ChainSite, window: Window) -> Captured:
    return capture_database(site.site.context, window=window, asked_at=datetime.now(UTC), initiator=TESTER)


@pytest.mark.parametrize(
    ("window", "earliest", "latest", "segments"),
    [
        pytest.param(12, "12:30", "12:59:59.999999", 3, id="the hour of the base"),
        pytest.param(14, "14:00", "14:59:59.999999", 15, id="an hour in the middle"),
        pytest.param(15, "15:00", "15:10", 16, id="the hour in which WAL ends"),
    ],
)
def test_a_past_hour_promises_the_moments_that_wal_covers(past, window, earliest, latest, segments):
    promised = fill(past, hour(window))
    [base] = [each for each in past.site.repository.backups() if each.kind is FULL]
    assert (promised.backup.kind, promised.backup.parent, promised.backup.window) == (
        WAL,
        base.backup_id,
        hour(window).key,
    )
    moment = promised.manifest.moment
    assert from_text(moment.restorable_from) == datetime.fromisoformat(f"2026-11-20T{earliest}+00:00")
    assert from_text(moment.restorable_until) == datetime.fromisoformat(f"2026-11-20T{latest}+00:00")
    told = promised.manifest.details["wal"]
    assert told["segments"] == segments
    assert told["first_segment"] == segment_name(1, 0, MIB)
    assert told["last_segment"] == segment_name(1, (segments - 1) * MIB, MIB)
    assert look_at_chain(past.site.repository, promised.backup).losses == ()


def test_an_hour_before_the_base_or_behind_the_wal_is_refused_and_the_nearest_moments_are_named(past: ChainSite):
    """L-32."""
    before = past.site.repository.log.history().sequence
    with pytest.raises(WindowNotRestorable, match="today's data") as refusal:
        fill(past, hour(11))
    assert refusal.value.hint == f"the nearest after is {to_text(NOON + timedelta(minutes=30))}"
    with pytest.raises(WindowNotRestorable) as refusal:
        fill(past, hour(16))
    assert refusal.value.hint == f"the nearest before is {to_text(NOON.replace(hour=15, minute=10))}"
    assert past.site.repository.log.history().sequence == before


def test_a_gap_ends_what_wal_covers_until_the_next_base_begins_behind_it(past: ChainSite):
    key = wal_segment_key(wal_system_prefix(past.site.repository.site, SYSTEM), segment_name(1, 7 * MIB, MIB))
    (past.site.bucket / key).unlink()
    assert from_text(fill(past, hour(13)).manifest.moment.restorable_until) == NOON.replace(hour=13, minute=40)
    with pytest.raises(WindowNotRestorable) as refusal:
        fill(past, hour(14))
    assert refusal.value.hint == f"the nearest before is {to_text(NOON.replace(hour=13, minute=40))}"
    a_base(past.site.context.open_repository(True), NOON.replace(hour=14, minute=5), lsn=10 * MIB - 200)
    assert from_text(fill(past, hour(14)).manifest.moment.restorable_from) == NOON.replace(hour=14, minute=5)


def test_a_base_whose_own_objects_are_gone_promises_nothing(past: ChainSite):
    repository = past.site.repository
    [base] = repository.backups(Component.DATABASE)
    (past.site.bucket / f"backups/{repository.site}/database/{base.backup_id}/base.tar/000000").unlink()
    with pytest.raises(WindowNotRestorable):
        fill(past, hour(13))


@pytest.mark.parametrize("victim", [0, 5, 8])
def test_a_promise_whose_segment_was_deleted_is_no_longer_complete(past: ChainSite, victim: int):
    """L-18: a bucket's own rules may delete what we promised."""
    promised = fill(past, hour(13))
    repository = past.site.repository
    assert look_at_chain(repository, promised.backup).losses == ()
    name = segment_name(1, victim * MIB, MIB)
    store = DirectoryStore(past.site.bucket)
    store.delete([wal_segment_key(wal_system_prefix(repository.site, SYSTEM), name)])
    outcome = chain_complete(promised, look_at_chain(repository, promised.backup))
    assert not outcome.passed
    assert name in outcome.message


def test_what_is_archived_behind_the_promise_does_not_matter_to_it(past: ChainSite):
    promised = fill(past, hour(13))
    repository = past.site.repository
    store = DirectoryStore(past.site.bucket)
    store.delete([wal_segment_key(wal_system_prefix(repository.site, SYSTEM), segment_name(1, 12 * MIB, MIB))])
    assert look_at_chain(repository, promised.backup).losses == ()


def test_an_hour_whose_capture_came_too_late_is_filled_from_wal_and_what_was_captured_is_kept(
    make_chain_site: MakeChainSite, summarizing: PostgresServer, monkeypatch: pytest.MonkeyPatch
):
    site = make_chain_site(summarizing, **ARCHIVING)
    window = open_window(WindowLength.HOURLY)

    def an_hour_later(*given: Any, **named: Any) -> BaseBackup:
        base = capture_base_backup(*given, **named)
        late = base.moment.restorable_until + timedelta(hours=1)
        return replace(base, moment=replace(base.moment, restorable_from=late, restorable_until=late))

    with receiving(site):
        first = site.capture(window)
        archived_until(site)
        monkeypatch.setattr("lc2_backup_dagster.operations.capture.database.capture_base_backup", an_hour_later)
        promised = site.capture(window)
    assert (promised.backup.kind, promised.backup.parent, promised.window) == (WAL, first.backup.backup_id, window)
    assert promised.kept is not None
    assert (promised.kept.kind, promised.kept.parent) == (INCREMENTAL, first.backup.backup_id)
    assert promised.kept.window == Window.around(window.end, length=WindowLength.HOURLY).key
