"""Which stored contents some backups share with others: merges of sorted streams, in fixed memory. Pure.

Of the backups that stay only what differs from one to the next is looked at, because an unchanged file has the same
line in both, byte for byte. So asking costs the reading of all manifests and the sorting of what is distinct in them,
whatever their number.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from lc2_backup_dagster.engines.files.manifest.entry import decode_entry
from lc2_backup_dagster.engines.files.manifest.stored_content import StoredContent
from lc2_backup_dagster.engines.files.scratch import Row
from lc2_backup_dagster.model.errors import ManifestCorrupt
from lc2_backup_dagster.model.site import SiteId

_FIRST = itemgetter(0)
_REMEMBERED = 4096


def lines_not_in(lines: Iterable[bytes], others: Iterable[bytes], *, name: str) -> Iterator[bytes]:
    """Yield the lines of one manifest that another does not hold byte for byte.

    A line that comes out of order is at worst yielded although the other holds it; none is ever lost.

    Args:
        lines: of the one, ascending by key.
        others: of the other, ascending by key.
        name: of both, for messages.

    Raises:
        ManifestCorrupt: a line has no key.
    """
    there = iter(others)
    other = next(there, None)
    for line in lines:
        if other is not None and line != other:
            key = _key_of(line, name)
            while other is not None and _key_of(other, name) < key:
                other = next(there, None)
        if line == other:
            other = next(there, None)
        else:
            yield line


def contents_of(lines: Iterable[bytes], site: SiteId, *, name: str) -> Iterator[StoredContent]:
    """Yield the contents that lines name; neighbours in a bundle mostly yield it once, but a content may come again.

    Raises:
        FormatNotSupported: a kind of location this version does not know.
        ManifestCorrupt: a line is no entry.
    """
    recent: set[str] = set()
    for line in lines:
        content = StoredContent.of(decode_entry(line, where=f"a line of {name}"), site)
        if content is None or content.identity in recent:
            continue
        if len(recent) >= _REMEMBERED:
            recent.clear()
        recent.add(content.identity)
        yield content


def unreferenced(candidates: Iterable[Row], references: Iterable[Row]) -> Iterator[Row]:
    """Yield the candidates whose identity no reference has.

    Args:
        candidates: rows that begin with an identity, ascending by it.
        references: rows that begin with an identity, ascending by it.
    """
    known = iter(references)
    reference = next(known, None)
    for identity, group in groupby(candidates, key=_FIRST):
        while reference is not None and reference[0] < identity:
            reference = next(known, None)
        if reference is None or reference[0] != identity:
            yield from group


def distinct(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield each of some rows once; equal ones follow each other within their identity, in any order."""
    for _, group in groupby(rows, key=_FIRST):
        yield from sorted({tuple(row): row for row in group}.values())


def _key_of(line: bytes, name: str) -> str:
    try:
        key = json.loads(line)["k"]
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestCorrupt(f"{name} has a line that is no entry: {error!r}") from error
    if not isinstance(key, str):
        raise ManifestCorrupt(f"{name} has a line whose key is no text: {key!r}")
    return key
