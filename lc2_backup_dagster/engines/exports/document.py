"""One document of an export: a path and bytes, and what a path may be.

Paths are those of the documents in the tar, in a restored directory, and in every list of changes. So they are
relative, never lead out of their directory, and can be made on any file system of a server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lc2_backup_dagster.engines.exports.canonical_json import canonical_json
from lc2_backup_dagster.model.errors import ExportInvalid

DOCUMENT_LIMIT_BYTES = 64 * 1024 * 1024
"""Longest document that is taken; one is held in memory at a time."""

MAX_PATH_BYTES = 2048
MAX_SEGMENT_BYTES = 255


class DocumentKind(StrEnum):
    """What a document is parsed as, told by the end of its path."""

    JSON = "json"
    YAML = "yaml"
    OTHER = "other"


_ENDINGS: Mapping[str, DocumentKind] = {
    ".json": DocumentKind.JSON,
    ".yml": DocumentKind.YAML,
    ".yaml": DocumentKind.YAML,
}


@dataclass(frozen=True, slots=True)
class Document:
    """A named document.

    Attributes:
        path: relative, segments parted by ``/``.
        content: its bytes.
        is_canonical: the content was made by ``canonical_json`` and need not be parsed again.
    """

    path: str
    content: bytes
    is_canonical: bool = False

    @classmethod
    def of_json(cls, path: str, value: object) -> "Document":
        """Make a document of a JSON value.

        Raises:
            ExportInvalid: the value cannot be written as JSON; the message names the path.
        """
        try:
            return cls(path, canonical_json(value), is_canonical=True)
        except ValueError as error:
            raise ExportInvalid(f"document {path} cannot be written as JSON: {error}", path=path) from error


def kind_of(path: str) -> DocumentKind:
    """Return what a document is parsed as."""
    _, dot, ending = path.rpartition(".")
    return _ENDINGS.get(f"{dot}{ending.lower()}", DocumentKind.OTHER)


def check_path(path: str) -> None:
    """Refuse a path that cannot be kept, or that a restore could not make below its target.

    Raises:
        ExportInvalid: it is empty, absolute or too long, leads out, has a segment that is empty, too long or
            unprintable, or is not Unicode text.
    """
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        raise ExportInvalid(f"the path {path!r} is not Unicode text", path=path) from None
    segments = path.split("/")
    if not path or len(encoded) > MAX_PATH_BYTES:
        raise ExportInvalid(f"the path {path[:80]!r} has {len(encoded)} bytes, allowed are 1 to {MAX_PATH_BYTES}")
    if any(segment in ("", ".", "..") for segment in segments):
        raise ExportInvalid(f"the path {path!r} is absolute, or has a segment that is empty, '.' or '..'", path=path)
    if any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in segments):
        raise ExportInvalid(f"the path {path!r} has a segment of more than {MAX_SEGMENT_BYTES} bytes", path=path)
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in path):
        raise ExportInvalid(f"the path {path!r} has control characters", path=path)
