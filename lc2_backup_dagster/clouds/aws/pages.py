"""Pages of listings read from XML, in the order in which the store wrote them; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from lc2_backup_dagster.clouds.aws.answers import unquoted
from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectVersion
from lc2_backup_dagster.model.errors import StoreUnavailable


@dataclass(slots=True)
class Page:
    """One page of a listing.

    Attributes:
        objects: of a listing of objects.
        versions: of a listing of versions, delete markers between them.
        prefixes: what lies below a delimiter, summed up.
        truncated: whether more follows; None when the answer does not say, which is no listing (L-28).
        following: parameters of the request for the next page; empty when the answer does not tell.
    """

    objects: list[ObjectInfo] = field(default_factory=list[ObjectInfo])
    versions: list[ObjectVersion] = field(default_factory=list[ObjectVersion])
    prefixes: list[str] = field(default_factory=list[str])
    truncated: bool | None = None
    following: dict[str, str] = field(default_factory=dict[str, str])


def page_of(answer: Mapping[str, Any], *, where: str) -> Page:
    """Read an answer to ``ListObjectsV2`` or ``ListObjectVersions``: a document, or what boto3 made of one.

    Raises:
        StoreUnavailable: it is none.
    """
    if "Document" not in answer:
        return _from_boto(answer)
    try:
        return _PageReader(ElementTree.fromstring(answer["Document"])).read()  # noqa: S314 - from the store that is trusted with all
    except (ElementTree.ParseError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise StoreUnavailable(f"{where}: the answer is no listing: {error!r}") from error


class _PageReader:
    """Reads one page; knows its namespace and whether keys are written as in a URL."""

    def __init__(self, root: ElementTree.Element) -> None:
        self._root = root
        self._space = root.tag[: root.tag.rfind("}") + 1]
        self._encoded = root.findtext(f"{self._space}EncodingType") == "url"
        self._key, self._size, self._modified, self._etag, self._version, self._latest = (
            self._space + name for name in ("Key", "Size", "LastModified", "ETag", "VersionId", "IsLatest")
        )

    def read(self) -> Page:
        page = Page()
        contents, prefixes = f"{self._space}Contents", f"{self._space}CommonPrefixes"
        version, marker = f"{self._space}Version", f"{self._space}DeleteMarker"
        for element in self._root:
            tag = element.tag
            if tag == contents:
                page.objects.append(self._object({child.tag: child.text or "" for child in element}))
            elif tag in (version, marker):
                fields = {child.tag: child.text or "" for child in element}
                page.versions.append(self._of_versions(fields, is_delete_marker=tag == marker))
            elif tag == prefixes:
                page.prefixes.append(self._decoded(element.findtext(f"{self._space}Prefix") or ""))
        page.truncated = {"true": True, "false": False}.get((self._text("IsTruncated") or "").strip().lower())
        page.following = self._following()
        return page

    def _object(self, fields: Mapping[str, str]) -> ObjectInfo:
        return ObjectInfo(
            key=self._decoded(fields[self._key]),
            size_bytes=int(fields[self._size]),
            modified=datetime.fromisoformat(fields[self._modified]).astimezone(UTC),
            etag=unquoted(fields.get(self._etag)),
        )

    def _of_versions(self, fields: Mapping[str, str], *, is_delete_marker: bool) -> ObjectVersion:
        info = ObjectInfo(
            key=self._decoded(fields[self._key]),
            size_bytes=0 if is_delete_marker else int(fields[self._size]),
            modified=datetime.fromisoformat(fields[self._modified]).astimezone(UTC),
            etag=None if is_delete_marker else unquoted(fields.get(self._etag)),
            version=fields[self._version],
        )
        is_latest = fields.get(self._latest, "").strip().lower() == "true"
        return ObjectVersion(info, is_delete_marker=is_delete_marker, is_latest=is_latest)

    def _following(self) -> dict[str, str]:
        token = self._text("NextContinuationToken")
        if token:
            return {"ContinuationToken": token}
        key, version = self._text("NextKeyMarker"), self._text("NextVersionIdMarker")
        if not key:
            return {}
        return {"KeyMarker": self._decoded(key), **({"VersionIdMarker": version} if version else {})}

    def _text(self, name: str) -> str | None:
        return self._root.findtext(self._space + name)

    def _decoded(self, text: str) -> str:
        return unquote_plus(text, errors="strict") if self._encoded and ("%" in text or "+" in text) else text


def _from_boto(answer: Mapping[str, Any]) -> Page:
    """Read boto3's lists; it tells versions and delete markers apart and forgets which was newer within a second."""
    markers = [_boto_version(entry, is_delete_marker=True) for entry in answer.get("DeleteMarkers", ())]
    versions = [_boto_version(entry, is_delete_marker=False) for entry in answer.get("Versions", ())]
    versions = sorted(markers + versions, key=lambda each: (each.info.modified, each.is_latest), reverse=True)
    names = ("KeyMarker", "VersionIdMarker", "ContinuationToken")
    return Page(
        objects=[_boto_object(entry) for entry in answer.get("Contents", ())],
        versions=sorted(versions, key=lambda each: each.info.key.encode()),
        prefixes=[entry["Prefix"] for entry in answer.get("CommonPrefixes", ())],
        truncated=answer.get("IsTruncated"),
        following={name: answer[f"Next{name}"] for name in names if answer.get(f"Next{name}")},
    )


def _boto_object(entry: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key=entry["Key"],
        size_bytes=int(entry.get("Size", 0)),
        modified=entry["LastModified"].astimezone(UTC),
        etag=unquoted(entry.get("ETag")),
        version=entry.get("VersionId"),
    )


def _boto_version(entry: Mapping[str, Any], *, is_delete_marker: bool) -> ObjectVersion:
    return ObjectVersion(_boto_object(entry), is_delete_marker=is_delete_marker, is_latest=bool(entry.get("IsLatest")))
