"""Uploads of WAL: created in order, confirmed in order, tried again while the store is away; and where to begin."""

import threading
import time

import pytest

from lc2_backup_dagster.engines.postgres.wal.start import choose
from lc2_backup_dagster.engines.postgres.wal.uploads import Durable, OrderedUploads
from lc2_backup_dagster.model.errors import PartCorrupt, StoreUnavailable
from lc2_backup_dagster.repository.wal.names import lsn_text
from lc2_backup_dagster.repository.wal.timelines import timeline_path
from lc2_backup_dagster_tests.engines.postgres.asking import until
from lc2_backup_dagster_tests.repository.wal.listings import SEGMENT, a_listing, at


class Recorded:
    """An upload that writes down its steps, and waits or fails where it is told."""

    def __init__(self, log, name, *, wait_in=None, fail_in=None, error=None):
        self.log, self.name = log, name
        self.wait_in, self.fail_in, self.error = wait_in, fail_in, error
        self.go = threading.Event()

    def _step(self, step):
        if self.wait_in == step:
            assert self.go.wait(20)
        if self.fail_in == step and self.error is not None:
            raise self.error
        self.log.append((self.name, step))

    def seal(self):
        self._step("seal")

    def create(self):
        self._step("create")

    def prove(self):
        self._step("prove")


@pytest.fixture
def uploads():
    woken = threading.Event()
    uploads = OrderedUploads(workers=2, limit=2, wake=woken.set)
    yield uploads
    uploads.give_up()


def submit(uploads, *recorded):
    for number, each in enumerate(recorded):
        uploads.submit(Durable(each.name, 1, number, whole=True), each)


def collected(uploads, count):
    found = []
    until(lambda: len(found.extend(uploads.collect()) or found) >= count, what="it is durable")
    return [each.name for each in found]


def test_nothing_is_created_before_what_comes_before_it(uploads):
    log = []
    first, second = Recorded(log, "a", wait_in="create"), Recorded(log, "b")
    submit(uploads, first, second)
    until(lambda: ("b", "seal") in log, what="the second is sealed meanwhile")
    time.sleep(0.05)
    assert ("b", "create") not in log
    first.go.set()
    assert collected(uploads, 2) == ["a", "b"]
    assert log.index(("a", "create")) < log.index(("b", "create"))


def test_nothing_is_durable_before_it_is_proven_nor_before_what_comes_before_it(uploads):
    log = []
    first, second = Recorded(log, "a", wait_in="prove"), Recorded(log, "b")
    submit(uploads, first, second)
    until(lambda: ("b", "prove") in log, what="the second is proven")
    assert uploads.collect() == []
    assert uploads.full
    first.go.set()
    assert collected(uploads, 2) == ["a", "b"]
    assert not uploads.full


def test_behind_a_failure_nothing_is_created(uploads):
    log = []
    first = Recorded(log, "a", wait_in="create", fail_in="create", error=PartCorrupt("damaged"))
    submit(uploads, first, Recorded(log, "b"))
    first.go.set()
    with pytest.raises(PartCorrupt):
        until(lambda: uploads.collect() is None, what="never")
    uploads.give_up()
    assert ("b", "create") not in log


def test_while_the_store_is_away_a_step_is_tried_again_and_says_why(uploads):
    log = []
    upload = Recorded(log, "a", fail_in="prove", error=StoreUnavailable("the store is away"))
    submit(uploads, upload)
    until(lambda: uploads.trouble is not None, what="it says why")
    assert "the store is away" in uploads.trouble
    assert uploads.collect() == []
    upload.error = None
    assert collected(uploads, 1) == ["a"]
    assert log.count(("a", "create")) == 1
    assert uploads.trouble is None


def test_given_up_uploads_end_and_are_never_durable(uploads):
    upload = Recorded([], "a", fail_in="create", error=StoreUnavailable("the store is away"))
    submit(uploads, upload, Recorded([], "b"))
    until(lambda: uploads.trouble is not None, what="it is tried")
    uploads.give_up()
    with pytest.raises(StoreUnavailable):
        uploads.collect()


ONE = timeline_path(1, None)


def begin(listings, kept_from, path=ONE):
    found = choose(listings, path, kept_from=at(kept_from), segment_bytes=SEGMENT)
    return found.lsn // SEGMENT, found.timeline, found.stored_until


def test_an_empty_archive_begins_at_the_slot():
    assert begin({}, 5) == (5, 1, None)
    assert begin({1: a_listing(1, [7, 8])}, 5) == (5, 1, None)


def test_what_the_slot_has_not_passed_is_received_again():
    """It may have been created and not proven."""
    assert begin({1: a_listing(1, [3, 4, 5, 6])}, 5) == (5, 1, at(6))
    assert begin({1: a_listing(1, [3, 4], begun={5: 100})}, 5) == (5, 1, at(5, 100))
    assert begin({1: a_listing(1, [3, 4])}, 5) == (5, 1, at(5))
    assert begin({1: a_listing(1, [], begun={5: 100})}, 5) == (5, 1, at(5, 100))


def test_a_slot_that_was_moved_on_begins_where_the_archive_ends():
    assert begin({1: a_listing(1, [2, 3])}, 7) == (4, 1, at(4))
    assert begin({1: a_listing(1, [2, 3], begun={4: 100})}, 7) == (4, 1, at(4, 100))


def test_behind_a_switch_the_new_timeline_is_received():
    path = timeline_path(2, f"1\t{lsn_text(at(5, 300))}\tx\n".encode())
    # The old primary's segments behind the switch are another history.
    assert begin({1: a_listing(1, [3, 4, 5, 6, 7])}, 5, path) == (5, 2, at(5))
    assert begin({1: a_listing(1, [3, 4, 5, 6, 7])}, 9, path) == (5, 2, at(5))
    assert begin({1: a_listing(1, [2, 3])}, 9, path) == (4, 1, at(4))
