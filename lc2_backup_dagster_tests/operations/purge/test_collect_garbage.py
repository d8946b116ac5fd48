"""What is garbage, and everything that only looks like it."""

from datetime import timedelta

import pytest

from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import ConfigurationError, Fenced, LogCorrupt, ManifestCorrupt
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.purge.collect_garbage import GRACE, collect_garbage
from lc2_backup_dagster.operations.purge.files import purge_backups
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster_tests.builders import TESTER, a_backup, a_draft
from lc2_backup_dagster_tests.engines.files.library import SITE
from lc2_backup_dagster_tests.engines.files.stepping import SteppingStore
from lc2_backup_dagster_tests.fakes import Killed, MemoryStore, SetClock
from lc2_backup_dagster_tests.operations.purging import RememberedLibrary

pytestmark = pytest.mark.usefixtures("small_sizes")

LONG = GRACE + timedelta(days=2)
ONE_BY_ONE = Limits(max_concurrency=1, journal_entries=1)
CONTENTS = f"files/{SITE}/"


def killed_capture(past: RememberedLibrary, *, before: str, times: int = 1) -> SteppingStore:
    """Kill a capture before a write of some kind; return the store it saw."""
    store, left = SteppingStore(past.store), times

    def die(number: int, call: str, key: str) -> None:
        nonlocal left
        if call in ("put", "copy") and before in key:
            left -= 1
            if not left:
                store.dead = True
                raise Killed

    store.before = die
    with pytest.raises(Killed):
        past.library(store).capture(limits=ONE_BY_ONE)
    return store


def snapshot(past: RememberedLibrary) -> dict[str, bytes]:
    return {key: body for key, (body, _) in past.store.objects.items()}


def pass_time(past: RememberedLibrary) -> None:
    past.clock.move(seconds=LONG.total_seconds())


def test_contents_and_folders_of_a_dead_attempt_go_once_another_has_committed(past):
    past.capture()
    past.change(a__1=b"x", public__new=b"y")
    killed_capture(past, before=CONTENTS, times=2)
    past.change(a__1=b"another", public__new=b"another")
    second = past.capture()
    dead = past.contents() - past.referenced()
    assert dead
    assert past.collect().contents.count == 0, "too young"

    pass_time(past)
    garbage = past.collect()

    assert garbage.complete
    assert garbage.contents.count == len(dead)
    assert past.contents() == past.referenced()
    past.assert_every_backup_restores()
    folders = {key.split("/")[4] for key in snapshot(past) if key.startswith("backups/")}
    assert folders == past.truths.keys() > {second}
    assert not [key for key in snapshot(past) if key.startswith("heartbeats/")]


@pytest.mark.parametrize("superseded", [False, True])
def test_nothing_of_an_attempt_that_may_be_resumed_goes_however_old_it_is(past, superseded):
    """Its contents, written down in the journal or not yet, and the journal itself are the next one's."""
    first = past.capture()
    past.change(a__1=b"x", public__new=b"y", big__one=b"z" * 10_000)
    killed_capture(past, before="/journal/", times=2)
    if superseded:
        past.clock.move(minutes=2)
        with (
            pytest.raises(ZeroDivisionError),
            past.repository.begin(Component.FILES, window=None, initiator=TESTER),
        ):
            raise ZeroDivisionError
    dead = past.contents() - past.referenced()
    assert len(dead) >= 2
    before = snapshot(past)
    for _ in range(3):
        pass_time(past)
        past.collect()
        assert {key for key in before if not key.startswith("heartbeats/")} <= snapshot(past).keys()

    library = past.library()
    second = past.capture(library)
    assert library.done.counts.resumed >= 1
    assert past.truths.keys() == {first, second}
    past.assert_every_backup_restores()


def test_nothing_of_an_uncommitted_backup_goes_while_it_is_uploaded(past):
    """L-1: a collection on host B before every single write of host A's capture, which takes a month."""
    past.capture()
    past.change(a__1=b"x", public__new=b"y", big__one=b"z" * 10_000)
    store = SteppingStore(past.store)

    def meanwhile(number: int, call: str, key: str) -> None:
        if call in ("put", "copy") and not key.startswith("heartbeats"):
            past.clock.move(days=1)
            before = snapshot(past)
            past.collect(grace=timedelta(days=1))
            assert snapshot(past) == before, (number, call, key)

    store.before = meanwhile
    past.capture(past.library(store), limits=ONE_BY_ONE)
    past.assert_every_backup_restores()


