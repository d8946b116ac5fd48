"""The S3 store on a real server with authentication: the contract, both checksum modes, refusals, versions."""

import hashlib
import http.client
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from lc2_backup_dagster.clouds.aws.client import S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    AlreadyExists,
    BucketNotFound,
    ConfigurationError,
    KeyNotRepresentable,
    StoreUnavailable,
)
from lc2_backup_dagster_tests.conftest import READER
from lc2_backup_dagster_tests.contracts.object_store import MIB, ObjectStoreContract, fill, keys_of, pattern

# Small enough that the contract's large objects go in parts: S3's smallest part has 5 MiB.
IN_PARTS = {
    "multipart_bytes": 6 * MIB,
    "part_bytes": 5 * MIB,
    "copy_limit_bytes": 6 * MIB,
    "copy_part_bytes": 5 * MIB,
}


@pytest.fixture(scope="module")
def buckets(make_bucket):
    """Two buckets for the whole module: the server needs a moment for the first object of each."""
    return make_bucket(), make_bucket()


@pytest.fixture
def store(s3_connection, buckets):
    store = S3Store(s3_connection, buckets[0], **IN_PARTS)
    yield store
    store.delete([found.key for found in store.list()])


@pytest.fixture
def other_store(s3_connection, buckets):
    store = S3Store(s3_connection, buckets[1], **IN_PARTS)
    yield store
    store.delete([found.key for found in store.list()])


@pytest.fixture
def connect(s3_access):
    """Open connections that differ from the administrator's, and close them."""
    opened = []

    def make(**changes):
        opened.append(S3Connection(replace(s3_access, **changes)))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


class S3Contract(ObjectStoreContract):
    unrepresentable_keys = ("", "x" * 1025, "\udcff")

    @pytest.fixture(autouse=True)
    def server(self, object_server, buckets):
        self.folder = f"{object_server.filer_endpoint}/buckets/{buckets[0]}"

    def fill_with_thousands(self, store, keys):
        # Past the S3 service, because signing thousands of requests takes most of the time of these tests.
        address = urlsplit(self.folder)
        with closing(http.client.HTTPConnection(address.netloc)) as connection:
            for key in keys:
                connection.request("PUT", f"{address.path}/{key}", body=b"x")
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 201


class TestS3StoreKeepsTheContract(S3Contract):
    @pytest.fixture
    def store(self, store):
        return store

    @pytest.fixture
    def other_store(self, other_store):
        return other_store


def test_no_upload_in_parts_stays_behind(store, s3_connection, buckets):
    def broken():
        yield pattern(11 * MIB)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.put_stream("broken", broken(), size_bytes=20 * MIB)
    store.put_stream("good", [pattern(11 * MIB)], size_bytes=11 * MIB)
    with pytest.raises(AlreadyExists):
        store.put_stream("good", [pattern(11 * MIB)], size_bytes=11 * MIB)

    assert not s3_connection.client.list_multipart_uploads(Bucket=buckets[0]).get("Uploads")


def test_a_key_taken_while_its_parts_are_sent_is_not_replaced(store):
    def chunks():
        for number in range(11):
            if number == 7:
                store.put("taken", b"somebody was faster")
            yield pattern(MIB)

    with pytest.raises(AlreadyExists):
        store.put_stream("taken", chunks(), size_bytes=11 * MIB)
    assert store.get("taken") == b"somebody was faster"


@pytest.mark.parametrize("mode", ["when_required", "when_supported"])
def test_both_ways_of_checksums_work(connect, store, other_store, buckets, mode):
    connection = connect(checksums=mode)
    again = S3Store(connection, buckets[0], **IN_PARTS)
    content = pattern(12 * MIB)

    again.put("small", b"content")
    again.put_stream("large", [content], size_bytes=len(content), metadata={"a": "b"})
    for key, size_bytes in (("small", 7), ("large", len(content))):
        other = S3Store(connection, buckets[1], **IN_PARTS)
        other.copy_from(again, key, key, size_bytes=size_bytes)
        assert again.get(key) == other.get(key)
        with again.open(key) as reader:
            assert len(reader.read(1000)) == min(size_bytes, 1000)
    assert again.get("large") == content
    assert again.get("large", start=5 * MIB - 3, length=10) == content[5 * MIB - 3 : 5 * MIB + 7]
    again.delete(["small", "large"])
    assert keys_of(again) == []


def test_a_checksum_that_the_store_keeps_is_told(store, s3_connection, buckets):
    s3_connection.client.put_object(Bucket=buckets[0], Key="key", Body=b"content", ChecksumAlgorithm="SHA256")

    assert store.stat("key").checksum == f"sha256:{hashlib.sha256(b'content').hexdigest()}"


def test_encryption_that_the_store_reports_is_told(store, s3_connection, buckets):
    s3_connection.client.put_object(Bucket=buckets[0], Key="key", Body=b"content", ServerSideEncryption="AES256")

    assert store.stat("key").encryption == "AES256"
    store.put("plain", b"content")
    assert store.stat("plain").encryption is None


