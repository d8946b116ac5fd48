"""Pages of listings as S3 and others write them."""

from datetime import UTC, datetime

import pytest

from lc2_backup_dagster.clouds.aws.pages import page_of
from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.model.errors import StoreUnavailable

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
AMAZON = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
OBJECT = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-23T02:00:00.000Z</LastModified><ETag>&quot;0123&quot;</ETag>"
    "<Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
FACTS = (
    "<Key>{}</Key><VersionId>{}</VersionId><IsLatest>{}</IsLatest><LastModified>2026-11-23T02:00:00.000Z</LastModified>"
)
VERSION = f"<Version>{FACTS}<ETag>&quot;e&quot;</ETag><Size>7</Size></Version>"
MARKER = f"<DeleteMarker>{FACTS}</DeleteMarker>"
MOMENT = datetime(2026, 11, 23, 2, tzinfo=UTC)


def read(inside, *, root="ListBucketResult", namespace=AMAZON):
    return page_of({"Document": f"{HEAD}<{root}{namespace}>{inside}</{root}>".encode()}, where="list")


@pytest.mark.parametrize("namespace", [AMAZON, ' xmlns="https://other.example/"', ""])
def test_objects_are_read_whatever_the_namespace(namespace):
    page = read(
        "<IsTruncated>true</IsTruncated><NextContinuationToken>on+%41</NextContinuationToken>"
        + OBJECT.format(key="a&amp;b")
        + "<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>",
        namespace=namespace,
    )

    assert page.objects == [ObjectInfo("a&b", 7, MOMENT, etag="0123")]
    assert page.objects[0].modified.tzinfo is UTC
    assert page.prefixes == ["c/"]
    assert page.truncated is True
    assert page.following == {"ContinuationToken": "on+%41"}


def test_keys_are_decoded_only_where_the_store_says_that_they_are_encoded():
    key = "with+plus%20and%2Bmore"

    assert read(OBJECT.format(key=key)).objects[0].key == key
    encoded = read("<EncodingType>url</EncodingType>" + OBJECT.format(key=key))
    assert encoded.objects[0].key == "with plus and+more"
    with pytest.raises(StoreUnavailable):  # not UTF-8: a key that nobody could ask for must not be made up
        read("<EncodingType>url</EncodingType>" + OBJECT.format(key="%FF"))


def test_versions_and_deletions_keep_the_order_of_the_store():
    told = (
        MARKER.format("k", "v4", "true")
        + VERSION.format("k", "v3", "false")
        + MARKER.format("k", "v2", "false")
        + VERSION.format("k", "v1", "false")
        + VERSION.format("l", "null", "true")
    )
    more = "<NextKeyMarker>l%2B</NextKeyMarker><NextVersionIdMarker>null</NextVersionIdMarker>"
    page = read(f"<EncodingType>url</EncodingType>{told}<IsTruncated>true</IsTruncated>{more}")

    assert [
        (each.info.key, each.info.version, each.is_delete_marker, each.is_latest, each.info.size_bytes, each.info.etag)
        for each in page.versions
    ] == [
        ("k", "v4", True, True, 0, None),
        ("k", "v3", False, False, 7, "e"),
        ("k", "v2", True, False, 0, None),
        ("k", "v1", False, False, 7, "e"),
        ("l", "null", False, True, 7, "e"),
    ]
    assert page.following == {"KeyMarker": "l+", "VersionIdMarker": "null"}


@pytest.mark.parametrize(
    "inside",
    [
        "<Contents><Size>7</Size></Contents>",
        OBJECT.format(key="k").replace("<Size>7", "<Size>many"),
        OBJECT.format(key="k").replace("2026-11-23T02", "some day"),
        "<Contents>",
    ],
)
def test_an_entry_that_cannot_be_read_is_no_shorter_listing(inside):
    with pytest.raises(StoreUnavailable, match="no listing"):
        read("<IsTruncated>false</IsTruncated>" + inside)


@pytest.mark.parametrize("inside", ["", "<IsTruncated/>", "<IsTruncated>perhaps</IsTruncated>"])
def test_an_answer_that_does_not_say_whether_there_is_more_is_noticed(inside):
    assert read(inside).truncated is None
