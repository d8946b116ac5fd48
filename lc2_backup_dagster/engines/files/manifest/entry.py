r"""One line of a files manifest: a file, its facts, and where its bytes are (FORMAT.md, "Files manifest").

JSON Lines in ASCII, sorted by key; a key stands once. Names are short because there are millions of lines:

=====  ==================================================================================================
``k``  key, whole, unescaped; bytes of a name that are not UTF-8 stand as lone surrogates (``\udc80``…)
``s``  size in bytes
``t``  modified: microseconds since 1970 UTC
``e``  etag of the source (left out where there is none, like all below but ``l``)
``v``  version id of the source
``c``  content type
``u``  user metadata, an object of texts
``g``  tags, an object of texts
``d``  ``cache-control``, ``content-disposition``, ``content-encoding`` and ``content-language``, an object of texts
``h``  SHA-256 of the content in hex; absent = pending, or there is no content
``p``  POSIX facts: ``[kind, mode, uid, gid, user, group, nanoseconds]``, of a link with its target at the end
``l``  location, one of
       ``["b", identity, key id, offset, plain bytes, stored bytes, plain sha256, stored sha256]``: in a bundle,
       whose part is described; the length is ``s``; the key id is null where encryption is off
       ``["p", identity, key id, [[plain bytes, stored bytes, plain sha256, stored sha256], …]]``: sealed alone
       ``["o", identity, etag, checksum, encryption, encryption key id]``: copied by the store, as the store says
       ``["n"]``: no content; a link or a folder
=====  ==================================================================================================

Order is that of code points, which is the byte order of UTF-8.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self, cast

from lc2_backup_dagster.clouds.store import ObjectInfo, PosixFacts, PosixKind
from lc2_backup_dagster.engines.files.manifest.facts import facts_of_row, facts_row
from lc2_backup_dagster.engines.files.manifest.identity import object_key
from lc2_backup_dagster.engines.files.manifest.lines import read_lines
from lc2_backup_dagster.model.errors import FormatNotSupported, ManifestCorrupt
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.parts import Part, SupportsRead

STREAM = "files"
"""Name of the stream that holds the entries."""
KEPT_STREAM = "files.kept"
"""What the name of the stream begins with that holds files kept for the rows of a dump; many backups have none."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIELDS = frozenset("kstevcugdhpl")
_SHA256 = re.compile("[0-9a-f]{64}")
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Protection(StrEnum):
    """Who protects the content. The values are persisted in site files."""

    CLIENT = "client"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Copied:
    """Copied whole by the store itself; what the destination said of the copy."""

    identity: str
    etag: str | None = None
    checksum: str | None = None
    encryption: str | None = None
    encryption_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Bundled:
    """A range of the plain bytes of a sealed bundle; ``part`` describes the whole bundle, ``key_id`` its data key."""

    identity: str
    key_id: str | None
    offset: int
    length: int
    part: Part


@dataclass(frozen=True, slots=True)
class Parts:
    """Sealed alone with the data key ``key_id``: one object, or several below the identity's key."""

    identity: str
    key_id: str | None
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    """Of a link or a folder: there is no content."""


