"""Which requests are sent again, after what pauses, and what is counted of a store that asks to slow down."""

from types import SimpleNamespace

import pytest

from lc2_backup_dagster.clouds.aws.retries import LONGEST_PAUSE_SECONDS, pause_seconds
from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.clouds.store import Throttling
from lc2_backup_dagster.model.errors import AccessDenied, StoreUnavailable
from lc2_backup_dagster_tests.clouds.misbehaving_server import Answer, error
from lc2_backup_dagster_tests.clouds.test_s3_faults import TIME, Once, serving


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made, without making them; every chance is the worst."""
    made = []
    monkeypatch.setattr("lc2_backup_dagster.clouds.aws.retries.time", SimpleNamespace(sleep=made.append))
    monkeypatch.setattr("lc2_backup_dagster.clouds.aws.retries.random", SimpleNamespace(random=lambda: 1.0))
    return made


def content(_):
    return Answer(200, b"content", TIME)


def test_pauses_double_up_to_a_limit_and_are_spread():
    assert [pause_seconds(retry, chance=1.0) for retry in range(7)] == [1, 2, 4, 8, 16, 20, LONGEST_PAUSE_SECONDS]
    assert pause_seconds(3, chance=0.25) == 2
    assert pause_seconds(3, chance=0.0) == 0
    # What the store asks for is waited at least, within reason.
    assert pause_seconds(0, chance=0.5, wish=3) == 3
    assert pause_seconds(3, chance=1.0, wish=3) == 8
    assert pause_seconds(0, chance=0.5, wish=3600) == 5


@pytest.mark.parametrize(
    "answer", [error("SlowDown", 503), Answer(429), Answer(503), error("ThrottlingException", 400)], ids=range(4)
)
def test_a_store_that_asks_to_slow_down_is_obeyed_and_counted(pauses, answer):
    with serving(Once(answer, answer, then=content), attempts=4) as (store, server):
        assert store.throttling == Throttling()
        assert store.get("key") == b"content"
        assert len(server.requests) == 3
        assert pauses == [1, 2]
        assert store.throttling == Throttling(requests=2, seconds=3.0)
        assert PrefixedStore(store, "k").throttling == store.throttling


def test_requests_through_boto3_are_counted_too(pauses):
    slow = error("SlowDown", 503)
    with serving(Once(slow, then=lambda _: Answer(200, b"<DeleteResult/>")), attempts=2) as (store, _):
        store.delete(["key"])
        assert pauses == [1]
        assert store.throttling == Throttling(requests=1, seconds=1.0)


def test_other_outages_are_survived_and_not_counted(pauses):
    with serving(Once(Answer(500), Answer(502), Answer(504), then=content), attempts=4) as (store, _):
        assert store.get("key") == b"content"
        assert pauses == [1, 2, 4]
        assert store.throttling == Throttling()


def test_a_store_that_says_how_long_is_given_that_time(pauses):
    slow = Answer(503, headers={"Retry-After": "4"})
    day = Answer(503, headers={"Retry-After": "Mon, 23 Nov 2026 02:00:00 GMT"})
    with serving(Once(slow, day, then=content), attempts=4) as (store, _):
        store.get("key")
        assert pauses == [4, 2]


def test_the_last_try_is_told_and_counted_without_a_pause(pauses):
    with serving(lambda _: error("SlowDown", 503), attempts=3) as (store, server):
        with pytest.raises(StoreUnavailable, match="SlowDown") as caught:
            store.get("key")
        assert caught.value.attributes["retries"] == 2
        assert len(server.requests) == 3
        assert pauses == [1, 2]
        assert store.throttling == Throttling(requests=3, seconds=3.0)


def test_what_does_not_pass_is_not_tried_again(pauses):
    for answer, kind in ((error("AccessDenied", 403), AccessDenied), (Answer(404), StoreUnavailable)):
        with serving(lambda _, answer=answer: answer, attempts=5) as (store, server):
            with pytest.raises(kind):
                store.get("key")
            assert len(server.requests) == 1
    assert pauses == []


def test_a_connection_that_ends_is_opened_again(pauses):
    cut = Answer(200, b"x" * 1000, break_after=10)  # a listing that breaks off
    listing = Answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    with serving(Once(cut, then=lambda _: listing), attempts=2) as (store, server):
        assert list(store.list()) == []
        assert len(server.requests) == 2