def test_a_zombie_cannot_commit_what_was_collected_behind_it(past):
    """Superseded, its contents are garbage some day; its commit is refused, so it may lose them."""
    past.capture()
    past.change(a__1=b"x")
    zombie = past.repository.begin(Component.FILES, window=None, initiator=TESTER).__enter__()
    zombie.put_sealed(object_key(SITE, "ab" * 32), b"of the zombie")
    past.capture()
    pass_time(past)
    past.collect()
    assert past.contents() == past.referenced()
    with pytest.raises(Fenced):
        zombie.commit(a_draft())
    zombie._heartbeat.stop()


def test_folders_of_dead_database_attempts_go_and_running_ones_stay(past):
    kept = a_backup(past.repository).backup_id
    with (
        pytest.raises(ZeroDivisionError),
        past.repository.begin(Component.DATABASE, window=None, initiator=TESTER) as dead,
    ):
        with dead.stream_writer("base.tar") as writer:
            writer.write(b"half")
        raise ZeroDivisionError
    running = past.repository.begin(Component.DATABASE_DUMP, window=None, initiator=TESTER).__enter__()
    with running.stream_writer("dump.custom") as writer:
        writer.write(b"half")
    pass_time(past)

    garbage = past.collect()

    assert garbage.attempts.count == 1
    folders = {key.split("/")[4] for key in snapshot(past) if key.startswith("backups/")}
    assert folders == {kept, running.backup_id}
    assert [key for key in snapshot(past) if key.startswith("heartbeats/")]
    running.__exit__(None, None, None)


def test_an_expired_backup_is_no_garbage_and_a_purged_one_is(past):
    first = past.capture()
    past.change(**{"public/photo.jpg": b"x"})
    past.capture()
    past.expire(first)
    pass_time(past)
    before = snapshot(past)
    past.collect()
    assert snapshot(past) == before

    store = SteppingStore(past.store)
    store.before = lambda number, call, key: _die(call == "delete")
    with pytest.raises(Killed):
        purge_backups(past.seen_through(store), [first], initiator=TESTER)
    garbage = past.collect()
    assert garbage.contents.count > 0
    assert garbage.attempts.count > 0
    assert past.contents() == past.referenced()
    past.assert_every_backup_restores()


def _die(now: bool) -> None:
    if now:
        raise Killed


def test_a_list_that_no_record_names_goes_and_a_named_one_stays(past):
    first = past.capture()
    past.change(a__1=b"x")
    past.capture()
    past.expire(first)
    store = SteppingStore(past.store)
    store.before = lambda number, call, key: _die(call == "put" and key.startswith("log/"))
    with pytest.raises(Killed):
        purge_backups(past.seen_through(store), [first], initiator=TESTER)
    orphan = {key for key in snapshot(past) if key.startswith("purges/")}
    assert orphan
    past.purge(first)
    pass_time(past)

    past.collect()

    left = {key for key in snapshot(past) if key.startswith("purges/")}
    assert left.isdisjoint(orphan)
    assert len(left) == 2, "the list of the purge and its mark"


def test_a_heartbeat_of_an_attempt_that_never_began_goes_after_the_grace(past):
    past.capture()
    key = layout.heartbeat_key(SITE, "20261123T000000Z-deadbeef")
    past.store.put(key, b"{}")
    past.collect()
    assert key in snapshot(past)
    pass_time(past)
    past.collect()
    assert key not in snapshot(past)


@pytest.mark.parametrize("component", [Component.FILES, Component.DATABASE])
def test_a_folder_that_the_log_does_not_name_ends_it(past, component):
    """The end of the log may have been cut off: then the newest backups look like garbage."""
    past.capture()
    pass_time(past)
    past.store.put(f"{layout.backup_prefix(SITE, component, 'unknown-1')}manifest.json", b"{}")
    past.store.put(object_key(SITE, "cd" * 32), b"of the unknown")
    pass_time(past)
    before = snapshot(past)
    with pytest.raises(LogCorrupt, match="unknown-1/ .*Nothing was deleted"):
        past.collect()
    assert snapshot(past) == before


def test_a_manifest_that_cannot_be_read_ends_it(past):
    first = past.capture()
    past.change(a__1=b"x")
    killed_capture(past, before="/manifest.json")
    past.change(a__1=b"y")
    past.capture()
    pass_time(past)
    past.store.delete([layout.manifest_key(SITE, Component.FILES, first)])
    before = snapshot(past)
    with pytest.raises(ManifestCorrupt, match=first):
        past.collect()
    assert snapshot(past) == before


def test_a_grace_shorter_than_a_day_is_refused(past):
    with pytest.raises(ConfigurationError, match="too short"):
        past.collect(grace=timedelta(hours=23))