Location = Copied | Bundled | Parts | Nothing


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file as of the backup; of a POSIX source also one link or folder.

    Attributes:
        key: its key in the source; that of a folder of a POSIX source ends with a slash.
        size_bytes: length of the content.
        modified: the source's time of the last write, UTC.
        etag: the source's etag, or None.
        version: the source's version id, or None.
        content_type: or None where the source has none.
        metadata: user metadata.
        tags: the source's tags.
        headers: what the source says of the content beyond its type (``clouds.store.HEADERS``).
        sha256: hex SHA-256 of the content; None while a store-side copy has not been read yet, or without content.
        location: where the content is.
        line: what it was decoded from; of a changed copy None.
        posix: owner, mode and more, or None where the source knows none.
    """

    key: str
    size_bytes: int
    modified: datetime
    location: Location
    etag: str | None = None
    version: str | None = None
    content_type: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    sha256: str | None = None
    posix: PosixFacts | None = None
    tags: dict[str, str] = field(default_factory=dict[str, str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    # Not a parameter, so that dataclasses.replace() drops it: a changed entry has another line.
    line: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def without_content(cls, info: ObjectInfo) -> Self:
        """Return the entry of a link or folder: what the listing says of it is all there is."""
        return cls(info.key, 0, info.modified, Nothing(), info.etag, info.version, posix=info.posix)

    @property
    def kind(self) -> PosixKind:
        """What it is; a file wherever the source knows nothing else."""
        return PosixKind.FILE if self.posix is None else self.posix.kind

    @property
    def protection(self) -> Protection:
        """Who protects the content: the store where it made the copy, else this service."""
        return Protection.STORE if isinstance(self.location, Copied) else Protection.CLIENT

    def stored_objects(self, site: SiteId) -> list[tuple[str, Part | None]]:
        """Return the objects that hold the content: key and, for sealed ones, what they must contain."""
        where = self.location
        if isinstance(where, Nothing):
            return []
        if isinstance(where, Copied):
            return [(object_key(site, where.identity), None)]
        if isinstance(where, Bundled):
            return [(object_key(site, where.identity), where.part)]
        if len(where.parts) == 1:
            return [(object_key(site, where.identity), where.parts[0])]
        return [(object_key(site, where.identity, part=number), part) for number, part in enumerate(where.parts)]


def encode_entry(entry: FileEntry) -> bytes:
    """Return the line of an entry, with its line feed; one that was decoded is passed on as it was."""
    if entry.line is not None:
        return entry.line
    row: dict[str, object] = {"k": entry.key, "s": entry.size_bytes, "t": (entry.modified - _EPOCH) // _MICROSECOND}
    if entry.etag is not None:
        row["e"] = entry.etag
    if entry.version is not None:
        row["v"] = entry.version
    if entry.content_type is not None:
        row["c"] = entry.content_type
    if entry.metadata:
        row["u"] = entry.metadata
    if entry.tags:
        row["g"] = entry.tags
    if entry.headers:
        row["d"] = entry.headers
    if entry.sha256 is not None:
        row["h"] = entry.sha256
    if entry.posix is not None:
        row["p"] = facts_row(entry.posix)
    row["l"] = _location_row(entry.location)
    return _ENCODE(row).encode("ascii") + b"\n"


def decode_entry(line: bytes, *, where: str) -> FileEntry:
    """Read one line.

    Args:
        line: with or without its line feed.
        where: stream and line, for messages.

    Raises:
        FormatNotSupported: a kind of location this version does not know.
        ManifestCorrupt: anything else that is not an entry.
    """
    try:
        row = json.loads(line)
        if not isinstance(row, dict) or not _FIELDS.issuperset(cast(dict[str, Any], row)):
            raise ValueError("not an entry, or an unknown field")
        fields = cast(dict[str, Any], row)
        size_bytes = _whole(fields["s"])
        entry = FileEntry(
            key=_text(fields["k"]),
            size_bytes=size_bytes,
            modified=_EPOCH + _MICROSECOND * _integer(fields["t"]),
            location=_location(fields["l"], size_bytes=size_bytes, where=where),
            etag=_optional(fields.get("e")),
            version=_optional(fields.get("v")),
            content_type=_optional(fields.get("c")),
            metadata=_texts(fields, "u"),
            tags=_texts(fields, "g"),
            headers=_texts(fields, "d"),
            sha256=_sha256(fields["h"]) if "h" in fields else None,
            posix=facts_of_row(fields["p"]) if "p" in fields else None,
        )
        _check_kind(entry)
        object.__setattr__(entry, "line", line if line.endswith(b"\n") else line + b"\n")
        return entry
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ManifestCorrupt(f"{where} is not a file entry: {error!r}", where=where) from error


def kept_stream(names: Iterable[str]) -> str | None:
    """Return which of a backup's streams holds the files kept for rows, or None."""
    return next((name for name in names if name.startswith(KEPT_STREAM)), None)


