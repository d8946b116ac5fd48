"""Until when: samples of time and position, on busy and on idle servers."""

from datetime import UTC, datetime, timedelta

from lc2_backup_dagster.engines.postgres.wal.samples import without_page_header
from lc2_backup_dagster_tests.engines.postgres.receiving import (
    SEGMENT,
    archive_of,
    confirmed,
    flushed,
    receiving,
    wait_for,
    write,
)


def test_on_an_idle_server_the_stated_time_goes_on(server, repository):
    server.execute("SELECT pg_switch_wal()")  # the insert position then stands behind the next page's header
    with receiving(server, repository) as at_work:
        wait_for(lambda: at_work.receiver.status().restorable_until is not None, "a first statement")
        first = at_work.receiver.status().restorable_until
        wait_for(lambda: at_work.receiver.status().restorable_until > first + timedelta(seconds=3), "the time goes on")
    position = archive_of(server, repository).position()
    assert datetime.now(UTC) - position.sample.time < timedelta(seconds=30)


def test_segments_carry_the_samples_observed_in_them(server, repository):
    with receiving(server, repository) as at_work:
        for _ in range(3):
            write(server, 1)
            seen = len(at_work.statuses)
            wait_for(lambda seen=seen: len(at_work.statuses) > seen + 1, "a moment has passed")
        server.execute("SELECT pg_switch_wal()")
        end = flushed(server) // SEGMENT * SEGMENT
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    archive = archive_of(server, repository)
    newest = [archive.header(each.name) for each in archive.segments(1)][-1]
    assert len(newest.samples) == 2
    assert newest.samples[0].time < newest.samples[1].time
    assert newest.samples[0].lsn <= newest.samples[1].lsn


def test_an_insert_position_behind_a_page_header_is_the_end_of_the_page():
    def end(lsn: int) -> int:
        return without_page_header(lsn, page_bytes=8192, segment_bytes=SEGMENT)

    assert end(SEGMENT + 40) == SEGMENT
    assert end(SEGMENT + 24) == SEGMENT + 24  # no page's: the first of a segment has a longer header
    assert end(3 * 8192 + 24) == 3 * 8192
    assert end(3 * 8192 + 40) == 3 * 8192 + 40
    assert end(12345) == 12345
