"""The operations that run once for every file, sent over the wire and answered in boto3's own shape.

So the rest of the adapter does not know who sent a request. What is rare (parts of uploads, deletions, locks) and what
only boto3 can do goes through boto3.
"""

import base64
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from xml.etree import ElementTree

from lc2_backup_dagster.clouds.aws.answers import moment
from lc2_backup_dagster.clouds.aws.bodies import CheckedBody, digests
from lc2_backup_dagster.clouds.aws.wire import Reply, Wire, as_quoted_source

_ASKED: Mapping[str, str] = {
    "CacheControl": "cache-control",
    "ChecksumMode": "x-amz-checksum-mode",
    "ContentDisposition": "content-disposition",
    "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language",
    "ContentType": "content-type",
    "CopySourceIfMatch": "x-amz-copy-source-if-match",
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
    "Range": "range",
    "Tagging": "x-amz-tagging",
    "TaggingDirective": "x-amz-tagging-directive",
}
_ANSWERED: Mapping[str, str] = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "content-type": "ContentType",
    "etag": "ETag",
    "x-amz-checksum-crc32": "ChecksumCRC32",
    "x-amz-checksum-crc32c": "ChecksumCRC32C",
    "x-amz-checksum-crc64nvme": "ChecksumCRC64NVME",
    "x-amz-checksum-sha1": "ChecksumSHA1",
    "x-amz-checksum-sha256": "ChecksumSHA256",
    "x-amz-checksum-type": "ChecksumType",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    "x-amz-version-id": "VersionId",
}
_METADATA = "x-amz-meta-"
_LISTED: Mapping[str, str] = {
    "ContinuationToken": "continuation-token",
    "Delimiter": "delimiter",
    "KeyMarker": "key-marker",
    "MaxKeys": "max-keys",
    "Prefix": "prefix",
    "StartAfter": "start-after",
    "VersionIdMarker": "version-id-marker",
}


def _get(wire: Wire, given: Mapping[str, Any], *, checksums: bool) -> Mapping[str, Any]:
    mode = {"ChecksumMode": "ENABLED"} if checksums else {}
    reply = wire.send("GET", given["Key"], query=_version(given), headers=_asked({**mode, **given}))
    if reply.status >= 300:
        _refuse("GetObject", reply, reply.body())
    try:
        answer: dict[str, Any] = {**_object(reply), "Body": reply.raw}
    except BaseException:
        reply.raw.close()
        raise
    if checksums and reply.status == 200 and (digest := digests(answer)) is not None:
        answer["Body"] = CheckedBody(reply.raw, answer["ContentLength"], *digest)
    return answer


def _head(wire: Wire, given: Mapping[str, Any], *, checksums: bool) -> Mapping[str, Any]:
    reply = wire.send("HEAD", given["Key"], query=_version(given), headers=_asked(given))
    body = reply.body()
    if reply.status >= 300:
        _refuse("HeadObject", reply, body)
    return _object(reply)


def _put(wire: Wire, given: Mapping[str, Any], *, checksums: bool) -> Mapping[str, Any]:
    headers, body = _asked(given), given["Body"]
    if checksums:
        headers["x-amz-sdk-checksum-algorithm"] = "CRC32"
        headers["x-amz-checksum-crc32"] = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    reply = wire.send("PUT", given["Key"], headers=headers, body=body)
    _content("PutObject", reply)
    return _answered(reply)


def _copy(wire: Wire, given: Mapping[str, Any], *, checksums: bool) -> Mapping[str, Any]:
    source = given["CopySource"]
    headers = _asked(given)
    headers["x-amz-copy-source"] = as_quoted_source(source["Bucket"], source["Key"], source.get("VersionId"))
    reply = wire.send("PUT", given["Key"], headers=headers)
    root = _xml("CopyObject", reply, _content("CopyObject", reply))
    result = {_name(child): child.text or "" for child in root}
    return {**_answered(reply), "CopyObjectResult": result}


def _tags(wire: Wire, given: Mapping[str, Any], *, checksums: bool) -> Mapping[str, Any]:
    reply = wire.send("GET", given["Key"], query=[("tagging", ""), *_version(given)])
    root = _xml("GetObjectTagging", reply, _content("GetObjectTagging", reply))
    tags = _named(root, "TagSet", "GetObjectTagging")
    return {
        "TagSet": [{_name(child): child.text or "" for child in tag} for tag in tags if _name(tag) == "Tag"],
        **_metadata_of(reply),
    }


def _begin(wire: Wire, given: Mapping[str, Any], *, checksums: bool) -> Mapping[str, Any]:
    headers = _asked(given)
    if checksums:
        headers["x-amz-checksum-algorithm"] = "CRC32"  # as boto3 does, which sends the parts
    reply = wire.send("POST", given["Key"], query=[("uploads", "")], headers=headers)
    root = _xml("CreateMultipartUpload", reply, _content("CreateMultipartUpload", reply))
    upload_id = _named(root, "UploadId", "CreateMultipartUpload").text or ""
    return {**_answered(reply), "UploadId": upload_id}


