"""Bad days of an S3 store: what it answers, or does not, and what the adapter makes of it (L-6, L-28)."""

import datetime
import ipaddress
import threading
from contextlib import contextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lc2_backup_dagster.clouds.aws.client import S3Access, S3Connection
from lc2_backup_dagster.clouds.aws.store import S3Store
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    AlreadyExists,
    BackupError,
    BucketNotFound,
    ConfigurationError,
    ObjectNotFound,
    PermanentError,
    SourceChanged,
    StorageFull,
    StoreUnavailable,
)
from lc2_backup_dagster_tests.clouds.misbehaving_server import Answer, MisbehavingServer, Request, error
from lc2_backup_dagster_tests.contracts.object_store import MIB, pattern

SECRET = "a-secret-that-must-not-be-seen"
TIME = {"Last-Modified": "Mon, 23 Nov 2026 02:00:00 GMT", "ETag": '"0123"'}
LISTING = (
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}<Contents><Key>{}</Key><Size>1</Size>'
    "<LastModified>2026-11-23T02:00:00.000Z</LastModified></Contents></ListBucketResult>"
)


@contextmanager
def serving(script, *, attempts=2, certificate=None, **changes):
    """Run the server with a script and hand out a store on it, and the server."""
    with MisbehavingServer(script, certificate=certificate) as server:
        access = {"endpoint": server.endpoint, "access_key": "key", "secret_key": SECRET, "attempts": attempts}
        connection = S3Connection(S3Access(**{**access, "read_seconds": 5, "connect_seconds": 5, **changes}))
        store = S3Store(connection, "bucket", multipart_bytes=6 * MIB, part_bytes=5 * MIB, copy_limit_bytes=6 * MIB)
        try:
            yield store, server
        finally:
            connection.close()


def every_request(store):
    large = pattern(11 * MIB)
    return {
        "check": lambda: store.check(write=True),
        "put": lambda: store.put("key", b"x"),
        "overwrite": lambda: store.put("key", b"x", create_only=False),
        "put_stream": lambda: store.put_stream("key", [large], size_bytes=len(large)),
        "get": lambda: store.get("key"),
        "open": lambda: store.open("key").__enter__(),
        "stat": lambda: store.stat("key"),
        "list": lambda: list(store.list()),
        "delete": lambda: store.delete(["key"]),
        "delete_awkward": lambda: store.delete(["control-\x01"]),
        "copy": lambda: store.copy_from(store, "key", "copy", size_bytes=1),
        "copy_large": lambda: store.copy_from(store, "key", "copy", size_bytes=len(large)),
        "now": store.now,
    }


class Once:
    """Answer the first requests specially and the others as usual."""

    def __init__(self, *first, then):
        self._first = list(first)
        self._then = then
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        with self._lock:
            special = self._first.pop(0) if self._first else None
        return special if special is not None else self._then(request)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error("SlowDown", 503), StoreUnavailable),
        (error("InternalError", 500), StoreUnavailable),
        (Answer(502, b"<html>bad gateway</html>"), StoreUnavailable),
        (error("TooManyRequests", 429), StoreUnavailable),
        (error("AccessDenied", 403), AccessDenied),
        (Answer(401), AccessDenied),
        (error("QuotaExceeded", 403), (StorageFull, AccessDenied)),
        (error("XMinioStorageFull", 507), StorageFull),
        (error("PermanentRedirect", 301), ConfigurationError),
        (Answer(301), ConfigurationError),
        (error("InvalidArgument", 400), PermanentError),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else None,
)
def test_refusals_and_outages_are_never_absence_and_never_success(answer, kind):
    with serving(lambda _: answer, attempts=1) as (store, _):
        for name, attempt in every_request(store).items():
            with pytest.raises(BackupError) as caught:
                attempt()
            assert isinstance(caught.value, kind), name
            assert not isinstance(caught.value, (ObjectNotFound, BucketNotFound, AlreadyExists)), name
            assert "bucket 'bucket' at http://127.0.0.1" in str(caught.value)
            assert SECRET not in str(caught.value) + repr(caught.value.attributes) + str(caught.value.__cause__)


