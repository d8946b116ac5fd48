"""How requests are sent: where to, with whose credentials, what proves a body, and when boto3 is asked instead."""

import base64
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import google_crc32c
import pytest

from lc2_backup_dagster.clouds.aws.bucket import S3Bucket
from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.retries import Retries
from lc2_backup_dagster.model.errors import AccessDenied, ConfigurationError, StoreUnavailable
from lc2_backup_dagster_tests.clouds.misbehaving_server import Answer, error
from lc2_backup_dagster_tests.clouds.test_s3_faults import TIME, Once, serving

STRANGE = "a//b/../c%2F +&=?#~\x01\r\nü/🙂"


def test_a_key_goes_out_byte_for_byte():
    copied = Answer(200, b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>")
    content = Answer(200, b"content", TIME)
    with serving(lambda request: copied if request.method == "PUT" else content) as (store, server):
        store.get(STRANGE)
        store.stat(STRANGE)
        store.copy_from(store, STRANGE, STRANGE, size_bytes=7, if_match="0123")

        assert [request.key for request in server.requests[:3]] == [STRANGE] * 3
        assert server.requests[2].headers["x-amz-copy-source"] == (
            "bucket/a//b/../c%252F%20%2B%26%3D%3F%23~%01%0D%0A%C3%BC/%F0%9F%99%82"
        )


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({}, "https://bucket.s3.eu-central-1.amazonaws.com"),
        ({"path_style": True}, "https://s3.eu-central-1.amazonaws.com/bucket"),
        ({"endpoint": "https://minio.example:9000", "path_style": True}, "https://minio.example:9000/bucket"),
        ({"region": "us-east-1"}, "https://bucket.s3.amazonaws.com"),
    ],
)
def test_a_bucket_is_where_boto3_says(changes, place):
    access = {"endpoint": None, "region": "eu-central-1", "path_style": False, "access_key": "a", "secret_key": "b"}
    connection = S3Connection(S3Access(**{**access, **changes}))
    wire = connection.wire("bucket")

    assert wire is not None
    assert place == f"https://{wire._host}{wire._path}"
    connection.close()


def test_proxies_and_directory_buckets_are_left_to_boto3(monkeypatch):
    connection = S3Connection(S3Access(endpoint="http://minio.example", access_key="a", secret_key="b"))
    assert connection.wire("bucket--use1-az4--x-s3") is None
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert connection.wire("bucket") is None
    monkeypatch.setenv("no_proxy", "minio.example")
    assert connection.wire("other") is not None
    connection.close()


class FromElsewhere(S3Connection):
    """Amazon's own, whose wire leads to a server of ours and whose client is played."""

    def __init__(self, endpoint):
        real = S3Connection(S3Access(endpoint=endpoint, access_key="a", secret_key="b", attempts=1))
        super().__init__(S3Access(access_key="a", secret_key="b", attempts=1))
        self._wires["bucket"] = real.wire("bucket")
        self.asked = []
        self.real = real

    @property
    def client(self):
        return SimpleNamespace(head_object=lambda **given: self.asked.append(given) or {"ContentLength": 1})


@pytest.mark.parametrize(
    ("answer", "elsewhere"),
    [
        (Answer(301), True),
        (Answer(307), True),
        (Answer(400, headers={"x-amz-bucket-region": "eu-central-1"}), True),
        (Answer(400), False),
        (Answer(403, headers={"x-amz-bucket-region": "eu-central-1"}), False),
    ],
    ids=range(5),
)
def test_a_bucket_in_another_region_is_left_to_boto3(answer, elsewhere):
    with serving(lambda _: answer) as (_, server):
        connection = FromElsewhere(server.endpoint)
        bucket = S3Bucket(connection, "bucket", Retries(1))
        for _ in range(2):
            if elsewhere:
                assert bucket.call("head_object", key="key") == {"ContentLength": 1}
            else:
                with pytest.raises((AccessDenied, Exception)):
                    bucket.call("head_object", key="key")
        assert len(server.requests) == (1 if elsewhere else 2)
        assert len(connection.asked) == (2 if elsewhere else 0)
        connection.real.close()


