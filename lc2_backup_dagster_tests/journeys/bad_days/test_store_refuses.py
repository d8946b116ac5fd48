"""The object store refuses, lies or freezes: unknown is never success, a refusal is never absence (L-28)."""

import functools
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.clouds.aws import config
from lc2_backup_dagster.clouds.aws.client import S3Access
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    BackupError,
    BucketNotFound,
    ObjectNotFound,
    RecoveryPointNotFound,
    StoreUnavailable,
)
from lc2_backup_dagster.model.window import WindowLength
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.verify.verify import verify_backup
from lc2_backup_dagster.repository import lease, parts
from lc2_backup_dagster_tests.builders import TESTER
from lc2_backup_dagster_tests.conftest import READER
from lc2_backup_dagster_tests.journeys.bad_days.faulty_proxy import (
    Freeze,
    LoseAnswer,
    Pretend,
    Refuse,
    Requests,
    running_proxy,
)
from lc2_backup_dagster_tests.operations.tiny_site import open_window, until


def dump(site):
    return capture_database_dump(
        site.context, window=open_window(WindowLength.DAILY), asked_at=datetime.now(UTC), initiator=TESTER
    )


def files(site):
    return capture_site_files(
        site.context, window=open_window(WindowLength.DAILY), asked_at=datetime.now(UTC), initiator=TESTER
    )


def ids(site) -> list[str]:
    return [each.backup_id for each in site.repository.backups()]


@pytest.fixture
def listed(proxied_site, object_server):
    """Return ``listed()``: the ids of backups as somebody sees them who reaches the store without the proxy."""
    direct = proxied_site.changed(
        proxied_site.root / "direct", destination__store__endpoint=object_server.endpoint
    ).context
    return lambda: [each.backup_id for each in direct.open_repository(False).backups()]


@pytest.fixture
def impatient(monkeypatch):
    """Fewer tries than in the service, and shorter waits; what is concluded from them stays as it is."""
    monkeypatch.setattr(config, "S3Access", functools.partial(S3Access, attempts=1))
    monkeypatch.setattr(parts, "_TRIES", 2)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.3)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 3.0)
    monkeypatch.setitem(lease.wait_until_silent.__kwdefaults__, "step_seconds", 0.1)


@pytest.fixture
def proxy(object_server):
    with running_proxy(object_server.endpoint) as running:
        yield running


@pytest.fixture
def proxied_site(proxy, s3_access, make_s3_site, impatient):
    return make_s3_site(access=replace(s3_access, endpoint=proxy.endpoint))


def test_a_bucket_that_is_missing_is_named(make_s3_site):
    site = make_s3_site(backups="no-such-bucket-here")
    for capture in (dump, files):
        with pytest.raises(BucketNotFound, match="no-such-bucket-here"):
            capture(site)


def test_a_bucket_that_may_only_be_read_is_refused_before_anything_is_captured(make_s3_site, s3_access, make_bucket):
    bucket = make_bucket()
    reader = replace(s3_access, access_key=READER.access_key, secret_key=READER.secret_key)
    for _ in range(2):
        with pytest.raises(AccessDenied, match=bucket) as refusal:
            files(make_s3_site(access=reader, backups=bucket))
        assert "check the credentials" in refusal.value.hint
    # A reader may look, and finds nothing; with the right to write the same bucket takes a backup, then he reads it.
    writer = make_s3_site(backups=bucket)
    with pytest.raises(RecoveryPointNotFound):
        ids(make_s3_site(access=reader, backups=bucket))
    backup = dump(writer).backup.backup_id
    reading = writer.with_environment(
        TINY_S3_ACCESS_KEY_ID=READER.access_key, TINY_S3_SECRET_ACCESS_KEY=READER.secret_key
    )
    assert ids(reading) == [backup]
    assert not any(each.damages for each in verify_backup(reading.context, backup))
    with pytest.raises(AccessDenied):
        dump(reading)
    assert ids(writer) == [backup]


@pytest.mark.parametrize("wrong", ["secret key", "access key"])
def test_wrong_credentials_are_named_and_never_shown(make_s3_site, s3_access, wrong):
    bad = (
        replace(s3_access, secret_key="a-wrong-secret-key")
        if wrong == "secret key"
        else replace(s3_access, access_key="nobody-knows-this-key")
    )
    with pytest.raises(AccessDenied) as refusal:
        dump(make_s3_site(access=bad))
    assert f"the {wrong} is" in str(refusal.value.hint)
    assert "a-wrong-secret-key" not in str(refusal.value)


