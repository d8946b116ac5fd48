"""A server that was set back and has overtaken the archive: what was promised is never replaced by another history."""

import pytest

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.engines.postgres.wal.intake import WalIntake
from lc2_backup_dagster.engines.postgres.wal.ledger import WalLedger
from lc2_backup_dagster.engines.postgres.wal.samples import PositionSampler
from lc2_backup_dagster.engines.postgres.wal.uploads import Durable, OrderedUploads
from lc2_backup_dagster.model.errors import WalDiverged
from lc2_backup_dagster.repository.wal.names import segment_name
from lc2_backup_dagster_tests.engines.postgres.asking import until
from lc2_backup_dagster_tests.engines.postgres.receiving import (
    SEGMENT as SERVER_SEGMENT,
)
from lc2_backup_dagster_tests.engines.postgres.receiving import (
    Receiving,
    a_wal_repository,
    archive_of,
    confirmed,
    flushed,
    receiving,
    wait_for,
    write,
)
from lc2_backup_dagster_tests.fixtures_postgres import backup_server, start_server
from lc2_backup_dagster_tests.repository.wal.listings import SEGMENT, a_name, at

OURS = bytes(range(256)) * (SEGMENT // 256)


@pytest.fixture
def archive(tmp_path):
    return a_wal_repository(DirectoryStore(tmp_path / "repository", create=True)).wal("7445811234567890123")


@pytest.fixture
def uploads():
    uploads = OrderedUploads(workers=1, limit=4, wake=lambda: None)
    yield uploads
    uploads.give_up()


@pytest.fixture
def ledger(archive):
    ledger = WalLedger(archive, interval_seconds=1)
    yield ledger
    ledger.close()


def an_intake(archive, uploads):
    sampler = PositionSampler(None, slot="unused")
    return WalIntake(archive, uploads, sampler, timeline=1, start=at(3), segment_bytes=SEGMENT, partial_seconds=1)


def collected(uploads):
    found = []
    until(lambda: found.extend(uploads.collect()) or not uploads.on_their_way, what="everything is durable")
    return found


@pytest.mark.parametrize("received", [100, 500, 900, SEGMENT])
def test_a_segment_that_begins_otherwise_than_its_stored_beginning_is_refused(received, archive, uploads):
    archive.put_partial(a_name(1, 3), end_lsn=at(3, 500), plain=b"another history".ljust(500))
    intake = an_intake(archive, uploads)
    with pytest.raises(WalDiverged, match=f"{a_name(1, 3)} .* its beginning up to"):
        intake.add(at(3), memoryview(OURS)[:received])
        intake.cut()
    assert not uploads.on_their_way
    assert archive.read_partial(a_name(1, 3), at(3, 500)).startswith(b"another history")


def test_a_stored_beginning_that_reaches_further_is_compared_again_when_that_is_received(archive, uploads):
    archive.put_partial(a_name(1, 3), end_lsn=at(3, 500), plain=OURS[:400] + b"?" * 100)
    intake = an_intake(archive, uploads)
    intake.add(at(3), memoryview(OURS)[:300])
    intake.cut()
    intake.became_durable(*collected(uploads))
    intake.add(at(3, 300), memoryview(OURS)[300:600])
    with pytest.raises(WalDiverged):
        intake.cut()


def test_a_beginning_of_another_segment_than_is_stored_whole_is_refused(archive, uploads):
    archive.put_segment(a_name(1, 3), b"another history".ljust(SEGMENT))
    intake = an_intake(archive, uploads)
    intake.add(at(3), memoryview(OURS)[:300])
    with pytest.raises(WalDiverged, match="the whole segment"):
        intake.cut()


def test_a_stored_beginning_gives_way_to_the_whole_segment_that_goes_on_from_it(archive, uploads, ledger):
    archive.put_partial(a_name(1, 3), end_lsn=at(3, 500), plain=OURS[:500])
    intake = an_intake(archive, uploads)
    intake.add(at(3), memoryview(OURS))
    for what in collected(uploads):
        ledger.add(what, had_partials=intake.had_partials(what.name))
    until(lambda: not archive.partials(1), what="the beginning is dropped")
    assert archive.read_segment(a_name(1, 3)) == OURS


def test_a_sweep_keeps_a_beginning_of_another_history_and_says_so(archive, ledger):
    archive.put_segment(a_name(1, 3), OURS)
    archive.put_partial(a_name(1, 3), end_lsn=at(3, 500), plain=b"another history".ljust(500))
    ledger.sweep(1, start_after=None, segment_bytes=SEGMENT)
    ledger.close()
    assert [each.end_lsn for each in archive.partials(1)] == [at(3, 500)]
    with pytest.raises(WalDiverged, match=a_name(1, 3)):
        ledger.state(PositionSampler(None, slot="unused"))


def test_what_was_durable_of_another_way_counts_no_more(ledger):
    ledger.begin(start=at(3), timeline=1, durable=at(3))
    ledger.add(Durable(a_name(1, 5), 1, at(6), whole=True), had_partials=False)
    ledger.begin(start=at(4), timeline=2, durable=at(4))
    assert ledger.durable == at(4)
    ledger.add(Durable(a_name(2, 4), 2, at(5), whole=True), had_partials=False)
    ledger.leave(at(4, 10))
    assert ledger.durable == at(4, 10)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = start_server(tmp_path_factory.mktemp("stored"))
    server.execute("ALTER SYSTEM SET wal_keep_size = '1GB'", "SELECT pg_reload_conf()")
    yield server
    server.remove()


def test_a_server_whose_last_whole_segment_is_another_is_refused_before_it_is_told_anything(
    server, repository, tmp_path
):
    with receiving(server, repository):
        write(server, 1)
        server.execute("SELECT pg_switch_wal()")
        write(server, 0.2)
        end = flushed(server)
        wait_for(lambda: confirmed(server) >= end, "everything is confirmed")
    before = confirmed(server)
    other = a_wal_repository(DirectoryStore(tmp_path / "other", create=True))
    archive, name = archive_of(server, other), segment_name(1, before - SERVER_SEGMENT, SERVER_SEGMENT)
    archive.put_segment(name, b"another history".ljust(SERVER_SEGMENT, b"\0"))
    error = Receiving(backup_server(server), other).start().failed()
    assert isinstance(error, WalDiverged)
    assert name in error.message
    assert confirmed(server) == before
    assert not archive.partials(1)
