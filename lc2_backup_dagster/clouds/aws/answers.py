"""Answers of the store read into the port's own values; pure."""

import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from lc2_backup_dagster.clouds.store import HEADERS, ObjectInfo
from lc2_backup_dagster.model.errors import KeyNotRepresentable, StoreUnavailable

MAX_KEY_BYTES = 1024


def is_utf8(text: str) -> bool:
    """Say whether S3 can hold the text at all: names of files need not be UTF-8, keys are."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked(key: str) -> str:
    """Return the key if S3 can hold it.

    Raises:
        KeyNotRepresentable: empty, longer than 1,024 bytes, or not representable in UTF-8.
    """
    if not is_utf8(key):
        raise KeyNotRepresentable(f"key {key!r} is not UTF-8; S3 cannot hold it", key=key)
    length = len(key.encode())
    if not 0 < length <= MAX_KEY_BYTES:
        raise KeyNotRepresentable(f"key {key!r} has {length} bytes; S3 holds 1 to {MAX_KEY_BYTES}", key=key)
    return key


def quoted(etag: str | None) -> str | None:
    """Return an etag as the If-Match headers want it."""
    return None if etag is None else f'"{etag}"'


def unquoted(etag: str | None) -> str | None:
    """Return an etag without its quotation marks."""
    return etag.strip('"') if etag else None


def headed(key: str, answer: Mapping[str, Any], *, tags: Mapping[str, str] | None = None) -> ObjectInfo:
    """Read the answer to ``head_object`` or ``get_object`` of a whole object; its tags come separately."""
    return ObjectInfo(
        key=key,
        size_bytes=int(answer["ContentLength"]),
        modified=answer["LastModified"].astimezone(UTC),
        etag=unquoted(answer.get("ETag")),
        version=answer.get("VersionId"),
        content_type=answer.get("ContentType"),
        metadata=dict(answer.get("Metadata", {})),
        checksum=_checksum(answer),
        encryption=answer.get("ServerSideEncryption"),
        encryption_key_id=answer.get("SSEKMSKeyId"),
        tags=tags or {},
        headers=_headers(answer),
    )


def written(key: str, answer: Mapping[str, Any], *, size_bytes: int) -> ObjectInfo:
    """Read the answer to ``put_object``; the time is that of the answer, which S3 takes for the object too."""
    return ObjectInfo(
        key=key,
        size_bytes=size_bytes,
        modified=answered_at(answer) or datetime.fromtimestamp(0, UTC),
        etag=unquoted(answer.get("ETag")),
        version=answer.get("VersionId"),
        checksum=_checksum(answer),
        encryption=answer.get("ServerSideEncryption"),
        encryption_key_id=answer.get("SSEKMSKeyId"),
    )


def answered_at(answer: Mapping[str, Any]) -> datetime | None:
    """Return the store's time of an answer, from its ``Date`` header, in whole seconds.

    Raises:
        StoreUnavailable: the header is unreadable.
    """
    text = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError as error:
        raise StoreUnavailable(f"the store answers with a date that cannot be read: '{text}'") from error


def moment(text: str) -> datetime:
    """Read a date as HTTP writes it.

    Raises:
        ValueError: it is none.
    """
    return parsedate_to_datetime(text).astimezone(UTC)


_CHECKSUMS = (
    ("ChecksumSHA256", "sha256"),
    ("ChecksumCRC64NVME", "crc64nvme"),
    ("ChecksumSHA1", "sha1"),
    ("ChecksumCRC32C", "crc32c"),
    ("ChecksumCRC32", "crc32"),
)


def _checksum(answer: Mapping[str, Any]) -> str | None:
    """Return the checksum of the whole content as ``algorithm:hex``; one made of parts' checksums is none of it."""
    if answer.get("ChecksumType") == "COMPOSITE":
        return None
    for name, algorithm in _CHECKSUMS:
        value = answer.get(name)
        if value and "-" not in value:
            return f"{algorithm}:{binascii.a2b_base64(value).hex()}"
    return None


_PARAMETERS = {name: name.title().replace("-", "") for name in HEADERS}  # content-language → ContentLanguage


def properties_of(
    content_type: str | None, metadata: Mapping[str, str] | None, headers: Mapping[str, str] | None
) -> dict[str, Any]:
    """Return what is kept beside a content as boto3's parameters.

    Raises:
        KeyError: a header that no store keeps.
    """
    kept: dict[str, Any] = {_PARAMETERS[name]: value for name, value in (headers or {}).items()}
    return {**kept, "ContentType": content_type, "Metadata": dict(metadata) if metadata else None}


def _headers(answer: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {name: answer[known] for name, known in _PARAMETERS.items() if answer.get(known)}
    encodings = found.get("content-encoding")
    if encodings and "aws-chunked" in encodings:
        # How an upload was sent, which some stores keep as if it were a property of the content.
        kept = [each.strip() for each in encodings.split(",") if each.strip() != "aws-chunked"]
        found["content-encoding"] = ",".join(kept)
    return {name: value for name, value in found.items() if value}