# What a dump asks of its store, in the order of the first request of each kind.
PLACES = {
    "the marker": Requests(r"GET .*/lc2-repository\.json", Pretend()),
    "the data key": Requests(r"GET .*/keys/retail/liferay/", Pretend()),
    "the list of keys": Requests(r"GET .*prefix=keys/", Pretend()),
    "the list of the log": Requests(r"GET .*prefix=log/", Pretend()),
    "a record of the log": Requests(r"GET .*/log/retail/liferay/0", Pretend()),
    "the heartbeat": Requests(r"PUT .*/heartbeats/", Pretend()),
    "the begin": Requests(r"PUT .*/log/", Pretend()),
    "a part": Requests(r"PUT .*/dump\.custom/", Pretend()),
    "its reading back": Requests(r"GET .*/dump\.custom/", Pretend()),
    "the manifest": Requests(r"PUT .*/manifest\.json", Pretend()),
    "the commit": Requests(r"PUT .*/log/", Pretend(), after=1),
}


@pytest.mark.parametrize(
    ("fault", "error", "places"),
    [
        pytest.param(Refuse(403, "AccessDenied"), AccessDenied, tuple(PLACES), id="403"),
        pytest.param(
            Refuse(503, "SlowDown"),
            StoreUnavailable,
            (
                "the marker",
                "the data key",
                "the list of the log",
                "a record of the log",
                "its reading back",
                "the commit",
            ),
            id="503",
        ),
        pytest.param(Refuse(418), BackupError, ("the marker", "the begin", "the commit"), id="unknown status"),
    ],
)
def test_a_refused_request_is_neither_success_nor_absence_wherever_it_comes(
    proxied_site, proxy, listed, fault, error, places
):
    site = proxied_site
    first = dump(site).backup.backup_id
    for place in places:
        requests = PLACES[place]
        with (
            proxy.failing(Requests(requests.pattern, fault, after=requests.after)) as failing,
            pytest.raises(error) as refusal,
        ):
            dump(site)
        assert failing.begun, place
        assert not isinstance(refusal.value, ObjectNotFound | RecoveryPointNotFound | BucketNotFound), place
        assert listed() == [first], place
    markers = [each for each in proxy.seen if each.startswith("PUT") and "lc2-repository" in each]
    assert len(markers) == 1
    second = dump(site).backup.backup_id
    assert listed() == [first, second]
    assert not any(each.damages for each in verify_backup(site.context, second))


WRITES = ("the begin", "a part", "the manifest", "the commit")


def test_a_store_that_says_yes_and_keeps_nothing_is_not_believed(proxied_site, proxy, listed):
    site = proxied_site
    first = dump(site).backup.backup_id
    for place in WRITES:
        requests = Requests(PLACES[place].pattern, Pretend(), after=PLACES[place].after)
        with proxy.failing(requests), pytest.raises(BackupError):
            dump(site)
        assert requests.begun, place
        assert listed() == [first], place
    second = dump(site).backup.backup_id
    assert listed() == [first, second]


def test_an_answer_that_was_lost_is_found_out_by_reading_back(proxied_site, proxy, listed):
    """The store has done what it was told, only nobody heard of it."""
    site = proxied_site
    done = []
    for place in WRITES:
        requests = Requests(PLACES[place].pattern, LoseAnswer(), after=PLACES[place].after)
        with proxy.failing(requests):
            done.append(dump(site).backup.backup_id)
        assert requests.begun, place
        assert listed() == done, place


def test_a_store_that_freezes_during_the_commit_is_no_success_and_what_it_did_late_is_whole(
    proxied_site, proxy, listed, monkeypatch
):
    site = proxied_site
    first = dump(site).backup.backup_id
    monkeypatch.setattr(config, "S3Access", functools.partial(S3Access, attempts=1, read_seconds=2))
    thawed = threading.Event()
    try:
        with (
            proxy.failing(Requests(r"PUT .*/log/", Freeze(thawed), after=1, and_all_later=True)),
            pytest.raises(StoreUnavailable),
        ):
            dump(site)
    finally:
        thawed.set()
    monkeypatch.setattr(config, "S3Access", S3Access)
    until(lambda: proxy.late > 0, what="the store did what it was told, after everybody had gone")
    second = dump(site).backup.backup_id
    assert listed()[0] == first
    assert listed()[-1] == second
    # The commit that came late is there or not; a listed backup is whole in either case.
    assert len(listed()) in (2, 3)
    for backup_id in listed():
        assert not any(each.damages for each in verify_backup(site.context, backup_id))


def test_files_survive_a_store_that_throttles_now_and_then(proxied_site, proxy, monkeypatch):
    """Requests are refused with 503 again and again: all is tried again, nothing is left out."""
    monkeypatch.setattr(config, "S3Access", functools.partial(S3Access, attempts=3))
    answers = iter(range(10_000))

    class Sometimes(Requests):
        def fault_of(self, request):
            return self.fault if next(answers) % 13 == 12 else None

    with proxy.failing(Sometimes("", Refuse(503, "SlowDown"))):
        captured = files(proxied_site)
    assert captured.backup.summary["partial"] is False
    assert captured.backup.summary["vanished"] == 0
    assert not any(each.damages for each in verify_backup(proxied_site.context, captured.backup.backup_id))
