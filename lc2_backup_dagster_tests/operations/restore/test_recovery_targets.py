"""Recovery ends exactly at its target or fails: by time, position, name, transaction, across timelines (L-14, L-15)."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from lc2_backup_dagster.engines.postgres.servers.scratch import start_and_ask
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import ConfigurationError, TargetUnreachable
from lc2_backup_dagster.model.recovery_target import RecoveryTarget
from lc2_backup_dagster.model.site import BackupKind
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.past_windows import promise_past_window
from lc2_backup_dagster.operations.restore.server import plan_server_restore, restore_server
from lc2_backup_dagster.repository.wal.names import lsn_text
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.fixtures_postgres import start_server
from lc2_backup_dagster_tests.operations.recorded_history import DATABASE, RecordedHistory
from lc2_backup_dagster_tests.operations.tiny_site import open_window

MOMENT = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Rows 1–2, backup, 3–5, increment, 6–8, promotion, 9–10, promotion, 11–12, all archived."""
    server = start_server(tmp_path_factory.mktemp("history"))
    try:
        recorded = RecordedHistory(server, tmp_path_factory.mktemp("site"))
        recorded.commit()
        recorded.commit()
        recorded.first = recorded.back_up().backup
        recorded.commit()
        recorded.commit(restore_point="after four")
        recorded.switch()
        recorded.commit()
        recorded.second = recorded.back_up().backup
        # Of backups that close together the older one is surely before a target, and would be the one that is chosen.
        time.sleep(2)
        recorded.commit()
        recorded.commit()
        recorded.archive()
        for count in (3, 2):
            recorded.commit()
            recorded.archive()
            recorded.promote()
            for _ in range(count - 1):
                recorded.commit()
        recorded.archived = recorded.archive()
        yield recorded
    finally:
        server.remove()


def rows_of(directory: Path) -> list[int]:
    return [n for (n,) in start_and_ask(directory, "SELECT n FROM log ORDER BY n", database=DATABASE, fsync=False)]


def restored(history, place, target, *, backup_id=None):
    result = restore_server(
        history.site.context, backup_id, target_directory=place / "data", target=target, initiator=TESTER
    )
    return result, rows_of(place / "data")


@pytest.mark.parametrize("number", [3, 8, 9, 11])
def test_a_time_restores_what_was_committed_by_then(number, history, place):
    event = history.events[number - 1]
    result, rows = restored(history, place, RecoveryTarget.parse("time", to_text(event.time)))
    assert rows == history.rows_at(number=number)
    assert result.recovered.last_commit is None or result.recovered.last_commit <= event.time


def test_a_time_after_the_last_commit_is_reached_when_it_is_covered(history, place):
    result, rows = restored(history, place, RecoveryTarget.parse("time", to_text(history.archived.time)))
    assert rows == history.rows_at(number=len(history.events))
    assert not result.recovered.met


def test_the_latest_is_the_end_of_the_archive(history, place):
    result, rows = restored(history, place, RecoveryTarget.parse("latest"))
    assert rows == history.rows_at(number=len(history.events))
    assert (result.recovered.end.timeline, result.recovered.timeline) == (3, 4)
    assert DATABASE in result.databases


@pytest.mark.parametrize("number", [4, 8, 11])
def test_a_position_restores_what_ends_before_it(number, history, place):
    """Across no, one and two promotions."""
    event = history.events[number - 1]
    target = RecoveryTarget.parse("lsn", lsn_text(event.lsn), inclusive=False)
    _, rows = restored(history, place, target)
    assert rows == history.rows_at(number=number)


def test_a_restore_point_and_a_transaction_are_targets(history, place):
    first, four = history.first.backup_id, history.events[3]
    result, rows = restored(history, place, RecoveryTarget.parse("name", "after four"), backup_id=first)
    assert (rows, result.backup_id, result.recovered.met) == ([1, 2, 3, 4], first, True)
    for folder, inclusive, expected in (("with", True, [1, 2, 3, 4]), ("without", False, [1, 2, 3])):
        (place / folder).mkdir()
        target = RecoveryTarget.parse("xid", str(four.xid), inclusive=inclusive)
        assert restored(history, place / folder, target, backup_id=first)[1] == expected


