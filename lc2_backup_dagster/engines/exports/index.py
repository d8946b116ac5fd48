"""The index of an export: a line of JSON per document, in the order of the tar.

From two of them alone it is known what changed; with one of them a document is read without the rest.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from lc2_backup_dagster.engines.exports.document import check_path
from lc2_backup_dagster.model.errors import ExportCorrupt, ExportInvalid

TAR_STREAM = "export.tar"
INDEX_STREAM = "export.index"
_CHUNK_BYTES = 1 << 20
# A path has at most 2,048 bytes, each six characters when it is escaped.
_MAX_LINE_BYTES = 1 << 16
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


class Readable(Protocol):
    """Anything with ``read``; no bytes only at its end."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One document of a stored export.

    Attributes:
        path: its path.
        size_bytes: length of its content.
        sha256: hex SHA-256 of its content.
        offset: where the content begins in the tar.
    """

    path: str
    size_bytes: int
    sha256: str
    offset: int

    def to_line(self) -> bytes:
        """Return the entry as one line of JSON."""
        fields = {"path": self.path, "size": self.size_bytes, "sha256": self.sha256, "offset": self.offset}
        return _ENCODE(fields).encode("ascii") + b"\n"


def read_index(source: Readable, *, name: str) -> Iterator[IndexEntry]:
    """Yield the entries of an index, holding one line at a time.

    Args:
        source: the stream, proven by whoever opened it.
        name: whose index it is, for messages.

    Raises:
        ExportCorrupt: a line is not an entry, or paths do not ascend.
    """
    last: IndexEntry | None = None
    for line in _lines(source, name):
        entry = _entry(line, name)
        if last is not None and (
            entry.path.encode() <= last.path.encode() or entry.offset < last.offset + last.size_bytes
        ):
            raise ExportCorrupt(f"the index of {name} has {entry.path} behind {last.path}")
        last = entry
        yield entry


def _lines(source: Readable, name: str) -> Iterator[bytes]:
    rest = b""
    while chunk := source.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > _MAX_LINE_BYTES:
            raise ExportCorrupt(f"the index of {name} has a line of more than {_MAX_LINE_BYTES} bytes")
    if rest:
        raise ExportCorrupt(f"the index of {name} ends in the middle of a line")


def _entry(line: bytes, name: str) -> IndexEntry:
    try:
        fields: dict[str, Any] = json.loads(line)
        entry = IndexEntry(fields["path"], fields["size"], fields["sha256"], fields["offset"])
        check_path(entry.path)
    except (ValueError, KeyError, TypeError, AttributeError, ExportInvalid) as error:
        raise ExportCorrupt(f"the index of {name} has a line that is no entry: {error}") from error
    if not (_is_count(entry.size_bytes) and _is_count(entry.offset) and len(entry.sha256) == 64):
        raise ExportCorrupt(f"the index of {name} has a line that is no entry, for {entry.path}")
    return entry


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
