"""``wal-receive`` and ``wal`` as an operator runs them: a process that is stopped, killed and started again."""

import json
import os
import random
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster.repository.wal.names import lsn_text, lsn_value
from lc2_backup_dagster_tests.builders import TESTER, a_draft, a_moment
from lc2_backup_dagster_tests.cli.calling import PROGRAM, Answer, checked, lc2
from lc2_backup_dagster_tests.engines.postgres.receiving import (
    SEGMENT,
    archive_of,
    archived_until,
    asked,
    compare_with_server,
    drop_slot,
    flushed,
    wait_for,
    write,
)

SITE = "retail/liferay"
SLOT = "lc2_process_test"


@pytest.fixture
def site(make_site, postgres):
    """A site that archives WAL every second."""
    yield make_site(database__wal={"enabled": True, "slot": SLOT, "partialSeconds": 1})
    drop_slot(postgres, SLOT)
    postgres.execute("DROP TABLE IF EXISTS written")


class Process:
    """``lc2-backup wal-receive`` as a process of its own; what it says is read from files."""

    def __init__(self, site, place, *options):
        self.site = site
        self.out, self.err = place / "out", place / "err"
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [str(PROGRAM), *options, "wal-receive", SITE],
                env={**os.environ, **site.variables},
                stdout=out,
                stderr=err,
            )

    def end(self, number):
        self.process.send_signal(number)
        code = self.process.wait(60)
        return checked(self.site, self.site.variables, Answer(code, self.out.read_text(), self.err.read_text()))


@contextmanager
def a_process(site, place, *options):
    started = Process(site, place, *options)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
            started.process.wait()


def confirmed(server) -> int:
    return int(asked(server, "SELECT restart_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = %s", SLOT) or 0)


def a_base_backup(site, server, *, at: int) -> str:
    """Commit a backup of the database that says where its WAL begins; no bytes of it are needed here."""
    repository = site.context.open_repository(True)
    system = archive_of(server, repository).system_identifier
    facts = {"system_identifier": system, "timeline": 1, "wal_segment_bytes": SEGMENT}
    with repository.begin(Component.DATABASE, window=None, initiator=TESTER) as attempt:
        draft = a_draft(moment=replace(a_moment(), lsn=lsn_text(at)), summary=facts, details=facts)
        return attempt.commit(draft).backup_id


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_with_everything_stored(number, site, postgres, tmp_path):
    with a_process(site, tmp_path) as receiver:
        wait_for(lambda: "receiving WAL" in receiver.err.read_text(), "it receives")
        write(postgres, 1)
        end = flushed(postgres)
        wait_for(lambda: confirmed(postgres) >= end, "everything is confirmed")
        answer = receiver.end(number)
    assert answer.code == 0
    assert re.match(r"archived up to [0-9A-F]+/[0-9A-F]+ on timeline 1, restorable until 20\d\d-", answer.out)
    assert "max_slot_wal_keep_size is -1" in answer.err
    assert "Traceback" not in answer.err


def test_with_json_every_line_is_an_event(site, postgres, tmp_path):
    with a_process(site, tmp_path, "--json") as receiver:
        wait_for(lambda: '"state": "streaming"' in receiver.out.read_text(), "it streams")
        answer = receiver.end(signal.SIGTERM)
    events = [json.loads(line) for line in answer.out.splitlines()]
    assert {each["event"] for each in events} == {"notice", "status"}
    last = [each for each in events if each["event"] == "status"][-1]
    assert last["state"] == "stopped"
    assert last["durable"] == last["received"]
    assert {"alarms", "slot", "restorable_until", "behind_bytes", "trouble"} <= set(last)
    assert answer.err == ""


def test_killed_at_any_moment_it_has_confirmed_nothing_that_is_not_stored_and_loses_nothing(site, postgres, tmp_path):
    """L-13 and L-25: kill -9, again and again, under writes."""
    chance = random.Random(20261123)
    repository = site.context.open_repository(True)
    archive = archive_of(postgres, repository)
    for attempt in range(5):
        place = tmp_path / str(attempt)
        place.mkdir()
        with a_process(site, place) as receiver:
            wait_for(lambda receiver=receiver: "receiving WAL" in receiver.err.read_text(), "it receives")
            until = time.monotonic() + chance.uniform(0.05, 1.2)
            while time.monotonic() < until:
                write(postgres, chance.uniform(0.2, 6))
            receiver.process.kill()
            receiver.process.wait()
        if archive.timelines():
            assert confirmed(postgres) <= archived_until(archive)
            position = archive.position()
            assert position is None or position.sample.lsn <= archived_until(archive)
    end = flushed(postgres)
    answer = lc2(site, "wal-receive", SITE, "--once")
    assert answer.code == 0
    assert archived_until(archive) >= end
    assert confirmed(postgres) >= end
    compare_with_server(postgres, archive)
    # Every segment opens; nothing half-written was left behind.
    for segment in archive.segments(1):
        assert len(archive.read_segment(segment.name)) == SEGMENT
    assert {each.name for each in archive.partials(1)}.isdisjoint(each.name for each in archive.segments(1))


