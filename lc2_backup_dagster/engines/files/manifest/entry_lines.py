"""The lines of a files manifest, read without decoding what nobody asks for.

Looking through ten million files asks for the key of each, for size and time of some, and for everything of few. Key,
size and time stand at the front of a line as ``encode_entry`` writes it; a line written otherwise is decoded whole.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry, decode_entry
from lc2_backup_dagster.engines.files.manifest.lines import read_lines
from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster.repository.parts import SupportsRead

_FRONT = re.compile(rb'\{"k":"([^"\\]*(?:\\.[^"\\]*)*)","s":([0-9]+),"t":(-?[0-9]+)[,}]')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class EntryLine:
    """One line: key, size and time at once, the whole entry when asked for.

    Attributes:
        key: key of the file.
        size_bytes: length of its content.
        microseconds: time of its last write since 1970 UTC.
        line: the bytes of the line; equal lines are equal entries.
    """

    __slots__ = ("_where", "key", "line", "microseconds", "size_bytes")

    def __init__(self, key: str, size_bytes: int, microseconds: int, line: bytes, where: str) -> None:
        self.key = key
        self.size_bytes = size_bytes
        self.microseconds = microseconds
        self.line = line
        self._where = where

    @property
    def modified(self) -> datetime:
        """Time of the last write, UTC."""
        return _EPOCH + _MICROSECOND * self.microseconds

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of a directory, and no object whose key ends with a slash."""
        return self.key.endswith("/") and self.entry().kind is PosixKind.DIRECTORY

    def entry(self) -> FileEntry:
        """Decode the whole line.

        Raises:
            FormatNotSupported: a kind of location this version does not know.
            ManifestCorrupt: it is not an entry.
        """
        return decode_entry(self.line, where=f"{self._where}, the line of {self.key!r}")


def entry_lines(source: SupportsRead, *, name: str, cut: bool = False) -> Iterator[EntryLine]:
    """Read the lines of a stream of entries and check their order, in bounded memory.

    Args:
        source: the plain stream, from its begin or from some later part on.
        name: of the stream, for messages.
        cut: the source begins somewhere inside; what comes before its first line feed is left out.

    Raises:
        ManifestCorrupt: a bad line, a last line without end, or keys out of order.
    """
    lines = read_lines(source, name)
    if cut:
        next(lines, None)
    last: str | None = None
    for line in lines:
        found = _read(line, name)
        if last is not None and found.key <= last:
            raise ManifestCorrupt(f"{name} is out of order: {found.key!r} after {last!r}")
        last = found.key
        yield found


def _read(line: bytes, name: str) -> EntryLine:
    front = _FRONT.match(line)
    if front is not None:
        text, size_bytes, microseconds = front.groups()
        try:
            key: str = json.loads(b'"%s"' % text) if b"\\" in text else text.decode("ascii")
        except ValueError as error:
            raise ManifestCorrupt(f"{name} has a line with a bad key: {text[:80]!r}") from error
        return EntryLine(key, int(size_bytes), int(microseconds), line, name)
    entry = decode_entry(line, where=f"a line of {name}")
    return EntryLine(entry.key, entry.size_bytes, (entry.modified - _EPOCH) // _MICROSECOND, line, name)