def test_what_is_no_content_below_files_is_left_alone(past):
    past.capture()
    strange = [f"files/{SITE}/readme", f"files/{SITE}/ab/cd", f"files/{SITE}/00/{'ab' * 32}", f"files/{SITE}/ab/x/y/z"]
    for key in strange:
        past.store.put(key, b"?")
    pass_time(past)
    past.collect()
    assert past.contents() >= set(strange)


class Jumping(MemoryStore):
    """A store whose clock is not that of the hosts, and can be moved by itself."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__(SetClock(clock.now()))


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("when", ["before the attempt", "while it copies", "before the collection"])
def test_a_clock_that_is_an_hour_off_never_makes_live_data_garbage(past, hours, when):
    """L-24, the store's own clock and the hosts' alike, in both directions, with the shortest grace there is."""
    store = Jumping(past.clock)
    past = RememberedLibrary(store, past.key, past.clock)
    past.capture()
    past.change(a__1=b"x", public__new=b"y")
    stepping = SteppingStore(store)
    jumps = [(when == "while it copies", "files/")]

    def collect_at_once(number: int, call: str, key: str) -> None:
        if call in ("put", "copy") and key.startswith("files/"):
            if jumps.pop(0)[0] if jumps else False:
                store.clock.move(hours=hours)
            collect_garbage(past.repository, grace=timedelta(days=1))

    stepping.before = collect_at_once
    if when == "before the attempt":
        store.clock.move(hours=hours)
        past.clock.move(hours=-hours)
    past.capture(past.library(stepping), limits=ONE_BY_ONE)
    if when == "before the collection":
        store.clock.move(hours=hours)
        past.clock.move(hours=-hours)
    past.collect(grace=timedelta(days=1))
    past.assert_every_backup_restores()
    assert past.contents() >= past.referenced()


def test_a_store_whose_clock_leaps_ahead_spares_what_runs_all_the_same(past):
    """Age is the second guard only: what an unfinished attempt made is younger than its begin, whatever time it is."""
    past.capture()
    past.change(a__1=b"x", public__new=b"y")
    stepping = SteppingStore(past.store)

    def leap(number: int, call: str, key: str) -> None:
        if call in ("put", "copy") and key.startswith("files/"):
            other = SteppingStore(past.store)
            other.ahead = timedelta(days=400)
            collect_garbage(past.seen_through(other))

    stepping.before = leap
    past.capture(past.library(stepping), limits=ONE_BY_ONE)
    past.assert_every_backup_restores()


def test_an_attempt_that_begins_while_garbage_is_looked_for_is_seen(past):
    """Its ``begin`` lies behind the listing; with a clock that fell back, its contents even look old."""
    past.capture()
    pass_time(past)
    store = SteppingStore(past.store)
    begun = []

    def begin(number: int, call: str, key: str) -> None:
        if call == "list" and key.startswith("files/") and not begun:
            past.clock.move(days=-30)
            begun.append(past.repository.begin(Component.FILES, window=None, initiator=TESTER).__enter__())
            begun[0].put_sealed(object_key(SITE, "ef" * 32), b"of a new attempt")
            past.clock.move(days=30)

    store.before = begin
    collect_garbage(past.seen_through(store))
    assert object_key(SITE, "ef" * 32) in past.contents()
    begun[0].__exit__(None, None, None)


def test_a_collection_killed_before_any_call_harms_nothing(past):
    past.capture()
    past.change(a__1=b"x", public__new=b"y")
    killed_capture(past, before=CONTENTS, times=2)
    past.change(a__1=b"another", public__new=b"another")
    past.capture()
    pass_time(past)
    number = 0
    while True:
        here = past.copy()
        store = SteppingStore(here.store)
        store.die_at(number)
        try:
            collect_garbage(here.seen_through(store))
            break
        except Killed:
            here.assert_every_backup_restores(number)
            here.collect()
            assert here.contents() == here.referenced()
            number += 1
    assert number > 20


@pytest.mark.parametrize("verb", ["collect", "purge"])
def test_two_collections_or_a_purge_at_once(past, verb):
    """L-2: the other one as a whole before every call."""
    first = past.capture()
    past.change(a__1=b"x", public__new=b"y")
    killed_capture(past, before=CONTENTS, times=2)
    past.change(a__1=b"another", public__new=b"another")
    past.capture()
    past.expire(first)
    pass_time(past)
    number, calls = 0, 1
    while number < calls:
        here = past.copy()

        def meanwhile(current: int, call: str, key: str, *, here=here, at=number) -> None:
            if current == at:
                here.collect() if verb == "collect" else here.purge(first)

        store = SteppingStore(here.store, meanwhile)
        collect_garbage(here.seen_through(store))
        here.assert_every_backup_restores(number)
        here.collect()
        assert here.contents() == here.referenced(), number
        calls, number = len(store.calls), number + 1
    assert number > 20