def test_a_site_without_archiving_is_refused(make_site):
    answer = lc2(make_site(), "wal-receive", SITE)
    assert answer.code == 1
    assert "database.wal.enabled" in answer.err


def test_a_second_receiver_is_told_to_try_again(site, postgres, tmp_path):
    with a_process(site, tmp_path) as receiver:
        wait_for(lambda: "receiving WAL" in receiver.err.read_text(), "it receives")
        answer = lc2(site, "wal-receive", SITE, "--once")
        receiver.end(signal.SIGTERM)
    assert answer.code == 3
    assert "in use by process" in answer.err


def test_other_content_under_a_segments_name_ends_with_4(site, postgres, tmp_path):
    assert lc2(site, "wal-receive", SITE, "--once").code == 0
    archive = archive_of(postgres, site.repository)
    name = asked(postgres, "SELECT pg_walfile_name(pg_current_wal_lsn())")
    archive.put_segment(name, b"x" * SEGMENT)
    write(postgres, 1)
    postgres.execute("SELECT pg_switch_wal()")
    write(postgres, 0.1)
    answer = lc2(site, "wal-receive", SITE, "--once")
    assert answer.code == 4
    assert answer.err.count("WalDiverged: ") == 1


def test_a_loss_is_recorded_in_the_log_once(site, postgres, tmp_path):
    """The archive says that WAL was here long before the slot: what lies between is gone from the server."""
    repository = site.context.open_repository(True)
    # The first segment of a server is removed by its first checkpoints, at the latest when another one is asked for.
    archive_of(postgres, repository).put_segment("000000010000000000000000", b"x" * SEGMENT)
    first = "000000010000000000000001"

    def removed() -> bool:
        postgres.execute("CHECKPOINT", "SELECT pg_switch_wal()")
        return not (postgres.data_directory / "pg_wal" / first).exists()

    write(postgres, 0.1)
    wait_for(removed, "the server has removed its first segment")
    answer = lc2(site, "wal-receive", SITE, "--once")
    assert answer.code == 1
    assert "SlotLost" in answer.err
    assert "take a new full backup" in " ".join(answer.err.split())
    assert lc2(site, "wal-receive", SITE, "--once").code == 0
    (refused,) = [each for each in repository.log.records() if each.type is RecordType.REFUSE]
    assert refused.body["operation"] == "wal-receive"
    assert refused.body["from_lsn"] == "0/1000000"


def test_wal_shows_until_when_the_site_can_be_restored(site, postgres):
    at = flushed(postgres)
    backup_id = a_base_backup(site, postgres, at=at)
    assert lc2(site, "wal", SITE).code == 0  # nothing is archived yet: said, and no error
    write(postgres, 1)
    end = flushed(postgres)
    assert lc2(site, "wal-receive", SITE, "--once").code == 0
    (system,) = lc2(site, "--json", "wal", SITE).json["systems"]
    assert system["base"] == backup_id
    assert system["gap"] is None
    assert lsn_value(system["restorable_lsn"]) >= end
    assert system["restorable_until"].startswith("20")
    text = lc2(site, "wal", SITE)
    assert text.code == 0
    assert "restorable until" in text.out
    assert "NOT in use: no receiver runs" in text.out


def test_wal_names_a_gap_and_ends_with_4(site, postgres):
    backup_id = a_base_backup(site, postgres, at=flushed(postgres))
    for _ in range(3):
        write(postgres, 0.1)
        postgres.execute("SELECT pg_switch_wal()")
    write(postgres, 0.1)
    assert lc2(site, "wal-receive", SITE, "--once").code == 0
    repository = site.repository
    archive = archive_of(postgres, repository)
    second = [each.name for each in archive.segments(1)][-2]
    repository.store.delete([f"wal/{SITE}/{archive.system_identifier}/00000001/{second}"])
    answer = lc2(site, "--json", "wal", SITE)
    assert answer.code == 4
    assert answer.json["systems"][0]["base"] == backup_id
    assert answer.json["systems"][0]["gap"] == second
    assert second in lc2(site, "wal", SITE).out