def decode_entries(source: SupportsRead, *, name: str) -> Iterator[FileEntry]:
    """Read a whole stream of entries and check its order, in bounded memory.

    Args:
        source: the plain stream.
        name: of the stream, for messages.

    Raises:
        FormatNotSupported: a kind of location this version does not know.
        ManifestCorrupt: a bad line, a last line without end, or keys out of order; names the stream and the line.
    """
    last: str | None = None
    for number, line in enumerate(read_lines(source, name), start=1):
        entry = decode_entry(line, where=f"{name} line {number}")
        if last is not None and entry.key <= last:
            raise ManifestCorrupt(f"{name} line {number} is out of order: {entry.key!r} after {last!r}")
        last = entry.key
        yield entry


def encode_entries(entries: Iterable[FileEntry]) -> bytes:
    """Return the lines of several entries."""
    return b"".join(encode_entry(entry) for entry in entries)


def _location_row(location: Location) -> list[object]:
    if isinstance(location, Bundled):
        return ["b", location.identity, location.key_id, location.offset, *_part_row(location.part)]
    if isinstance(location, Parts):
        return ["p", location.identity, location.key_id, [_part_row(part) for part in location.parts]]
    if isinstance(location, Nothing):
        return ["n"]
    return [
        "o",
        location.identity,
        location.etag,
        location.checksum,
        location.encryption,
        location.encryption_key_id,
    ]


def _check_kind(entry: FileEntry) -> None:
    if isinstance(entry.location, Nothing) is (entry.kind is PosixKind.FILE):
        raise ValueError("only a link or a folder is without content")
    if isinstance(entry.location, Nothing) and (entry.size_bytes or entry.sha256 is not None):
        raise ValueError("a size or SHA-256 without content")
    if entry.posix is not None and entry.key.endswith("/") is not (entry.kind is PosixKind.DIRECTORY):
        raise ValueError("a folder's key, and no other, ends with a slash")


def _part_row(part: Part) -> list[object]:
    return [part.plain_bytes, part.stored_bytes, part.plain_sha256, part.stored_sha256]


def _location(row: list[Any], *, size_bytes: int, where: str) -> Location:
    kind = row[0]
    if kind == "b":
        _, identity, key_id, offset, *part = row
        bundle = _part(part)
        if _whole(offset) + size_bytes > bundle.plain_bytes:
            raise ValueError("the file reaches beyond its bundle")
        return Bundled(_sha256(identity), _optional(key_id), offset, size_bytes, bundle)
    if kind == "p":
        _, identity, key_id, rows = row
        parts = tuple(_part(part) for part in rows)
        if not parts or sum(part.plain_bytes for part in parts) != size_bytes:
            raise ValueError("the parts do not add up to the size")
        return Parts(_sha256(identity), _optional(key_id), parts)
    if kind == "o":
        _, identity, *facts = row
        etag, checksum, encryption, encryption_key_id = (_optional(fact) for fact in facts)
        return Copied(_sha256(identity), etag, checksum, encryption, encryption_key_id)
    if kind == "n" and len(row) == 1:
        return Nothing()
    raise FormatNotSupported(f"{where} has a location of unknown kind {kind!r}", hint="use a newer lc2-backup")


def _part(row: list[Any]) -> Part:
    plain_bytes, stored_bytes, plain_sha256, stored_sha256 = row
    return Part(_whole(plain_bytes), _whole(stored_bytes), _sha256(plain_sha256), _sha256(stored_sha256))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _texts(fields: dict[str, Any], name: str) -> dict[str, str]:
    if name not in fields:
        return {}
    return {_text(key): _text(value) for key, value in fields[name].items()}


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _whole(value: Any) -> int:
    if _integer(value) < 0:
        raise ValueError(f"{value!r} is negative")
    return value


def _sha256(value: Any) -> str:
    if _SHA256.fullmatch(_text(value)) is None:
        raise ValueError(f"{value!r} is not a SHA-256")
    return value