def test_a_404_of_something_else_than_the_store_is_no_absence():
    page = Answer(404, b"<html>nothing here</html>", {"Content-Type": "text/html"})
    with serving(lambda _: page, attempts=1) as (store, _):
        for name, attempt in every_request(store).items():
            with pytest.raises(BackupError) as caught:
                attempt()
            assert not isinstance(caught.value, ObjectNotFound), name


def test_a_bare_404_is_absence_only_while_the_bucket_answers():
    bucket_there = {"there": True}

    def script(request):
        return Answer(200 if not request.key and bucket_there["there"] else 404)

    with serving(script) as (store, _):
        with pytest.raises(ObjectNotFound):
            store.stat("key")
        bucket_there["there"] = False
        with pytest.raises(BucketNotFound):
            store.stat("key")


def test_passing_outages_are_survived():
    script = Once(
        error("SlowDown", 503), Answer(500), then=lambda _: Answer(200, b"content", {**TIME, "Content-Length": "7"})
    )
    with serving(script, attempts=4) as (store, server):
        assert store.get("key") == b"content"
        assert len(server.requests) == 3


def test_a_silent_server_is_given_up():
    with serving(lambda _: Answer(silent=True), attempts=1, read_seconds=0.2) as (store, _):
        for attempt in (lambda: store.get("key"), lambda: store.stat("key"), lambda: store.put("key", b"x")):
            with pytest.raises(StoreUnavailable, match=r"(?i)timeout"):
                attempt()


@pytest.mark.parametrize("body", [b"", b"<html><body>maintenance</body></html>", b"not xml", b"<Error/>"])
def test_a_200_without_a_listing_is_not_an_empty_bucket(body):
    with serving(lambda _: Answer(200, body), attempts=1) as (store, _):
        with pytest.raises(StoreUnavailable):
            list(store.list())
        with pytest.raises(StoreUnavailable):
            store.check(write=False)


def test_a_listing_that_says_more_and_not_where_is_an_error():
    for token in ("", "<NextContinuationToken>same</NextContinuationToken>"):
        body = LISTING.format(f"<IsTruncated>true</IsTruncated>{token}", "key").encode()
        with serving(lambda _, body=body: Answer(200, body)) as (store, _):
            found = store.list()
            assert next(found).key == "key"
            with pytest.raises(StoreUnavailable, match="more"):
                list(found)


def test_an_error_inside_a_200_answer_to_a_copy_is_an_error():
    for answer in (error("InternalError"), error("SlowDown"), Answer(200, b"<CopyObjectResult/>")):

        def script(request, answer=answer):
            return answer if request.method == "PUT" else Answer(404 if request.key else 200)

        with serving(script) as (store, _), pytest.raises((StoreUnavailable, ObjectNotFound)):
            store.copy_from(store, "key", "copy", size_bytes=1, if_match="0123")


class Uploads:
    """Take uploads in parts, complete them as told, and show the object that came of it."""

    def __init__(self, completion, *, shown: Answer | None):
        self.completion = completion
        self.shown = shown
        self.completed = False

    def __call__(self, request: Request) -> Answer:
        if "uploads" in request.query:
            return Answer(
                200, b"<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>"
            )
        if request.method == "PUT" and "x-amz-copy-source" in request.headers:
            return Answer(200, b"<CopyPartResult><ETag>p</ETag></CopyPartResult>")
        if request.method == "PUT":
            return Answer(200, headers={"ETag": '"p"'})
        if request.method == "POST":
            self.completed = True
            return self.completion(request)
        if request.method == "DELETE":
            return Answer(204)
        if request.method == "HEAD" and not request.key:
            return Answer(200)
        return self.shown if self.completed and self.shown else Answer(404)


