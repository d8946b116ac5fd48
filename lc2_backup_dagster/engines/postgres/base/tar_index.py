"""Read a tar stream as it passes by: which member lies where, without holding the stream.

``TarScanner`` is fed with chunks cut anywhere and knows ustar, GNU and pax headers. Base backups are indexed with it
while they are stored, and unpacked with it when they are restored. Memory does not grow with the stream.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lc2_backup_dagster.model.errors import IntegrityError

_BLOCK = 512
_ZEROES = bytes(_BLOCK)
# Headers that describe the next member; a real one has a few hundred bytes.
_META_TYPES = "xgLK"
_MAX_META_BYTES = 1 << 20
_PLAIN_FILE = "0"
_KNOWN_TYPES = "01234567"
# Links, devices and directories have no content whatever their size field says.
_WITHOUT_CONTENT = "123456"
# json.dumps would make an encoder anew for every member, which costs more than the encoding.
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member of a tar stream.

    Attributes:
        path: name without a trailing slash; bytes that are not UTF-8 are surrogate-escaped.
        typeflag: ``0`` file, ``5`` directory, ``1`` and ``2`` links, otherwise as POSIX says.
        size: bytes of content.
        offset: where the content begins in the stream.
        mtime: seconds since 1970.
        mode: permission bits.
        linkname: target of a link.
    """

    path: str
    typeflag: str
    size: int
    offset: int
    mtime: int
    mode: int
    linkname: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.typeflag == _PLAIN_FILE

    def to_line(self) -> bytes:
        """Return the member as one line of JSON."""
        fields: dict[str, object] = {
            "path": self.path, "type": self.typeflag, "size": self.size,
            "offset": self.offset, "mtime": self.mtime, "mode": self.mode,
        }  # fmt: skip
        if self.linkname:
            fields["link"] = self.linkname
        return _ENCODE(fields).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes | str) -> "TarMember":
        """Read what ``to_line`` wrote."""
        fields = json.loads(line)
        return cls(
            fields["path"], fields["type"], fields["size"], fields["offset"], fields["mtime"], fields["mode"],
            fields.get("link", ""),
        )  # fmt: skip


class MemberSink(Protocol):
    """Takes the content of one member."""

    def write(self, chunk: memoryview, /) -> object:
        """Take the next piece."""
        ...

    def close(self) -> object:
        """The content is complete."""
        ...


