"""A stored content by its identity alone: the objects it consists of, and its line in a purge's list. Pure.

A bundle is one content, whatever files are in it; so is a file in several parts. What is deleted is always a whole
content, and it stays as long as any entry of any backup names its identity.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.engines.files.manifest.identity import files_prefix, object_key
from lc2_backup_dagster.engines.files.manifest.lines import read_lines
from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.parts import SupportsRead

_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class StoredContent:
    """One content below ``files/``.

    Attributes:
        identity: 64 hex digits.
        parts: how many numbered objects it consists of; 0 when it is one object at the identity's own key.
    """

    identity: str
    parts: int

    @classmethod
    def of(cls, entry: FileEntry, site: SiteId) -> Self | None:
        """Return the content that an entry names, or None when it names none."""
        stored = entry.stored_objects(site)
        if not stored:
            return None
        place = place_of(stored[0][0], site)
        if place is None:
            raise ManifestCorrupt(f"the content of {entry.key!r} lies at {stored[0][0]}, which is no place for one")
        identity, number = place
        return cls(identity, 0 if number is None else len(stored))

    def keys(self, site: SiteId) -> Iterator[str]:
        """Yield the keys of its objects."""
        if self.parts == 0:
            yield object_key(site, self.identity)
        for number in range(self.parts):
            yield object_key(site, self.identity, part=number)

    def line(self) -> bytes:
        """Return its line in a purge's list, with its line feed."""
        return b'["%s",%d]\n' % (self.identity.encode("ascii"), self.parts)


def place_of(key: str, site: SiteId) -> tuple[str, int | None] | None:
    """Return the identity, and the number of the part where it has one, of the object at a key.

    Returns None for a key that no content has.
    """
    rest = key.removeprefix(files_prefix(site)).split("/")
    if len(rest) not in (2, 3) or not _is_identity(rest[1]) or (len(rest) == 3 and not rest[2].isdecimal()):
        return None
    number = int(rest[2]) if len(rest) == 3 else None
    return (rest[1], number) if key == object_key(site, rest[1], part=number) else None


def read_list(source: SupportsRead, *, name: str) -> Iterator[StoredContent]:
    """Read the contents that a purge listed.

    Raises:
        ManifestCorrupt: a line is no content, or the last one has no end.
    """
    for number, line in enumerate(read_lines(source, name), start=1):
        try:
            identity, parts = json.loads(line)
            if not _is_identity(identity) or type(parts) is not int or parts < 0:
                raise ValueError(f"{identity!r} in {parts!r} parts")
        except (ValueError, TypeError) as error:
            raise ManifestCorrupt(f"{name} line {number} names no stored content: {error}") from error
        yield StoredContent(identity, parts)


def _is_identity(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= _HEX