COMPLETED = Answer(200, b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")


def test_an_error_inside_a_200_answer_to_a_completion_is_an_error():
    with serving(Uploads(lambda _: error("InternalError"), shown=None)) as (store, server):
        with pytest.raises(StoreUnavailable, match="InternalError"):
            store.put_stream("key", [pattern(11 * MIB)], size_bytes=11 * MIB)
        assert server.asked("DELETE", "uploadId") == 1


@pytest.mark.parametrize("shown", [None, Answer(200, b"x" * 100, TIME)], ids=["absent", "short"])
def test_a_completion_that_lies_is_found_out(shown):
    with serving(Uploads(lambda _: COMPLETED, shown=shown)) as (store, server):
        with pytest.raises(StoreUnavailable, match="says it is complete"):
            store.put_stream("key", [pattern(11 * MIB)], size_bytes=11 * MIB)
        assert server.asked("DELETE", "uploadId") == 1


def test_a_completion_whose_answer_was_lost_is_found_to_have_happened():
    content = pattern(11 * MIB)
    for shown, taken in ((content, False), (content[::-1], True), (content[:-1], True)):
        completions = Once(Answer(500), then=lambda _: error("PreconditionFailed", 412))
        with serving(Uploads(completions, shown=Answer(200, shown, TIME))) as (store, _):
            if taken:
                with pytest.raises(AlreadyExists):
                    store.put_stream("key", [content], size_bytes=len(content))
            else:
                assert store.put_stream("key", [content], size_bytes=len(content)).size_bytes == len(content)


def test_parts_that_fail_abort_the_upload():
    uploads = Uploads(lambda _: COMPLETED, shown=None)

    def script(request):
        return error("InternalError", 500) if request.query.get("partNumber") == ["2"] else uploads(request)

    with serving(script, attempts=1) as (store, server):
        with pytest.raises(StoreUnavailable, match="upload_part"):
            store.put_stream("key", [pattern(16 * MIB)], size_bytes=16 * MIB)
        assert server.asked("DELETE", "uploadId") == 1
        assert server.asked("POST", "uploadId") == 0


class OneKey:
    """Keep one object; lose the answers that the script says."""

    def __init__(self, *, lose: int, before: bytes | None = None, stores: bool = True):
        self.content = before
        self.lose = lose
        self.stores = stores

    def __call__(self, request: Request) -> Answer:
        if request.method == "PUT":
            if self.content is not None:
                return error("PreconditionFailed", 412)
            if self.stores:
                self.content = request.body
            if self.lose:
                self.lose -= 1
                return Answer(500)
            return Answer(200, headers={"ETag": '"e"'})
        if not request.key:
            return Answer(200)
        return Answer(404) if self.content is None else Answer(200, self.content, TIME)


@pytest.mark.parametrize("attempts", [1, 3], ids=["without retries", "with retries"])
def test_a_create_whose_answer_was_lost_is_found_to_have_happened(attempts):
    with serving(OneKey(lose=1), attempts=attempts) as (store, _):
        assert store.put("key", b"ours").size_bytes == 4


def test_a_create_that_lost_to_another_says_so():
    with serving(OneKey(lose=0, before=b"theirs"), attempts=3) as (store, server):
        with pytest.raises(AlreadyExists):
            store.put("key", b"ours")
        assert len(server.requests) == 1
    with (
        serving(Once(Answer(500), then=OneKey(lose=0, before=b"theirs")), attempts=3) as (store, _),
        pytest.raises(AlreadyExists),
    ):
        store.put("key", b"ours")


def test_a_create_refused_cleanly_is_taken_although_the_content_is_the_same():
    with serving(OneKey(lose=0, before=b"same"), attempts=3) as (store, _), pytest.raises(AlreadyExists):
        store.put("key", b"same")


def test_a_create_whose_outcome_cannot_be_found_out_is_unavailable():
    def script(request):
        return Answer(500 if request.method == "PUT" else 503)

    with serving(script, attempts=1) as (store, _), pytest.raises(StoreUnavailable, match="put_object"):
        store.put("key", b"ours")
    with (
        serving(OneKey(lose=9, stores=False), attempts=1) as (store, _),
        pytest.raises(StoreUnavailable, match="put_object"),
    ):
        store.put("key", b"ours")


def test_a_writer_of_the_same_key_that_is_busy_is_waited_for():
    conflict = error("ConditionalRequestConflict", 409)
    with serving(Once(conflict, conflict, then=OneKey(lose=0)), attempts=1) as (store, _):
        assert store.put("key", b"ours").size_bytes == 4


def a_large_object(request: Request, content: bytes, break_after: int | None) -> Answer:
    start, _, end = request.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")
    piece = content[int(start) : int(end) + 1 if end else None]
    return Answer(206 if "range" in request.headers else 200, piece, TIME, break_after=break_after)


def test_a_transfer_that_breaks_off_goes_on_where_it_was():
    content = pattern(1_000_000)
    breaks = iter([400_000, 300_000, None])
    with serving(lambda request: a_large_object(request, content, next(breaks))) as (store, server):
        with store.open("key") as reader:
            pieces = []
            while piece := reader.read(100_000):
                pieces.append(piece)
        assert b"".join(pieces) == content
        assert [request.headers.get("if-match") for request in server.requests] == [None, '"0123"', '"0123"']
    breaks = iter([400_000, None])
    with serving(lambda request: a_large_object(request, content, next(breaks))) as (store, _):
        assert store.get("key", start=5) == content[5:]


def test_a_transfer_that_always_breaks_off_is_an_error_and_not_a_short_object():
    content = pattern(1_000_000)
    with serving(lambda request: a_large_object(request, content, 0)) as (store, _):
        with store.open("key") as reader, pytest.raises(StoreUnavailable):
            reader.read(100_000)
        with pytest.raises(StoreUnavailable):
            store.get("key")


def test_a_transfer_that_breaks_off_is_not_continued_with_another_object():
    script = Once(Answer(200, b"x" * 1000, TIME, break_after=10), then=lambda _: error("PreconditionFailed", 412))
    with serving(script) as (store, _), store.open("key") as reader, pytest.raises(SourceChanged):
        while reader.read(100):
            pass


def test_a_store_without_ranges_still_gives_the_right_bytes():
    with serving(lambda _: Answer(200, b"0123456789", TIME)) as (store, _):
        assert store.get("key", start=3, length=4) == b"3456"
        assert store.get("key", start=8) == b"89"


def test_single_keys_that_could_not_be_deleted_are_tried_again_and_then_named(monkeypatch):
    monkeypatch.setattr("lc2_backup_dagster.clouds.aws.listing._PAUSE_SECONDS", 0)
    failed = "<DeleteResult><Error><Key>b</Key><Code>InternalError</Code><Message>busy</Message></Error></DeleteResult>"
    good = Answer(200, b"<DeleteResult></DeleteResult>")

    with serving(Once(Answer(200, failed.encode()), then=lambda _: good)) as (store, server):
        store.delete(["a", "b"])
        assert [request.body.count(b"<Key>") for request in server.requests] == [2, 1]
    with (
        serving(lambda _: Answer(200, failed.encode())) as (store, _),
        pytest.raises(StoreUnavailable, match=r"delete_objects 'b'.*1 of 1 keys"),
    ):
        store.delete(["a", "b"])


def test_an_error_names_the_keys_of_the_batch_that_stayed():
    locked = "<Error><Key>{}</Key><Code>AccessDenied</Code><Message>locked</Message></Error>"
    body = f"<DeleteResult>{locked.format('b')}{locked.format('d')}</DeleteResult>"
    with (
        serving(lambda _: Answer(200, body.encode())) as (store, _),
        pytest.raises(AccessDenied, match=r"delete_objects 'b'.*2 of 4 keys") as told,
    ):
        store.delete(["a", "b", "c", "d"])
    assert told.value.attributes["refused"] == ["b", "d"]


def test_older_stores_get_the_digest_that_they_want():
    with serving(lambda _: Answer(200, b"<DeleteResult></DeleteResult>")) as (store, server):
        store.delete(["a"])
        assert "content-md5" in server.requests[0].headers
        assert not [
            name for name in server.requests[0].headers if "crc" in name or name == "x-amz-sdk-checksum-algorithm"
        ]


def test_a_store_that_does_not_tell_the_time_is_refused():
    with (
        serving(lambda _: Answer(200, headers={"Date": "some day"})) as (store, _),
        pytest.raises(StoreUnavailable, match="some day"),
    ):
        store.now()


def test_missing_credentials_are_said_to_be_missing(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with (
        serving(lambda _: Answer(200), access_key=None, secret_key=None) as (store, _),
        pytest.raises(AccessDenied, match="accessKeyIdEnv"),
    ):
        store.check(write=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that no authority vouches for, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return file


def test_an_unknown_authority_is_refused_with_a_hint_and_accepted_when_named(certificate):
    def script(_):
        return Answer(200, b"content", TIME)

    with (
        serving(script, certificate=certificate, attempts=1) as (store, _),
        pytest.raises(ConfigurationError, match="caFile"),
    ):
        store.get("key")
    with serving(script, certificate=certificate, ca_file=str(certificate)) as (store, _):
        assert store.get("key") == b"content"
