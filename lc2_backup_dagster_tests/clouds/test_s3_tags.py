"""Tags cost nothing where there are none, and are no hindrance where they may not be read or set."""

import logging

import pytest

from lc2_backup_dagster.model.errors import AccessDenied, ObjectNotFound, StoreUnavailable
from lc2_backup_dagster_tests.clouds.misbehaving_server import Answer, error
from lc2_backup_dagster_tests.clouds.test_s3_faults import COMPLETED, TIME, Uploads, serving
from lc2_backup_dagster_tests.contracts.object_store import MIB

DENIED = error("AccessDenied", 403)
TAGGED = {**TIME, "x-amz-tagging-count": "1"}
TAGS = Answer(200, b"<Tagging><TagSet><Tag><Key>class</Key><Value>a b</Value></Tag></TagSet></Tagging>")
COPIED = Answer(200, b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>")


def lost(caplog):
    return [record for record in caplog.records if record.levelno == logging.WARNING and "tags" in record.message]


@pytest.mark.parametrize("facts", [TIME, {**TIME, "x-amz-tagging-count": "0"}])
def test_tags_of_untagged_objects_are_not_asked_for(facts):
    with serving(lambda _: Answer(200, b"content", facts)) as (store, server):
        store.stat("key")
        with store.open("key") as reader:
            assert reader.info.tags == {}
        assert len(server.requests) == 2


def test_tags_are_those_of_the_version_that_was_asked_for():
    def script(request):
        if "versioning" in request.query:
            return Answer(200, b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        return TAGS if "tagging" in request.query else Answer(200, b"content", TAGGED)

    with serving(script) as (store, server):
        assert store.stat("key", version="v1").tags == {"class": "a b"}
        with store.open("key") as reader:
            assert reader.info.tags == {"class": "a b"}
        # Naming a version needs a right of its own, so it is done only where one was asked for.
        assert [request.query.get("versionId") for request in server.requests[1:]] == [["v1"], ["v1"], None, None]


def test_a_missing_right_to_read_tags_is_told_once_and_no_error_of_the_file(caplog):
    with serving(lambda request: DENIED if "tagging" in request.query else Answer(200, b"content", TAGGED)) as (
        store,
        _,
    ):
        for key in ("one", "two"):
            assert store.stat(key).tags == {}
            with store.open(key) as reader:
                assert reader.info.tags == {}
                assert reader.read(100) == b"content"
    (record,) = lost(caplog)
    assert "s3:GetObjectTagging" in record.message
    assert "bucket 'bucket'" in record.message


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error("SlowDown", 503), StoreUnavailable),
        (error("NoSuchKey", 404), ObjectNotFound),
        (Answer(200, b"<html/>"), StoreUnavailable),
        (Answer(200), StoreUnavailable),
    ],
    ids=range(4),
)
def test_other_failures_to_read_tags_are_not_taken_for_no_tags(answer, kind):
    script = lambda request: answer if "tagging" in request.query else Answer(200, b"content", TAGGED)  # noqa: E731
    with serving(script, attempts=1) as (store, _):
        with pytest.raises(kind):
            store.stat("key")
        with pytest.raises(kind), store.open("key"):
            pass


def test_a_copy_that_may_not_take_tags_along_is_made_without(caplog):
    def script(request):
        return COPIED if request.headers.get("x-amz-tagging-directive") == "REPLACE" else DENIED

    with serving(script) as (store, server):
        for key in ("one", "two"):
            assert store.copy_from(store, key, f"copy of {key}", size_bytes=7, if_match="e").size_bytes == 7
        assert len(server.requests) == 4
        assert not any("x-amz-tagging" in request.headers for request in server.requests)
    assert len(lost(caplog)) == 1


def test_a_copy_in_parts_takes_tags_along_and_is_made_without_where_it_may_not(caplog):
    for allowed in (True, False):
        whole = Answer(200, b"x" * 11 * MIB, TAGGED)
        uploads = Uploads(lambda _: COMPLETED, shown=whole)

        def script(request, allowed=allowed, whole=whole, uploads=uploads):
            if "tagging" in request.query:
                return TAGS
            if "uploads" in request.query and "x-amz-tagging" in request.headers and not allowed:
                return DENIED
            return whole if request.method == "HEAD" and request.key == "key" else uploads(request)

        with serving(script) as (store, server):
            store.copy_from(store, "key", "copy", size_bytes=11 * MIB)
            begun = [request.headers.get("x-amz-tagging") for request in server.requests if "uploads" in request.query]
            assert begun == (["class=a%20b"] if allowed else ["class=a%20b", None])
    assert len(lost(caplog)) == 1


def test_a_copy_that_is_denied_anyway_says_so_and_nothing_of_tags(caplog):
    with serving(lambda _: DENIED) as (store, _), pytest.raises(AccessDenied, match="copy_object"):
        store.copy_from(store, "key", "copy", size_bytes=7, if_match="e")
    assert not lost(caplog)


def test_tags_that_may_not_be_set_are_an_error_of_a_write():
    """Whoever restores is told, and may restore without."""
    script = lambda request: DENIED if "x-amz-tagging" in request.headers else Answer(200, headers=TIME)  # noqa: E731
    with serving(script) as (store, _):
        with pytest.raises(AccessDenied, match="put_object"):
            store.put_stream("key", [b"x"], size_bytes=1, tags={"a": "b"})
        store.put_stream("key", [b"x"], size_bytes=1)


def test_how_an_upload_was_sent_is_no_encoding_of_its_content():
    for told, kept in (("aws-chunked", {}), ("gzip,aws-chunked", {"content-encoding": "gzip"})):
        with serving(lambda _, told=told: Answer(200, b"x", {**TIME, "Content-Encoding": told})) as (store, _):
            assert store.stat("key").headers == kept