def test_the_old_timeline_can_be_asked_for(history, place):
    target = RecoveryTarget.parse("latest", timeline=1)
    result, rows = restored(history, place, target)
    assert result.recovered.end.timeline == 1
    assert rows == history.rows_at(number=8)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (("time", "2001-01-01T00:00:00Z"), "no base backup lies before it.*hint: the nearest after is 20"),
        (("time", "2097-01-01T00:00:00Z"), "covers every commit until 20.*hint: the nearest before is 20"),
        (("lsn", "0/10"), "no base backup lies before it.*hint: what can be restored: 20"),
        (("lsn", "F/0"), "archived WAL behind .* ends at"),
    ],
)
def test_a_target_too_early_or_too_late_names_what_can_be_restored(target, reason, history, place):
    with pytest.raises(TargetUnreachable, match=reason):
        restored(history, place, RecoveryTarget.parse(*target))
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("value", ["2026-11-23 14:05:00", "2026-03-29T02:30:00", "2026-11-23", "tomorrow", "14:05Z"])
def test_a_time_without_zone_is_refused(value):
    """Also the one that a daylight saving change makes impossible or double."""
    with pytest.raises(ConfigurationError, match="zone|is not a time"):
        RecoveryTarget.parse("time", value)


def test_a_target_that_recovery_never_meets_fails_and_leaves_nothing(history, place):
    for target in (RecoveryTarget.parse("name", "nobody made this"), RecoveryTarget.parse("xid", "4000000")):
        with pytest.raises(TargetUnreachable, match="archived WAL ends before the target"):
            restored(history, place, target, backup_id=history.second.backup_id)
        assert list(place.iterdir()) == []
    body = list(history.site.repository.log.records())[-1].body
    assert (body["result"], body["target"]) == ("failed", "xid 4000000")


def test_a_target_before_the_named_backups_end_is_refused(history, place):
    early = RecoveryTarget.parse("time", to_text(history.events[2].time - MOMENT))
    with pytest.raises(TargetUnreachable, match="lies before the end of"):
        restored(history, place, early, backup_id=history.second.backup_id)
    named = RecoveryTarget.parse("name", "after four")
    with pytest.raises(TargetUnreachable):  # it lies before, so recovery never meets it
        restored(history, place, named, backup_id=history.second.backup_id)
    assert list(place.iterdir()) == []


def test_names_and_transactions_need_a_named_backup(history, place):
    with pytest.raises(ConfigurationError, match="nothing tells which backup lies before"):
        restored(history, place, RecoveryTarget.parse("name", "after four"))


def test_a_restored_server_archives_nothing_and_keeps_nothing_of_the_recovery(history, place):
    restored(history, place, RecoveryTarget.parse("latest"))
    data = place / "data"
    settings = (data / "postgresql.auto.conf").read_text()
    assert settings.count("archive_mode = 'off'") == 1
    assert settings.rindex("restore_command = ''") > settings.find("restore_command = 'false'")
    assert not (data / "recovery.signal").exists()
    assert [path.name for path in place.iterdir()] == ["data"]


def test_the_plan_tells_chain_and_wal(history, place):
    target = RecoveryTarget.parse("time", to_text(history.archived.time))
    plan = plan_server_restore(history.site.context, None, target_directory=place / "data", target=target)
    assert plan.blockers == ()
    assert plan.chain == (history.first.backup_id, history.second.backup_id)
    assert plan.moment == to_text(history.archived.time)
    assert plan.wal_segments >= 1
    assert list(place.iterdir()) == []
    blocked = plan_server_restore(
        history.site.context, None, target_directory=place / "data", target=target, start=False
    )
    assert ["is reached by starting the server" in each for each in blocked.blockers] == [True]


def test_a_promise_over_wal_restores_what_it_promised(history, place):
    promise = promise_past_window(
        history.site.context, window=open_window(WindowLength.HOURLY), initiator=TESTER
    ).backup
    assert promise.kind is BackupKind.WAL
    result, rows = restored(history, place, RecoveryTarget.parse("immediate"), backup_id=promise.backup_id)
    assert rows == history.rows_at(number=len(history.events))
    assert result.backup_id == promise.parent
