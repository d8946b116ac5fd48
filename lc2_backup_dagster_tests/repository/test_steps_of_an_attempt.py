"""One attempt carried out by several processes: begun by one, joined by others, alive between them, committed once."""

from io import BytesIO

import pytest

from lc2_backup_dagster.model.errors import AlreadyExists, ComponentBusy, Fenced, StoreUnavailable
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.lease import LEASE_SECONDS, PAUSE_SECONDS
from lc2_backup_dagster.repository.manifest import encode_manifest
from lc2_backup_dagster.repository.record import Initiator, RecordType
from lc2_backup_dagster_tests.builders import TESTER, a_draft, a_repository
from lc2_backup_dagster_tests.fakes import Killed

LATER = Initiator(actor="tester", source="cli", run_id="run-2")


@pytest.fixture
def open_repository(store, site, key, clock):
    """Return a function that opens the repository as another process would."""
    return lambda: a_repository(store, site, wrapper=key, clock=clock)


def handed_over(repository, **options):
    with repository.begin(Component.FILES, window=None, initiator=TESTER, **options) as attempt:
        attempt.hand_over()
    return attempt.backup_id


def join(repository):
    running = repository.log.history().holder(Component.FILES)
    assert running is not None
    return repository.join(running, initiator=LATER)


def begin(repository, clock):
    """Try to take the component, with a clock that moves while it waits."""
    slept: list[float] = []
    attempt = repository.begin(
        Component.FILES,
        window=None,
        initiator=TESTER,
        sleep=lambda seconds: (slept.append(seconds), clock.move(seconds=seconds)),
    )
    return attempt, slept


def test_steps_in_other_processes_join_the_attempt_and_one_of_them_commits_it(open_repository, clock):
    attempt_id = handed_over(open_repository(), bases=[])
    with join(open_repository()) as step:
        written = step.write_stream("files", BytesIO(b"content"))
    clock.move(seconds=60)
    repository = open_repository()
    with join(repository) as last:
        assert last.backup_id == attempt_id
        backup = last.commit(a_draft(streams=(written,)))
    assert [each.backup_id for each in repository.backups()] == [attempt_id]
    assert backup.initiator.run_id == "run-2"
    manifest = repository.manifest(attempt_id)
    assert manifest.started < manifest.finished, "it began when its first step did"
    assert [record.type for record in repository.log.records()] == [RecordType.BEGIN, RecordType.COMMIT]
    assert not list(repository.store.list("heartbeats/"))


def test_a_joined_attempt_has_the_bases_and_the_dead_attempts_of_the_one_that_began(open_repository, clock):
    repository = open_repository()
    with repository.begin(Component.FILES, window=None, initiator=TESTER) as base:
        base.commit(a_draft())
    dead = repository.begin(Component.FILES, window=None, initiator=TESTER).__enter__()
    dead._heartbeat.leave()
    clock.move(seconds=LEASE_SECONDS + 1)
    handed_over(repository, bases=[base.backup_id])
    with join(open_repository()) as step:
        assert step.bases == (base.backup_id,)
        assert step.resumes == (dead.backup_id,)


def test_between_two_steps_the_attempt_is_alive_for_a_pause_and_no_longer(open_repository, clock):
    handed_over(open_repository())
    clock.move(seconds=PAUSE_SECONDS - LEASE_SECONDS - 1)
    attempt, slept = begin(open_repository(), clock)
    with pytest.raises(ComponentBusy, match="is held by"), attempt:
        pass
    assert slept == [], "who asks is told at once, and not after a quarter of an hour"
    clock.move(seconds=LEASE_SECONDS + 2)
    attempt, _ = begin(open_repository(), clock)
    with attempt:
        attempt.commit(a_draft())


def test_a_step_that_was_killed_holds_the_component_for_the_usual_lease_only(open_repository, clock):
    handed_over(open_repository())
    killed = join(open_repository()).__enter__()
    killed._heartbeat.leave()  # its process is gone: the last beat is an ordinary one
    attempt, slept = begin(open_repository(), clock)
    with attempt:
        assert killed.backup_id in attempt.resumes
        attempt.commit(a_draft())
    assert LEASE_SECONDS <= sum(slept) <= LEASE_SECONDS + 2


def test_a_step_that_failed_leaves_the_attempt_to_be_gone_on_with(open_repository, clock):
    attempt_id = handed_over(open_repository())
    with pytest.raises(StoreUnavailable), join(open_repository()):
        raise StoreUnavailable("the source is away")
    repository = open_repository()
    assert [record.type for record in repository.log.records()] == [RecordType.BEGIN]
    clock.move(seconds=10 * PAUSE_SECONDS)  # nobody else wanted the component meanwhile
    with join(repository) as again:
        assert again.commit(a_draft()).backup_id == attempt_id