def test_versions_are_noticed_and_named(s3_connection, make_bucket):
    store = S3Store(s3_connection, make_bucket(versioning=True))
    store.check(write=False)
    first = store.put("key", b"first")
    second = store.put("key", b"other", create_only=False)

    assert store.capabilities.versions
    assert first.version
    assert second.version
    assert first.version != second.version
    assert store.stat("key").version == second.version
    store.delete(["key"])
    assert keys_of(store) == []


def test_a_store_that_is_wrongly_trusted_to_list_in_order_is_found_out(store, s3_connection, buckets):
    for key in ("t", "t/u", "t-u"):
        store.put(key, b"x")
    trusting = S3Store(s3_connection, buckets[0], ordered_listing=True)

    assert not store.capabilities.ordered_listing
    with pytest.raises(ConfigurationError, match="orderedListing"):
        list(trusting.list())


def test_an_ordered_listing_starts_where_it_is_told(store, s3_connection, buckets):
    fill(store, [f"log/{number:020d}" for number in range(20)])
    trusting = S3Store(s3_connection, buckets[0], ordered_listing=True)

    assert keys_of(trusting, "log/", start_after=f"log/{16:020d}") == [f"log/{number:020d}" for number in (17, 18, 19)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"secret_key": "not-the-secret-of-anybody"}, "secret key is wrong"),
        ({"access_key": "nobody", "secret_key": "not-the-secret-of-anybody"}, "access key is unknown"),
    ],
)
def test_wrong_credentials_are_denied_and_never_shown(connect, object_server, buckets, changes, words):
    store = S3Store(connect(**changes), buckets[0])

    with pytest.raises(AccessDenied, match=words) as caught:
        store.check(write=False)
    assert buckets[0] in str(caught.value)
    assert object_server.endpoint in str(caught.value)
    attempts = [
        lambda: store.put("key", b"x"),
        lambda: store.get("key"),
        lambda: store.stat("key"),
        lambda: store.delete(["key"]),
        lambda: store.put_stream("key", [pattern(17 * MIB)], size_bytes=17 * MIB),
        store.now,
    ]
    for attempt in attempts:
        with pytest.raises(AccessDenied) as caught:
            attempt()
        assert "not-the-secret-of-anybody" not in repr(caught.value) + repr(caught.value.__cause__) + repr(store)
    assert "not-the-secret-of-anybody" not in repr(store._connection.access)


def test_a_reader_without_the_right_to_write_is_told_which_one_is_missing(connect, store, buckets):
    store.put("key", b"x")
    reader = S3Store(connect(access_key=READER.access_key, secret_key=READER.secret_key), buckets[0], **IN_PARTS)

    reader.check(write=False)
    assert reader.get("key") == b"x"
    with pytest.raises(AccessDenied, match="put_object"):
        reader.check(write=True)
    with pytest.raises(AccessDenied, match="delete_objects 'key'"):
        reader.delete(["key"])
    with pytest.raises(AccessDenied, match="create_multipart_upload"):
        reader.put_stream("new", [pattern(12 * MIB)], size_bytes=12 * MIB)
    assert not reader.can_copy_from(store)
    assert keys_of(store) == ["key"]


def test_a_missing_bucket_is_never_taken_for_a_missing_object(s3_connection, store):
    missing = S3Store(s3_connection, "no-such-bucket", **IN_PARTS)
    store.put("key", b"x")
    attempts = [
        lambda: missing.check(write=False),
        lambda: missing.put("key", b"x"),
        lambda: missing.get("key"),
        lambda: missing.get("key", length=0),
        lambda: missing.stat("key"),
        lambda: list(missing.list()),
        lambda: missing.delete(["key"]),
        lambda: missing.put_stream("key", [pattern(12 * MIB)], size_bytes=12 * MIB),
        lambda: store.copy_from(missing, "key", "copy", size_bytes=1),
        missing.now,
    ]

    for attempt in attempts:
        with pytest.raises(BucketNotFound, match="bucket"):
            attempt()


def test_a_segment_that_the_server_cannot_hold_is_refused(store):
    with pytest.raises(KeyNotRepresentable, match="KeyTooLong"):
        store.put("x" * 300, b"x")


def test_a_server_that_is_not_there_is_unavailable(connect):
    store = S3Store(connect(endpoint="http://127.0.0.1:1", attempts=1), "bucket")

    for attempt in (lambda: store.check(write=False), lambda: store.stat("key"), lambda: store.put("key", b"x")):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
            attempt()


def test_copies_out_of_other_places_are_refused(connect, store, buckets, tmp_path):
    elsewhere = S3Store(connect(endpoint="http://127.0.0.1:1"), buckets[0])
    for source in (elsewhere, DirectoryStore(tmp_path)):
        assert not store.can_copy_from(source)
        with pytest.raises(TypeError, match="can_copy_from"):
            store.copy_from(source, "key", "key", size_bytes=1)


def test_a_closed_store_opens_again(connect, store, buckets):
    again = S3Store(connect(), buckets[0])
    again.put("key", b"x")
    again.close()
    again.close()

    assert again.get("key") == b"x"


def test_one_store_serves_many_threads(store):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: store.put(f"many/{number}", b"x" * number), range(200)))
        assert list(pool.map(lambda number: len(store.get(f"many/{number}")), range(200))) == list(range(200))
