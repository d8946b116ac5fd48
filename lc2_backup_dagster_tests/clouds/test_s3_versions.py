"""A bucket that keeps versions: the contract, and what older versions are good for."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.prefixed import PrefixedStore
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    ConfigurationError,
    ObjectNotFound,
    PermanentError,
    SourceChanged,
    StoreUnavailable,
)
from lc2_backup_dagster_tests.clouds.misbehaving_server import Answer, error
from lc2_backup_dagster_tests.clouds.test_s3_faults import Once, a_large_object, serving
from lc2_backup_dagster_tests.clouds.test_s3_pages import VERSION
from lc2_backup_dagster_tests.clouds.test_s3_store import IN_PARTS, S3Contract
from lc2_backup_dagster_tests.contracts.object_store import keys_of, pattern


@pytest.fixture(scope="module")
def buckets(make_bucket):
    return make_bucket(versioning=True), make_bucket(versioning=True)


def emptied(connection, name):
    """Yield a store, and remove every version in it afterwards."""
    yield S3Store(connection, name, **IN_PARTS)
    remove_versions(connection.client, name)


def remove_versions(client, bucket):
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        if found:
            wish = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            client.delete_objects(Bucket=bucket, Delete={"Objects": wish, "Quiet": True})


@pytest.fixture
def store(s3_connection, buckets):
    yield from emptied(s3_connection, buckets[0])


@pytest.fixture
def other_store(s3_connection, buckets):
    yield from emptied(s3_connection, buckets[1])


def history(store, prefix=""):
    """Return key, size, marker or not, latest or not, of each version, of one key in the order of the listing."""
    found = [
        (each.info.key, each.info.size_bytes, each.is_delete_marker, each.is_latest)
        for each in store.list_versions(prefix)
    ]
    return sorted(found, key=lambda each: each[0])


class TestS3WithVersioningKeepsTheContract(S3Contract):
    # Buckets of its own: SeaweedFS does not tell awkward keys in full when it lists versions, so these cannot be
    # removed, and it keeps emptied folders, beside which a new object is refused.
    @pytest.fixture(scope="class")
    @classmethod
    def buckets(cls, make_bucket):
        return make_bucket(versioning=True), make_bucket(versioning=True)

    @pytest.fixture
    def store(self, store):
        return store

    @pytest.fixture
    def other_store(self, other_store):
        return other_store


def test_every_version_is_listed_and_so_is_a_deletion(store):
    first = store.put("a/key", b"1")
    second = store.put("a/key", b"22", create_only=False)
    store.delete(["a/key"])
    third = store.put("a/key", b"333")
    store.put("whole", b"4444")
    store.put("lost", b"55555")
    store.delete(["lost"])

    assert history(store) == [
        # The newest first, although all were written within the second that a listing tells.
        ("a/key", 3, False, True),
        ("a/key", 0, True, False),
        ("a/key", 2, False, False),
        ("a/key", 1, False, False),
        ("lost", 0, True, True),
        ("lost", 5, False, False),
        ("whole", 4, False, True),
    ]
    found = {each.info.version: each for each in store.list_versions("a/")}
    assert {first.version, second.version, third.version} < set(found)
    assert len(found) == 4
    for written in (first, second, third):
        assert found[written.version].info.etag == written.etag
    (marker,) = [each for each in found.values() if each.is_delete_marker]
    assert marker.info.etag is None
    assert marker.info.version
    assert abs(marker.info.modified - datetime.now(UTC)) < timedelta(minutes=1)
    assert marker.info.modified.tzinfo is UTC
    assert keys_of(store) == ["a/key", "whole"]
    assert keys_of(PrefixedStore(store, "a/")) == ["key"]
    assert history(PrefixedStore(store, "a/"), "k") == [("key", *rest) for _, *rest in history(store, "a/")]


@pytest.mark.parametrize("size_bytes", [10, 11 << 20], ids=["small", "in parts"])
def test_an_old_version_is_opened_asked_for_and_copied(store, other_store, size_bytes):
    content = pattern(size_bytes)
    old = store.put_stream("key", [content], size_bytes=size_bytes, content_type="text/plain", metadata={"turn": "1"})
    old = store.stat("key")
    new = store.put_stream("key", [content[::-1]], size_bytes=size_bytes, create_only=False)
    store.delete(["key"])

    assert store.stat("key", version=old.version) == old
    assert (old.content_type, dict(old.metadata)) == ("text/plain", {"turn": "1"})
    for view, key in ((store, "key"), (PrefixedStore(store, "k"), "ey")):
        with view.open(key, version=old.version, if_match=old.etag) as reader:
            assert reader.info.version == old.version
            assert b"".join(iter(lambda: reader.read(1 << 20), b"")) == content
        other_store.copy_from(view, key, "copy", size_bytes=size_bytes, version=old.version, if_match=old.etag)
        assert other_store.get("copy") == content
        assert dict(other_store.stat("copy").metadata) == {"turn": "1"}
    # Without a condition, too, it is the old version that counts.
    store.copy_from(store, "key", "back", size_bytes=size_bytes, version=old.version)
    assert store.get("back") == content
    with pytest.raises(SourceChanged), store.open("key", version=old.version, if_match=new.etag):
        pass
    with pytest.raises(SourceChanged):
        other_store.copy_from(store, "key", "copy", size_bytes=size_bytes, version=old.version, if_match=new.etag)


def test_a_delete_marker_and_an_unknown_version_are_absent(store, other_store):
    store.put("key", b"x")
    store.delete(["key"])
    unknown = store.put("other", b"y").version
    (marker,) = [each.info.version for each in store.list_versions("key") if each.is_delete_marker]

    for version in (marker, unknown):
        attempts = [
            lambda version=version: store.stat("key", version=version),
            lambda version=version: store.open("key", version=version).__enter__(),
            lambda version=version: other_store.copy_from(store, "key", "copy", size_bytes=1, version=version),
        ]
        for attempt in attempts:
            with pytest.raises(ObjectNotFound):
                attempt()
    assert keys_of(other_store) == []


def test_thousands_of_versions_are_listed(s3_connection, make_bucket):
    # In a bucket of its own that stays: SeaweedFS takes seconds for deleting the versions of such a key.
    store = S3Store(s3_connection, make_bucket(versioning=True))
    # One key with more versions than a page holds, between others: a page ends in the middle of a key.
    for turn in range(3):
        store.put("a", b"x" * turn, create_only=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda turn: store.put("m", b"%d" % turn, create_only=False), range(1050)))
    store.put("z", b"x")

    found = list(store.list_versions())

    assert len({(each.info.key, each.info.version) for each in found}) == len(found) == 1054
    assert [each.info.key for each in found if each.is_latest] == ["a", "m", "z"]
    assert len(list(store.list_versions("m"))) == 1050


def test_versions_are_known_without_a_check_and_asked_for_once(s3_connection, buckets, make_bucket):
    asked = []
    store = S3Store(s3_connection, buckets[0])
    client = s3_connection.client
    client.meta.events.register("before-call.s3.GetBucketVersioning", lambda **_: asked.append(1), unique_id="counting")
    try:
        assert not store.capabilities.ordered_listing
        assert not PrefixedStore(store, "a/").capabilities.ordered_listing
        assert not asked
        assert store.capabilities.versions
        assert store.capabilities.versions
        assert PrefixedStore(store, "a/").capabilities.versions
        assert len(asked) == 1
        assert not S3Store(s3_connection, make_bucket()).capabilities.versions
        with suppress(ConfigurationError):
            list(S3Store(s3_connection, buckets[0]).list_versions())
        assert len(asked) == 3
    finally:
        client.meta.events.unregister("before-call.s3.GetBucketVersioning", unique_id="counting")


STATUS = "<VersioningConfiguration><Status>{}</Status></VersioningConfiguration>"


@pytest.mark.parametrize(
    ("answer", "keeps"),
    [
        (Answer(200, STATUS.format("Enabled").encode()), True),
        (Answer(200, STATUS.format("Suspended").encode()), False),
        (Answer(200, b"<VersioningConfiguration/>"), False),
        (error("AccessDenied", 403), False),
        (error("NotImplemented", 501), False),
        (Answer(404), False),
    ],
    ids=range(6),
)
def test_who_may_not_ask_for_versions_or_asks_a_store_without_has_none(answer, keeps):
    with serving(lambda _: answer) as (store, server):
        for _ in range(2):
            assert store.capabilities.versions is keeps
        assert len(server.requests) == 1


def with_versions(then):
    enabled = Answer(200, STATUS.format("Enabled").encode())
    return lambda request: enabled if "versioning" in request.query else then(request)


def test_a_version_that_is_refused_or_cannot_be_had_is_not_absent():
    for answer, kind in ((Answer(403), AccessDenied), (error("SlowDown", 503), StoreUnavailable)):
        with serving(with_versions(lambda _, answer=answer: answer), attempts=1) as (store, _):
            for attempt in (
                lambda store=store: store.stat("key", version="v"),
                lambda store=store: store.open("key", version="v").__enter__(),
                lambda store=store: store.copy_from(store, "key", "copy", size_bytes=1, version="v"),
            ):
                with pytest.raises(kind):
                    attempt()


def test_a_delete_marker_is_absent_also_where_the_store_says_it_as_amazon_does():
    marker = Answer(405, headers={"x-amz-delete-marker": "true"})
    with serving(with_versions(lambda _: marker)) as (store, _):
        with pytest.raises(ObjectNotFound, match="delete marker"):
            store.stat("key", version="v")
        with pytest.raises(ObjectNotFound), store.open("key", version="v"):
            pass
        with pytest.raises(PermanentError) as caught:
            store.stat("key")
        assert not isinstance(caught.value, ObjectNotFound)


def test_a_transfer_that_breaks_off_goes_on_with_the_same_version():
    content = pattern(100_000)
    breaks = iter([40_000, None])
    with serving(with_versions(lambda request: a_large_object(request, content, next(breaks)))) as (store, server):
        with store.open("key", version="v1") as reader:
            assert b"".join(iter(lambda: reader.read(1 << 20), b"")) == content
        assert [request.query.get("versionId") for request in server.requests[1:]] == [["v1"], ["v1"]]


def test_an_outage_is_no_answer_to_whether_there_are_versions():
    enabled = Answer(200, STATUS.format("Enabled").encode())
    with serving(Once(error("SlowDown", 503), then=lambda _: enabled), attempts=1) as (store, _):
        with pytest.raises(StoreUnavailable):
            _ = store.capabilities.versions
        assert store.capabilities.versions


def test_versions_of_other_keys_than_were_asked_for_are_left_out():
    """SeaweedFS takes ``a//`` for ``a/`` when it lists objects."""
    told = "".join(VERSION.format(key, "v", "true") for key in ("a/1", "a//1", "b"))
    answer = f"<ListVersionsResult><IsTruncated>false</IsTruncated>{told}</ListVersionsResult>"
    with serving(with_versions(lambda _: Answer(200, answer.encode()))) as (store, _):
        assert [each.info.key for each in store.list_versions("a//")] == ["a//1"]


def test_versions_that_are_no_listing_are_an_error_and_not_few():
    more = b"<ListVersionsResult><IsTruncated>true</IsTruncated></ListVersionsResult>"
    for broken in (b"", b"<html/>", b"<ListVersionsResult/>", more):
        script = Once(Answer(200, STATUS.format("Enabled").encode()), then=lambda _, broken=broken: Answer(200, broken))
        with serving(script, attempts=1) as (store, _), pytest.raises(StoreUnavailable):
            list(store.list_versions())