def test_while_one_step_beats_the_attempt_is_alive_whatever_another_one_left(open_repository, clock):
    handed_over(open_repository())
    running = join(open_repository()).__enter__()
    with pytest.raises(StoreUnavailable), join(open_repository()):
        raise StoreUnavailable("the source is away")
    busy, _ = begin(open_repository(), clock)
    busy._sleep = lambda seconds: (clock.move(seconds=seconds), running._heartbeat._beat())
    with pytest.raises(ComponentBusy), busy:
        pass
    running.__exit__(None, None, None)


def test_a_step_of_a_superseded_attempt_is_fenced(open_repository, clock):
    handed_over(open_repository())
    early, late = join(open_repository()), join(open_repository())
    early.__enter__()
    early._heartbeat.leave()
    clock.move(seconds=PAUSE_SECONDS + 1)
    attempt, _ = begin(open_repository(), clock)
    with attempt:
        with pytest.raises(Fenced, match="superseded by"), late:
            pass
        with pytest.raises(Fenced, match="superseded by"):
            early.check_alive()
        winner = attempt.commit(a_draft())
    with pytest.raises(Fenced, match="superseded by"):
        early.commit(a_draft())
    assert [each.backup_id for each in open_repository().backups()] == [winner.backup_id]


def dies_at_its_commit(repository, store, draft):
    """Write everything but the commit record, and die."""
    put = store.put

    def dying(key, body, *, create_only=True):
        if key.startswith("log/"):
            raise Killed
        return put(key, body, create_only=create_only)

    step = join(repository).__enter__()
    store.put = dying
    with pytest.raises(Killed):
        step.commit(draft)
    store.put = put
    step._heartbeat.leave()


def test_a_step_that_died_between_manifest_and_commit_is_run_again(open_repository, store, clock):
    attempt_id = handed_over(open_repository())
    dies_at_its_commit(open_repository(), store, a_draft())
    clock.move(seconds=20)
    repository = open_repository()
    with join(repository) as again:
        backup = again.commit(a_draft())
    assert backup.backup_id == attempt_id
    assert repository.manifest(attempt_id).finished == backup.summary["finished"], "the log names what is there"


def test_a_manifest_that_says_something_else_is_not_committed(open_repository, store):
    handed_over(open_repository())
    dies_at_its_commit(open_repository(), store, a_draft())
    repository = open_repository()
    with pytest.raises(AlreadyExists), join(repository) as again:
        again.commit(a_draft(window="2026-11-22-02:00"))
    assert repository.backups() == []


def test_only_a_step_that_joined_may_meet_a_manifest(open_repository, store):
    repository = open_repository()
    with (
        pytest.raises(AlreadyExists),
        repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt,
    ):
        store.put(f"{attempt.prefix}manifest.json", encode_manifest(attempt._manifest(a_draft())))
        attempt.commit(a_draft())
    assert repository.backups() == []


def test_a_begin_that_fails_before_it_hands_over_ends_the_attempt(open_repository):
    repository = open_repository()
    with (
        pytest.raises(StoreUnavailable),
        repository.begin(Component.FILES, window=None, initiator=TESTER) as attempt,
    ):
        raise StoreUnavailable("no plan could be written")
    assert attempt.backup_id not in repository.log.history().running


def test_a_pause_that_could_not_be_written_does_not_fail_the_step(open_repository, store, clock):
    repository = open_repository()
    attempt = repository.begin(Component.FILES, window=None, initiator=TESTER)
    put = store.put

    def away(key, body, *, create_only=True):
        if b"lease_seconds" in body:
            raise StoreUnavailable("the store is away")
        return put(key, body, create_only=create_only)

    with attempt:
        attempt.hand_over()
        store.put = away
    store.put = put
    clock.move(seconds=LEASE_SECONDS + 1)
    taking, _ = begin(repository, clock)
    with taking:
        taking.commit(a_draft())


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        '{"lease_seconds":"x"}',
        '{"lease_seconds":1}',
        '{"lease_seconds":1e12}',
        "\xff",
        '{"lease_seconds":NaN}',
        '{"lease_seconds":%s}' % ("9" * 400),
    ],
)
def test_no_heartbeat_makes_a_lease_longer_than_a_pause_or_shorter_than_usual(
    open_repository, store, site, clock, told
):
    dead = open_repository().begin(Component.FILES, window=None, initiator=TESTER).__enter__()
    dead._heartbeat.leave()
    store.put(layout.heartbeat_key(site, dead.backup_id), told.encode("latin-1"), create_only=False)
    attempt, slept = begin(open_repository(), clock)
    endless = "1e12" in told
    if endless:
        with pytest.raises(ComponentBusy), attempt:
            pass
        clock.move(seconds=PAUSE_SECONDS)
        attempt, slept = begin(open_repository(), clock)
    with attempt:
        attempt.commit(a_draft())
    assert sum(slept) >= (1 if endless else LEASE_SECONDS)
