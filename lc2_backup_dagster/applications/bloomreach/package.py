"""The file of a content export: a zip with lines of JSON, read as a stream, within limits, believed if it is whole.

The archive comes from outside. Its sizes are counted while they are unpacked, not read from its headers, and no name in
it becomes a path.
"""

import io
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast
from zlib import error as ZlibError

from lc2_backup_dagster.applications.bloomreach.document_paths import item_path, version_path
from lc2_backup_dagster.engines.exports.canonical_json import parse_json
from lc2_backup_dagster.engines.exports.document import DOCUMENT_LIMIT_BYTES, Document
from lc2_backup_dagster.model.errors import AnswerInvalid, ExportInvalid

_CHUNK_BYTES = 1 << 18
_ENDINGS = (".ndjson", ".jsonl")
_END_OF_DIRECTORY, _END_OF_WIDE_DIRECTORY = b"PK\x05\x06", b"PK\x06\x06"
_END_BYTES = 22 + 65_535 + 20 + 56  # the record, a comment as long as it may be, and the two records of the wide form
_IN_WIDE_FORM = 0xFFFFFFFF
_MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
_DAMAGED = (zipfile.BadZipFile, ZlibError, EOFError, NotImplementedError, RuntimeError, OSError)

Item = dict[str, object]


@dataclass(frozen=True, slots=True)
class PackageLimits:
    """What an archive may hold.

    Attributes:
        unpacked_bytes: all its lines together.
        line_bytes: one line, which becomes a document.
        members: files in it.
    """

    unpacked_bytes: int = 64 * 1024**3
    line_bytes: int = DOCUMENT_LIMIT_BYTES
    members: int = 10_000


def package_documents(
    file: BinaryIO, *, items: int | None = None, limits: PackageLimits | None = None
) -> Iterator[Document]:
    """Yield the documents of an archive: one for each item, and one for each of its earlier versions.

    Args:
        file: the archive.
        items: how many lines it must have; None where that is not known.
        limits: what it may hold.

    Raises:
        AnswerInvalid: it is no archive, truncated, damaged or too large, has no lines of JSON, or other than it must.
        ExportInvalid: one line is too long to be kept.
    """
    count = 0
    try:
        for where, line in _lines(file, limits or PackageLimits()):
            count += 1
            yield from _documents(_item(line, where), where)
    except _DAMAGED as error:
        raise AnswerInvalid(f"the exported archive is damaged or truncated: {type(error).__name__}") from error
    if items is not None and count != items:
        raise AnswerInvalid(f"the exported archive holds {count} items, the operation told of {items}")


def is_whole(file: BinaryIO) -> bool:
    """Say whether an archive has its end, where its table of contents is: one that was cut off has none."""
    try:
        _check_directory(file)
        with zipfile.ZipFile(file):
            return True
    except (AnswerInvalid, *_DAMAGED):
        return False


def _check_directory(file: BinaryIO) -> None:
    """Refuse a table of contents that would take all memory: it is read whole, before any limit can count.

    Source: PKWARE's APPNOTE, "End of central directory record" and its ZIP64 form.
    """
    file.seek(0, io.SEEK_END)
    file.seek(max(0, file.tell() - _END_BYTES))
    end = file.read(_END_BYTES)
    at = end.rfind(_END_OF_DIRECTORY)
    if at < 0 or len(end) < at + 16:
        raise AnswerInvalid("the exported archive is damaged or truncated: it has no end")
    (size,) = struct.unpack_from("<L", end, at + 12)
    wide = end.rfind(_END_OF_WIDE_DIRECTORY, 0, at)
    if size == _IN_WIDE_FORM and wide >= 0 and at >= wide + 48:
        (size,) = struct.unpack_from("<Q", end, wide + 40)
    if size > _MAX_DIRECTORY_BYTES:
        raise AnswerInvalid(f"the exported archive has a table of contents of {size} bytes")


def _lines(file: BinaryIO, limits: PackageLimits) -> Iterator[tuple[str, bytes]]:
    """Yield every line that is not empty, with the place it stands at."""
    _check_directory(file)
    unpacked = 0
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > limits.members:
            raise AnswerInvalid(f"the exported archive holds {len(members)} files, more than {limits.members}")
        wanted = [member for member in members if member.filename.lower().endswith(_ENDINGS)]
        if not wanted:
            raise AnswerInvalid("the exported archive holds no lines of JSON")
        for file_number, member in enumerate(wanted, 1):
            number, line = 1, bytearray()
            with archive.open(member) as content:
                while chunk := content.read(_CHUNK_BYTES):
                    unpacked += len(chunk)
                    if unpacked > limits.unpacked_bytes:
                        raise AnswerInvalid(f"the exported archive unpacks to more than {limits.unpacked_bytes} bytes")
                    *ends, rest = chunk.split(b"\n")
                    for end in ends:
                        line += end
                        yield from _content(line, f"file {file_number}, line {number}", limits)
                        number += 1
                        line.clear()
                    line += rest
                    _check_length(line, f"file {file_number}, line {number}", limits)
            yield from _content(line, f"file {file_number}, line {number}", limits)


def _content(line: bytearray, where: str, limits: PackageLimits) -> Iterator[tuple[str, bytes]]:
    _check_length(line, where, limits)
    if line.strip():
        yield where, bytes(line)


def _check_length(line: bytearray, where: str, limits: PackageLimits) -> None:
    if len(line) > limits.line_bytes:
        raise ExportInvalid(
            f"an exported item has more than {limits.line_bytes} bytes ({where})", hint="split it in the application"
        )


def _item(line: bytes, where: str) -> Item:
    try:
        value = parse_json(line)
    except ValueError as error:
        raise AnswerInvalid(f"the exported archive is unreadable ({where}): {error}") from None
    if not isinstance(value, dict):
        raise AnswerInvalid(f"the exported archive holds no item ({where})")
    return cast(Item, value)


def _documents(item: Item, where: str) -> Iterator[Document]:
    path, kind = item.get("path"), item.get("type")
    if not isinstance(path, str) or not path.strip("/") or not isinstance(kind, str) or not kind:
        raise AnswerInvalid(f"the exported archive holds an item without path or type ({where})")
    history = item.pop("versionHistory", None)
    yield Document.of_json(item_path(path, kind), item)
    if history is None:
        return
    if not isinstance(history, list):
        raise AnswerInvalid(f"the version history of {path} is no list ({where})")
    for number, version in enumerate(cast(list[object], history), 1):
        fields = cast(dict[str, object], version) if isinstance(version, dict) else {}
        name = fields.get("version")
        yield Document.of_json(version_path(path, kind, str(name or number)), version)