def _list(wire: Wire, given: Mapping[str, Any], *, checksums: bool) -> Mapping[str, Any]:
    return _listing("ListObjectsV2", wire, given, {"list-type": "2"})


def _list_versions(wire: Wire, given: Mapping[str, Any], *, checksums: bool) -> Mapping[str, Any]:
    return _listing("ListObjectVersions", wire, given, {"versions": ""})


FREQUENT: Mapping[str, Callable[..., Mapping[str, Any]]] = {
    "get_object": _get,
    "head_object": _head,
    "put_object": _put,
    "copy_object": _copy,
    "list_objects_v2": _list,
    "list_object_versions": _list_versions,
    "get_object_tagging": _tags,
    # Not frequent, but boto3 refuses metadata that is not ASCII, although such is stored and handed out.
    "create_multipart_upload": _begin,
}
"""By boto3's name of the method: takes the wire, boto3's parameters and whether checksums are wanted.

Each raises botocore's ``ClientError`` as boto3 does. A listing is answered by its ``Document``, unread.
"""


def _listing(operation: str, wire: Wire, given: Mapping[str, Any], kind: Mapping[str, str]) -> Mapping[str, Any]:
    wanted = {_LISTED[name]: str(value) for name, value in given.items()}
    reply = wire.send("GET", query=sorted({"encoding-type": "url", **kind, **wanted}.items()))
    return {"Document": _content(operation, reply), **_metadata_of(reply)}


def _asked(given: Mapping[str, Any]) -> dict[str, str]:
    headers = {_ASKED[name]: value for name, value in given.items() if name in _ASKED}
    for name, value in given.get("Metadata", {}).items():
        headers[_METADATA + name] = value
    return headers


def _version(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("versionId", given["VersionId"])] if "VersionId" in given else []


def _metadata_of(reply: Reply) -> dict[str, Any]:
    return {"ResponseMetadata": {"HTTPStatusCode": reply.status, "HTTPHeaders": reply.headers}}


def _answered(reply: Reply) -> dict[str, Any]:
    answer: dict[str, Any] = {
        _ANSWERED[name]: value for name, value in reply.headers.items() if value and name in _ANSWERED
    }
    answer.update(_metadata_of(reply))
    return answer


def _object(reply: Reply) -> dict[str, Any]:
    from botocore.parsers import ResponseParserError

    answer = _answered(reply)
    headers = reply.headers
    try:
        answer["ContentLength"] = int(headers["content-length"])
        answer["LastModified"] = moment(headers["last-modified"])
        answer["TagCount"] = int(headers.get("x-amz-tagging-count", 0))
    except (KeyError, ValueError) as error:
        raise ResponseParserError(f"the answer does not describe an object: {error!r}") from error
    cut = len(_METADATA)
    answer["Metadata"] = {name[cut:]: value for name, value in headers.items() if name.startswith(_METADATA)}
    return answer


def _content(operation: str, reply: Reply) -> bytes:
    """Return the body of a success; a store may find out too late that it is none (L-6)."""
    body = reply.body()
    if reply.status >= 300:
        _refuse(operation, reply, body)
    if b"<Error>" in body[:1000]:
        _refuse(operation, reply, body, status=500)
    return body


def _xml(operation: str, reply: Reply, body: bytes) -> ElementTree.Element:
    from botocore.parsers import ResponseParserError

    try:
        return ElementTree.fromstring(body.strip())  # noqa: S314 - the store is trusted with more than this
    except ElementTree.ParseError as error:
        raise ResponseParserError(f"the answer to {operation} is no XML: {error}") from error


def _name(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def _named(root: ElementTree.Element, name: str, operation: str) -> ElementTree.Element:
    from botocore.parsers import ResponseParserError

    for element in root:
        if _name(element) == name:
            return element
    raise ResponseParserError(f"the answer to {operation} has no {name}")


def _refuse(operation: str, reply: Reply, body: bytes, *, status: int | None = None) -> NoReturn:
    """Raise what boto3 would; only XML that says so itself has a code."""
    from botocore.exceptions import ClientError

    said = {"Code": "", "Message": ""}
    try:
        root = ElementTree.fromstring(body.strip())  # noqa: S314 - as above
    except ElementTree.ParseError:
        root = None
    if root is not None and _name(root) in ("Error", "ErrorResponse"):
        for element in root.iter():
            name = _name(element)
            if name in said and not said[name]:
                said[name] = (element.text or "").strip()
    answered = _metadata_of(reply)
    answered["ResponseMetadata"]["HTTPStatusCode"] = status or reply.status
    raise ClientError({"Error": said, **answered}, operation)  # type: ignore[arg-type]
