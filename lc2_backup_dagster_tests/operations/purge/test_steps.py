"""A purge stopped between any two of its steps, beside a capture whose steps fall between any two of them.

``LC2_TEST_HISTORIES=1`` tries every pair of places for begin and commit instead of those that every run tries.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations_with_replacement, count

import pytest

from lc2_backup_dagster.engines.files.capture.capture import FilesCapture, FileSource, capture_files
from lc2_backup_dagster.model.errors import Fenced, PurgeRefused
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.purge.files import purge_backups, resume_purges
from lc2_backup_dagster.repository.attempt import Attempt
from lc2_backup_dagster.repository.record import RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_draft
from lc2_backup_dagster_tests.engines.files.library import AT_ONCE, facts_of, fill, store_below_public
from lc2_backup_dagster_tests.engines.files.stepping import SteppingStore
from lc2_backup_dagster_tests.fakes import Killed
from lc2_backup_dagster_tests.operations.purging import RememberedLibrary

pytestmark = pytest.mark.usefixtures("small_sizes")

_EVERY_PAIR = bool(os.environ.get("LC2_TEST_HISTORIES"))


@pytest.fixture
def template(past: RememberedLibrary) -> RememberedLibrary:
    """Two backups; every case begins with a copy of them."""
    past.source.objects.clear()
    fill(past.source, {"a/1": b"1", "a/2": b"2", "big": b"b" * 70_000, "public/p": b"p", "public/q": b"q"})
    past.capture()
    past.change(a__1=b"one", public__p=b"pp")
    past.capture()
    return past


class World:
    """An older backup, a newest one that will be purged, and a source that has changed since."""

    def __init__(self, template: RememberedLibrary) -> None:
        self.past = template.copy()
        self.purged = [*self.past.truths][-1]
        self.past.change(a__2=b"two", public__q=b"qq")

    def finish(self, what: object) -> None:
        """Whatever happened: end the purge, and find nothing dangling and nothing left over."""
        past = self.past
        past.assert_every_backup_restores(what)
        assert past.contents() >= past.referenced(), what
        if self.purged in past.repository.log.history().backups:
            past.expire(self.purged)
        past.purge(self.purged)
        resume_purges(past.repository)
        past.assert_every_backup_restores(what)
        past.capture()
        past.assert_every_backup_restores(what)
        past.clock.move(days=9)
        past.collect()
        assert past.contents() == past.referenced(), what
        past.assert_every_backup_restores(what)


class Capture:
    """A capture in three steps, by a process of its own."""

    def __init__(self, past: RememberedLibrary) -> None:
        self.past = past
        self.repository = past.repository
        self.attempt: Attempt | None = None
        self.captured: FilesCapture | None = None
        self.committed: str | None = None

    def begin(self) -> None:
        self.bases = [each.backup_id for each in self.repository.backups(Component.FILES)][-1:]
        self.attempt = self.repository.begin(
            Component.FILES, window=None, initiator=TESTER, bases=self.bases
        ).__enter__()
        self.previous = self.past.entries(self.bases[0])

    def copy(self) -> None:
        source = FileSource(self.past.source, "library", protection_of=store_below_public)
        self.captured = capture_files(
            self.attempt, self.repository, source, previous=self.previous, patience=AT_ONCE
        )  # fmt: skip

    def commit(self) -> None:
        try:
            self.committed = self.attempt.commit(a_draft(streams=self.captured.streams)).backup_id
            self.past.truths[self.committed] = facts_of(self.past.source)
        except Fenced:
            assert self.attempt.backup_id not in self.past.repository.log.history().backups
        self.attempt._heartbeat.stop()
        if self.committed is None:
            self.attempt._abort("fenced")


def calls_of_a_purge(template: RememberedLibrary) -> list[tuple[str, str]]:
    world = World(template)
    world.past.expire(world.purged)
    store = SteppingStore(world.past.store)
    purge_backups(world.past.seen_through(store), [world.purged], initiator=TESTER)
    return store.calls


def test_a_purge_killed_before_any_call_is_ended_by_the_next_one(template):
    recorded = 0
    for number in count():
        world = World(template)
        past, store = world.past, SteppingStore(world.past.store)
        past.expire(world.purged)
        before = past.contents()
        store.die_at(number)
        try:
            purge_backups(past.seen_through(store), [world.purged], initiator=TESTER)
            break  # it was not killed: every call before was
        except Killed:
            pass
        if not past.repository.log.history().purges:
            assert past.contents() == before, "nothing goes before the record"
        else:
            recorded += 1
        if number % 2:  # the next one may be a purge, or a resumption, or a capture may come between
            past.capture()
            resume_purges(past.repository)
        world.finish(number)
    assert number > 30
    assert recorded > 5


def test_a_resumption_killed_before_any_call_is_ended_by_the_next_one(template):
    for number in count():
        world = World(template)
        past, store = world.past, SteppingStore(world.past.store)
        past.expire(world.purged)
        store.before = lambda current, call, key: _die_before_a_delete(call)
        with pytest.raises(Killed):
            purge_backups(past.seen_through(store), [world.purged], initiator=TESTER)
        again = SteppingStore(past.store)
        again.die_at(number)
        try:
            resume_purges(past.seen_through(again))
            break
        except Killed:
            pass
        world.finish(number)
    assert number > 8


def _die_before_a_delete(call: str) -> None:
    if call == "delete":
        raise Killed


def places(total: int) -> Iterator[tuple[int, int, int]]:
    """Yield places of begin, copy and commit: -2 before the expiry, -1 before the purge, n before its n-th call."""
    last = total
    if _EVERY_PAIR:
        for begin, commit in combinations_with_replacement(range(-2, last + 1), 2):
            yield begin, begin, commit
            yield begin, commit, commit
        return
    for place in range(-2, last + 1):
        yield place, place, place
        yield -1, -1, place
        yield -1, place, last
        if place % 3 == 0:
            yield -2, -2, place
            yield place, place, last


def test_a_capture_beside_a_purge_never_names_what_the_purge_deletes(template):
    total = len(calls_of_a_purge(template))
    committed, fenced, refused = 0, 0, 0
    for begin, copy, commit in places(total):
        world = World(template)
        past, what = world.past, (begin, copy, commit)
        capture = Capture(past)
        steps = [(begin, capture.begin), (copy, capture.copy), (commit, capture.commit)]

        def reach(place: int, steps=steps) -> None:
            while steps and steps[0][0] <= place:
                steps.pop(0)[1]()

        reach(-2)
        past.expire(world.purged)
        reach(-1)
        store = SteppingStore(past.store, lambda number, call, key, reach=reach: reach(number))
        try:
            purge_backups(past.seen_through(store), [world.purged], initiator=TESTER)
        except PurgeRefused:
            refused += 1
            assert capture.bases == [world.purged], what
        reach(10_000)
        committed += capture.committed is not None
        fenced += capture.committed is None
        assert (capture.committed is None) == (capture.bases == [world.purged] and commit > -2), what
        world.finish(what)
    assert committed > 50
    assert min(fenced, refused) > 5


def test_a_killed_purge_and_a_capture_that_commits_before_it_goes_on(template):
    total = len(calls_of_a_purge(template))
    for number in range(total):
        world = World(template)
        past = world.past
        past.expire(world.purged)
        capture = Capture(past)
        capture.begin()
        capture.copy()
        store = SteppingStore(past.store)
        store.die_at(number)
        with pytest.raises(Killed):
            purge_backups(past.seen_through(store), [world.purged], initiator=TESTER)
        capture.commit()
        assert capture.committed
        world.finish(number)


def test_a_backup_committed_while_a_purge_is_planned_is_looked_at(template):
    """Its capture stood on the purged backup, which was undeleted for that while and has expired again."""
    total = len(calls_of_a_purge(template))
    for number in range(total):
        world = World(template)
        past = world.past
        past.expire(world.purged)

        def meanwhile(current: int, call: str, key: str, *, at=number, world=world) -> None:
            past = world.past
            if current == at and not past.repository.log.history().purges:
                _undelete(past, world.purged)
                past.capture()
                past.expire(world.purged)

        store = SteppingStore(past.store, meanwhile)
        purge_backups(past.seen_through(store), [world.purged], initiator=TESTER)
        world.finish(number)


def _undelete(past: RememberedLibrary, backup_id: str) -> None:
    past.repository.tell(RecordType.UNDELETE, initiator=TESTER, body={"backup_ids": [backup_id]})


@pytest.mark.parametrize("same", [True, False], ids=["the same backup", "another backup"])
def test_two_purges_at_once(template, same):
    """L-2: a whole purge before every call of another: both are safe, and neither leaves what only both named."""
    for number in count():
        one, other = (replace(TESTER, host=host) for host in ("worker-0", "worker-0" if number % 2 else "elsewhere"))
        world = World(template)
        past = world.past
        second = past.capture()
        past.change(a__1=b"last")
        past.capture()
        past.expire(world.purged, second)
        theirs = [world.purged] if same else [second]

        def meanwhile(current: int, call: str, key: str, *, at=number, past=past, theirs=theirs, other=other) -> None:
            if current == at:
                purge_backups(past.repository, theirs, initiator=other)

        store = SteppingStore(past.store, meanwhile)
        purge_backups(past.seen_through(store), [world.purged], initiator=one)
        if len(store.calls) <= number:
            break  # the other one never came: it came before every call there is

        past.assert_every_backup_restores(number)
        assert past.repository.log.history().backups.keys().isdisjoint({world.purged, *theirs})
        assert past.contents() == past.referenced(), number
        assert len(past.repository.log.history().purges) == (1 if same else 2)
    assert number > 40