class TarScanner:
    """Incremental tar reader.

    Args:
        on_member: called at the header of every member, in stream order; returns what takes its content, or None
            to pass over it. The sink is closed when the content was complete, not when the scan breaks off.
        start: where in the stream the scan begins: at the header of a member.
        whole: whether one scanner sees the whole stream. In a part of one, what holds for all members behind it is
            refused; PostgreSQL writes no such headers.
    """

    def __init__(
        self, on_member: Callable[[TarMember], MemberSink | None], *, start: int = 0, whole: bool = True
    ) -> None:
        self._on_member = on_member
        self._position = start
        self._whole = whole
        self._block = bytearray()  # an incomplete header
        self._remaining = 0  # content still to come
        self._padding = 0
        self._sink: MemberSink | None = None
        self._meta: tuple[str, bytearray] | None = None
        self._global: dict[str, str] = {}
        self._next: dict[str, str] = {}
        self._zero_blocks = 0

    @property
    def position(self) -> int:
        """Bytes seen so far."""
        return self._position

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the stream.

        Raises:
            IntegrityError: not a tar stream, or a kind of member that a base backup never has.
        """
        view = memoryview(chunk)
        while view:
            if self._remaining:
                taken = self._take_content(view[: self._remaining])
            elif self._padding:
                taken = min(self._padding, len(view))
                self._padding -= taken
            else:
                taken = min(_BLOCK - len(self._block), len(view))
                self._block += view[:taken]
            self._position += taken
            view = view[taken:]
            if len(self._block) == _BLOCK:
                block = bytes(self._block)
                self._block.clear()
                self._header(block)

    def finish(self) -> None:
        """State that the stream has ended.

        Raises:
            IntegrityError: it ended inside a member or without the end-of-archive blocks.
        """
        if self._remaining or self._padding or self._block or self._zero_blocks < 2:
            raise IntegrityError(f"the tar stream ends too early, after {self._position} bytes")

    def finish_between_members(self) -> None:
        """State that the part of the stream has ended, and that another scanner goes on here.

        Raises:
            IntegrityError: a member goes on, or the archive has ended already.
        """
        if self._remaining or self._padding or self._block or self._next or self._zero_blocks:
            raise IntegrityError(f"no member of the tar stream begins at byte {self._position}")

    def _take_content(self, piece: memoryview) -> int:
        if self._meta is not None:
            self._meta[1].extend(piece)
        elif self._sink is not None:
            self._sink.write(piece)
        self._remaining -= len(piece)
        if not self._remaining:
            self._content_ended()
        return len(piece)

    def _content_ended(self) -> None:
        if self._meta is not None:
            kind, content = self._meta
            self._meta = None
            if kind == "L":
                self._next["path"] = _text(bytes(content))
            elif kind == "K":
                self._next["linkpath"] = _text(bytes(content))
            else:
                (self._global if kind == "g" else self._next).update(_pax_records(bytes(content)))
        elif self._sink is not None:
            self._sink.close()
            self._sink = None

    def _header(self, block: bytes) -> None:
        if block == _ZEROES:
            self._zero_blocks += 1
            return
        if self._zero_blocks:
            raise IntegrityError(f"the tar stream goes on after its end, at byte {self._position - _BLOCK}")
        if _octal(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 0x20:
            raise IntegrityError(f"the tar header at byte {self._position - _BLOCK} has a wrong checksum")
        typeflag = chr(block[156]) if block[156] else _PLAIN_FILE
        if typeflag == "g" and not self._whole:
            raise IntegrityError(f"the tar stream has a header for all members, at byte {self._position - _BLOCK}")
        size = _number(block[124:136])
        if typeflag in _META_TYPES:
            if size > _MAX_META_BYTES:
                raise IntegrityError(f"the tar header at byte {self._position - _BLOCK} is unbelievably long")
            self._meta = (typeflag, bytearray())
        else:
            member = self._member(block, "0" if typeflag == "7" else typeflag, size)
            size = member.size
            self._sink = self._on_member(member)
        self._remaining = size
        self._padding = -size % _BLOCK
        if not size:
            self._content_ended()

    def _member(self, block: bytes, typeflag: str, size: int) -> TarMember:
        extra = self._global
        if self._next:  # only of long names and the like; PostgreSQL writes none
            extra = {**self._global, **self._next}
            self._next = {}
        path = extra.get("path")
        if path is None:
            path = _text(block[:100])
            if block[257:263] == b"ustar\0" and block[345]:
                path = f"{_text(block[345:500])}/{path}"
        if typeflag not in _KNOWN_TYPES or any(name.startswith("GNU.sparse") for name in extra):
            raise IntegrityError(f"the tar stream has a member of unknown kind '{typeflag}': {path}")
        try:
            size = int(extra.get("size", size))
            mtime = int(float(extra["mtime"])) if "mtime" in extra else _number(block[136:148])
        except ValueError as error:
            raise IntegrityError(f"the tar header of {path} has no readable size or time") from error
        return TarMember(
            path=path.rstrip("/"),
            typeflag=typeflag,
            size=0 if typeflag in _WITHOUT_CONTENT else size,
            offset=self._position,
            mtime=mtime,
            mode=_number(block[100:108]) & 0o7777,
            linkname=extra.get("linkpath", _text(block[157:257])),
        )


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _octal(field: bytes) -> int:
    digits = field.split(b"\0", 1)[0].strip()
    try:
        return int(digits or b"0", 8)
    except ValueError as error:
        raise IntegrityError(f"the tar stream has a header with an unreadable number {digits!r}") from error


def _number(field: bytes) -> int:
    if field[0] in (0x80, 0xFF):  # base 256, for sizes of 8 GiB and more
        return int.from_bytes(field[1:], "big") - (256 ** (len(field) - 1) if field[0] == 0xFF else 0)
    return _octal(field)


def _pax_records(content: bytes) -> dict[str, str]:
    records: dict[str, str] = {}
    position = 0
    while position < len(content):
        length_text, _, _ = content[position:].partition(b" ")
        try:
            length = int(length_text)
        except ValueError as error:
            raise IntegrityError("the tar stream has an unreadable pax header") from error
        record = content[position + len(length_text) + 1 : position + length]
        name, equals, value = record.partition(b"=")
        if length <= len(length_text) or not equals or not value.endswith(b"\n"):
            raise IntegrityError("the tar stream has an unreadable pax header")
        records[name.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        position += length
    return records
