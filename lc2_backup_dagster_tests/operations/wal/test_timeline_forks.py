"""Two histories behind one fork: nothing is restored or promised from the wrong one (L-14)."""

from datetime import datetime, timedelta

import pytest

from lc2_backup_dagster.model.clock import SystemClock, to_text
from lc2_backup_dagster.model.errors import TargetUnreachable
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.recovery_target import RecoveryTarget
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.model.window import Moment, Window, WindowLength
from lc2_backup_dagster.operations.restore.choose_start import choose_start
from lc2_backup_dagster.operations.wal.physical_reach import latest_reach
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster.repository.wal.header import Sample
from lc2_backup_dagster.repository.wal.names import lsn_text
from lc2_backup_dagster_tests.builders import TESTER, a_backup, a_repository
from lc2_backup_dagster_tests.fakes import MemoryStore
from lc2_backup_dagster_tests.repository.wal.listings import SEGMENT, a_name, at

SYSTEM, OTHER = "7500000000000000001", "7500000000000000002"
PRODUCTION = [("09:00", 9), ("09:30", 10), ("10:30", 11), ("11:30", 12)]
"""Timeline 1: when a segment begins, each a quarter of an hour long; timeline 2 begins behind the tenth."""


def clock(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-20T{text}:00+00:00")


def base(repository, taken: str, lsn: int, *, timeline: int = 1, system: str = SYSTEM, **changes):
    told = {
        "system_identifier": system, "timeline": timeline, "start_lsn": lsn_text(lsn - 100), "stop_lsn": lsn_text(lsn),
        "wal_segment_bytes": SEGMENT,
    }  # fmt: skip
    moment = Moment(clock(taken), clock(taken), lsn=lsn_text(lsn), timeline=timeline)
    return a_backup(repository, moment=moment, window=None, summary=told, details=told, **changes)


def fill(repository, timeline: int, segments, *, system: str = SYSTEM):
    for begins, number in segments:
        samples = [
            Sample(at(number, 100), clock(begins)),
            Sample(at(number, 900), clock(begins) + timedelta(minutes=15)),
        ]
        repository.wal(system).put_segment(a_name(timeline, number), bytes([timeline]) * SEGMENT, samples=samples)


@pytest.fixture
def repository():
    """Base at 08:50, production until 11:45 on timeline 1."""
    made = a_repository(MemoryStore(), SiteId("retail", "liferay"), wrapper=None, clock=SystemClock())
    base(made, "08:50", at(9, 50))
    fill(made, 1, PRODUCTION)
    return made


def fork(repository, timeline: int = 2, segments=(("12:30", 11), ("14:00", 12))):
    """Set production back to the state of 09:45, as a new timeline."""
    repository.wal(SYSTEM).put_history(timeline, f"1\t{lsn_text(at(11))}\tset back\n".encode())
    fill(repository, timeline, segments)


def start(repository, time: str, **options):
    return choose_start(repository, RecoveryTarget.parse("time", to_text(clock(time)), **options), backup_id=None)


@pytest.mark.parametrize("time", ["11:00", "09:50"])
def test_a_time_that_two_timelines_may_hold_is_refused_and_both_are_named(repository, time):
    fork(repository)
    with pytest.raises(TargetUnreachable, match="timeline 1 or on timeline 2.*--target-timeline 1 or --target-timel"):
        start(repository, time)
    assert start(repository, time, timeline=1).coverage.end.timeline == 1
    assert start(repository, time, timeline=2).coverage.timelines[-1][0] == 2


@pytest.mark.parametrize(("time", "is_refused"), [("09:40", False), ("12:00", True), ("14:10", False)])
def test_a_time_before_the_fork_or_after_the_other_ended_has_one_meaning(repository, time, is_refused):
    """At 12:00 the old one had ended and the new one did not exist."""
    fork(repository)
    if is_refused:
        with pytest.raises(TargetUnreachable, match="--target-timeline"):
            start(repository, time)
    else:
        assert start(repository, time).coverage.timelines[-1][0] == 2


def test_a_promotion_that_leaves_nothing_behind_needs_no_timeline(repository):
    repository.wal(SYSTEM).put_history(2, f"1\t{lsn_text(at(12, 950))}\tpromoted\n".encode())
    fill(repository, 2, [("11:50", 12), ("12:10", 13)])
    assert start(repository, "12:15").coverage.end == Lsn(at(14), 2)
    assert start(repository, "11:47").coverage.end == Lsn(at(14), 2)


def test_a_transaction_behind_a_fork_needs_a_timeline_unless_its_backup_lies_behind_it(repository):
    fork(repository)
    [first] = repository.backups(Component.DATABASE)
    xid = RecoveryTarget.parse("xid", "800")
    with pytest.raises(TargetUnreachable, match="--target-timeline 1"):
        choose_start(repository, xid, backup_id=first.backup_id)
    later = base(repository, "12:40", at(11, 400), timeline=2)
    assert choose_start(repository, xid, backup_id=later.backup_id).coverage.end.timeline == 2


def test_a_copy_that_archives_beside_production_does_not_take_over_its_bases(repository):
    """The newest base tells what is in production, not the largest number."""
    fork(repository, segments=[("10:20", 11)])
    base(repository, "11:00", at(11, 950))
    latest = choose_start(repository, RecoveryTarget.parse("lsn", lsn_text(at(11, 300))), backup_id=None)
    assert latest.coverage.timelines == ((1, None),)
    window = Window.around(clock("10:40"), length=WindowLength.HOURLY)
    reach = latest_reach(repository, window)
    assert reach.moment.timeline == 1


@pytest.mark.parametrize(("hour", "until"), [("09:00", "09:45"), ("10:00", None), ("11:00", None), ("12:00", "12:45")])
def test_no_window_between_the_fork_and_the_first_sight_of_the_new_timeline_is_promised(repository, hour, until):
    fork(repository)
    reach = latest_reach(repository, Window.around(clock(hour), length=WindowLength.HOURLY))
    if until is None:
        assert reach is None
    else:
        assert reach.moment.restorable_until.strftime("%H:%M") in (until, "12:59")
        assert reach.moment.timeline == (1 if hour == "09:00" else 2)


def test_a_position_keeps_to_the_cluster_of_the_newest_base(repository):
    target = RecoveryTarget.parse("lsn", lsn_text(at(9, 500)))
    base(repository, "11:00", at(30), system=OTHER)
    with pytest.raises(TargetUnreachable, match="no base backup lies before it"):
        choose_start(repository, target, backup_id=None)


def test_a_broken_chain_does_not_hide_an_older_whole_one(repository):
    [whole] = repository.backups(Component.DATABASE)
    full = base(repository, "09:10", at(9, 300))
    increment = base(repository, "09:20", at(9, 400), kind=BackupKind.INCREMENTAL, parent=full.backup_id)
    repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [full.backup_id]})
    assert start(repository, "09:40").chain.newest.backup_id == whole.backup_id
    repository.tell(RecordType.EXPIRE, initiator=TESTER, body={"backup_ids": [whole.backup_id]})
    with pytest.raises(TargetUnreachable, match=f"{increment.backup_id} stands on"):
        start(repository, "09:40")