def test_credentials_of_the_default_chain_are_renewed(monkeypatch, tmp_path):
    """A program gives credentials that end soon: every request asks it again, and signs with what it says then."""
    count = tmp_path / "count"
    program = tmp_path / "credentials.py"
    program.write_text(
        f"""
import json, pathlib
count = pathlib.Path({str(count)!r})
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
end = {(datetime.now(UTC) + timedelta(seconds=60)).isoformat()!r}
print(json.dumps(dict(Version=1, AccessKeyId=f"key-{{number}}", SecretAccessKey="s", SessionToken="t", Expiration=end)))
"""
    )
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {sys.executable} -I -S {program}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    script = lambda _: Answer(200, b"content", TIME)  # noqa: E731
    with serving(script, access_key=None, secret_key=None) as (store, server):
        store.get("key")
        store.get("key")
        keys = [request.headers["authorization"].split("=")[1].split("/")[0] for request in server.requests]
        assert len(set(keys)) == 2
        assert all(request.headers["x-amz-security-token"] == "t" for request in server.requests)


@pytest.mark.parametrize("mode", ["when_supported", "when_required"])
def test_an_upload_carries_a_checksum_where_that_is_wanted(mode):
    with serving(lambda _: Answer(200, headers={"ETag": '"e"'}), checksums=mode) as (store, server):
        store.put("key", b"123456789")
        assert server.requests[0].headers.get("x-amz-checksum-crc32") == {"when_supported": "y/Q5Jg=="}.get(mode)


CRC32C = google_crc32c.Checksum(b"content").digest()


def checked(content, **headers):
    return Answer(200, content, {**TIME, "x-amz-checksum-crc32c": base64.b64encode(CRC32C).decode(), **headers})


def test_a_damaged_content_is_found_out_and_read_again():
    damaged = checked(b"cOntent")
    with serving(Once(damaged, then=lambda _: checked(b"content")), checksums="when_supported") as (store, _):
        assert store.get("key") == b"content"
    with serving(lambda _: damaged, checksums="when_supported") as (store, server):
        with pytest.raises(StoreUnavailable, match="damaged"):
            store.get("key")
        with store.open("key") as reader, pytest.raises(StoreUnavailable, match="damaged"):
            while reader.read(3):
                pass
        assert not any("range" in request.headers for request in server.requests)  # going on would hide it
    with serving(lambda _: checked(b"content"), checksums="when_supported") as (store, _), store.open("key") as reader:
        assert b"".join(iter(lambda: reader.read(3), b"")) == b"content"
    composite = checked(b"cOntent", **{"x-amz-checksum-type": "COMPOSITE"})  # of the parts' checksums: proves nothing
    with serving(lambda _: composite, checksums="when_supported") as (store, _):
        assert store.get("key") == b"cOntent"


def test_an_answer_that_does_not_describe_an_object_is_none():
    for headers in ({}, {"Last-Modified": "some day"}):
        with serving(lambda _, headers=headers: Answer(200, b"content", headers)) as (store, _):
            for attempt in (lambda: store.get("key"), lambda: store.stat("key")):
                with pytest.raises(StoreUnavailable):
                    attempt()


def test_metadata_that_no_header_can_hold_is_refused():
    with serving(lambda _: Answer(200)) as (store, _), pytest.raises(ConfigurationError):
        store.put_stream("key", [b"x"], size_bytes=1, metadata={"title": "two\nlines"})


def test_an_error_inside_a_200_answer_is_that_error_and_tried_again():
    failed = error("InternalError")
    listing = Answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    copied = Answer(200, b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>")
    for good, attempt in (
        (Answer(200, headers={"ETag": '"e"'}), lambda store: store.put("key", b"x", create_only=False)),
        (copied, lambda store: store.copy_from(store, "key", "copy", size_bytes=1, if_match="e")),
        (listing, lambda store: list(store.list())),
    ):
        with (
            serving(lambda _: failed, attempts=1) as (store, _),
            pytest.raises(StoreUnavailable, match="InternalError"),
        ):
            attempt(store)
        with serving(Once(failed, then=lambda _, good=good: good), attempts=2) as (store, server):
            attempt(store)
            assert len(server.requests) == 2


def test_an_upload_without_an_id_is_not_begun():
    for broken in (b"", b"<html/>", b"<InitiateMultipartUploadResult/>"):
        script = lambda request, broken=broken: Answer(404 if request.method == "HEAD" and request.key else 200, broken)  # noqa: E731
        with serving(script, attempts=1) as (store, server):
            with pytest.raises(StoreUnavailable):
                store.put_stream("key", [bytes(11 << 20)], size_bytes=11 << 20)
            assert server.asked("PUT") == 0
