"""A bucket with object lock and without a default retention: locks are set per object (L-8, L-9).

What these tests lock stays locked; the server is thrown away with it.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from lc2_backup_dagster.clouds.aws.client import S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.model.errors import AccessDenied, AlreadyExists, ConfigurationError, ObjectNotFound
from lc2_backup_dagster_tests.clouds.misbehaving_server import Answer, error
from lc2_backup_dagster_tests.clouds.test_s3_faults import serving
from lc2_backup_dagster_tests.clouds.test_s3_store import IN_PARTS, S3Contract
from lc2_backup_dagster_tests.clouds.test_s3_versions import emptied, history
from lc2_backup_dagster_tests.contracts.object_store import keys_of, pattern


def locked_bucket(client):
    name = f"locked-{uuid4().hex[:20]}"
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


class TestS3WithObjectLockKeepsTheContract(S3Contract):
    @pytest.fixture(scope="class")
    @classmethod
    def buckets(cls, s3_connection):
        return locked_bucket(s3_connection.client), locked_bucket(s3_connection.client)

    @pytest.fixture
    def store(self, s3_connection, buckets):
        yield from emptied(s3_connection, buckets[0])

    @pytest.fixture
    def other_store(self, s3_connection, buckets):
        yield from emptied(s3_connection, buckets[1])


@pytest.mark.parametrize("mode", ["when_required", "when_supported"])
def test_the_life_of_a_backup_on_a_locked_bucket(s3_access, mode):
    connection = S3Connection(replace(s3_access, checksums=mode))
    client = connection.client
    name = locked_bucket(client)
    store = S3Store(connection, name, **IN_PARTS)
    content = pattern(11 << 20)
    until = datetime.now(UTC) + timedelta(days=1)

    assert "Rule" not in client.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"]
    assert store.capabilities.versions
    store.check(write=True)
    parts = [
        store.put("backup/manifest", b"content"),
        store.put_stream("backup/part", [content], size_bytes=len(content)),
        store.copy_from(store, "backup/part", "backup/copy", size_bytes=len(content)),
    ]
    for part in parts:
        client.put_object_retention(
            Bucket=name, Key=part.key, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
        )
    with pytest.raises(AlreadyExists):
        store.put("backup/manifest", b"another")
    with pytest.raises(AlreadyExists):
        store.put_stream("backup/part", [content], size_bytes=len(content))

    # Somebody, or a purge that came too early, deletes it all: nothing is lost, and the ghosts are not listed.
    store.delete([part.key for part in parts])
    store.delete([part.key for part in parts])

    assert keys_of(store) == []
    assert [key for key, _, is_marker, is_latest in history(store) if is_latest and not is_marker] == []
    for part in parts:
        with pytest.raises(ObjectNotFound):
            store.stat(part.key)
        with store.open(part.key, version=part.version) as reader:
            assert reader.info.size_bytes == part.size_bytes
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.delete_object(Bucket=name, Key=part.key, VersionId=part.version)
    # A key whose object is a ghost is free again, and writing to it changes nothing of what was locked.
    store.put("backup/manifest", b"another")
    with store.open("backup/manifest", version=parts[0].version) as reader:
        assert reader.read(100) == b"content"
    connection.close()


def test_a_store_that_wants_checksums_of_locked_objects_is_answered_with_a_hint():
    wanted = error("InvalidRequest", 400, "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object")
    with serving(lambda _: wanted) as (store, _), pytest.raises(ConfigurationError, match="requestChecksums"):
        store.put("key", b"x")


def test_a_delete_that_a_lock_forbids_is_an_error_and_names_the_key():
    denied = (
        "<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>locked</Message></Error></DeleteResult>"
    )
    with (
        serving(lambda _: Answer(200, denied.encode())) as (store, _),
        pytest.raises(AccessDenied, match=r"'b'.*1 of 2 keys"),
    ):
        store.delete(["a", "b"])
