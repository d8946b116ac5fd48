"""What verifications found out, object by object: one line of JSON each (FORMAT.md, "Results of verifications"). Pure.

Proofs are sorted by the name of the object. The SHA-256 of copies made by the store are there a second time, sorted
by the key of the file, so that a capture or a restore, which go through files in that order, can take them as a
stream.
"""

import json
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import groupby
from operator import attrgetter
from typing import Any

from lc2_backup_dagster.engines.files.manifest.entry import Copied, FileEntry
from lc2_backup_dagster.model.errors import ManifestCorrupt

_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of one stored object. Times are whole seconds since 1970 by the store's clock.

    Attributes:
        name: the object's key below ``files/<site>/<2 hex>/``.
        read_at: it was read whole after this time; None when it never was.
        sha256: of a copy made by the store whose manifest did not know it.
        etag: of such a copy, where it is another one than the manifest has.
        damaged_at: it was found damaged after this time, and was not read whole since; None when it was not.
    """

    name: str
    read_at: int | None = None
    sha256: str | None = None
    etag: str | None = None
    damaged_at: int | None = None


@dataclass(frozen=True, slots=True)
class KnownHash:
    """The SHA-256 of a copy made by the store.

    Attributes:
        file: key of the file in the source.
        name: the object's name, the copy's identity.
        sha256: of its bytes.
    """

    file: str
    name: str
    sha256: str


def encode_proof(proof: Proof) -> bytes:
    """Return the line of a proof, with its line feed."""
    row: dict[str, object] = {"o": proof.name}
    fields = (("t", proof.read_at), ("h", proof.sha256), ("e", proof.etag), ("d", proof.damaged_at))
    row.update({name: value for name, value in fields if value is not None})
    return _ENCODE(row).encode("ascii") + b"\n"


def decode_proof(line: bytes, *, where: str) -> Proof:
    """Read one line; names that are not known are ignored.

    Raises:
        ManifestCorrupt: it is not a proof.
    """
    row = _decoded(line, where)
    try:
        return Proof(
            name=_text(row["o"]),
            read_at=_time(row, "t"),
            sha256=_sha256(row["h"]) if "h" in row else None,
            etag=_text(row["e"]) if "e" in row else None,
            damaged_at=_time(row, "d"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestCorrupt(f"{where} is not a proof: {error!r}", where=where) from error


def encode_hash(known: KnownHash) -> bytes:
    """Return the line of a known SHA-256, with its line feed."""
    return _ENCODE({"k": known.file, "o": known.name, "h": known.sha256}).encode("ascii") + b"\n"


def decode_hash(line: bytes, *, where: str) -> KnownHash:
    """Read one line; names that are not known are ignored.

    Raises:
        ManifestCorrupt: it is not a known SHA-256.
    """
    row = _decoded(line, where)
    try:
        return KnownHash(_text(row["k"]), _text(row["o"]), _sha256(row["h"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestCorrupt(f"{where} is not a known SHA-256: {error!r}", where=where) from error


def combined(proofs: Iterable[Proof]) -> Proof:
    """Return what several proofs of one object say together: the latest look counts, the first SHA-256 stays.

    The first one, because a later reading was compared with it where it was known. Where it was not (two
    verifications at once), the next reading tells which of both is wrong.
    """
    by_time = sorted(proofs, key=_latest)
    newest = by_time[-1]
    first = next((each.sha256 for each in by_time if each.sha256 is not None), None)
    read_at = max((each.read_at for each in by_time if each.read_at is not None), default=None)
    return replace(newest, sha256=first, read_at=read_at)


def merged_proofs(*sources: Iterable[Proof]) -> Iterator[Proof]:
    """Merge streams of proofs, each ascending by name, into one with every name once."""
    for _, group in groupby(merge(*sources, key=attrgetter("name")), key=attrgetter("name")):
        found = list(group)
        yield found[0] if len(found) == 1 else combined(found)


def updated_proofs(known: Iterable[Proof], fresh: Iterable[Proof]) -> Iterator[Proof]:
    """Merge what was known with what was found out knowing it: that counts, whatever times say, but the SHA-256 stays.

    Args:
        known: ascending by name, each name once.
        fresh: of some of the same objects or others, likewise.
    """
    for _, group in groupby(merge(known, fresh, key=attrgetter("name")), key=attrgetter("name")):
        *before, latest = group
        yield replace(latest, sha256=before[0].sha256 or latest.sha256) if before else latest


def merged_hashes(*sources: Iterable[KnownHash]) -> Generator[KnownHash]:
    """Merge streams of known SHA-256, each ascending by file; of a file every object is there once."""
    for _, group in groupby(merge(*sources, key=attrgetter("file")), key=attrgetter("file")):
        of_file: dict[str, KnownHash] = {}
        for known in group:
            of_file.setdefault(known.name, known)
        yield from of_file.values()


def with_known_hashes(entries: Iterable[FileEntry], known: Iterable[KnownHash]) -> Iterator[FileEntry]:
    """Fill in the SHA-256 of copies made by the store that a manifest does not know yet.

    Args:
        entries: of a manifest, or any part of one, ascending.
        known: what verifications found out, ascending by file.
    """
    hashes = iter(known)
    here = next(hashes, None)
    for entry in entries:
        while here is not None and here.file < entry.key:
            here = next(hashes, None)
        where = entry.location
        if entry.sha256 is None and isinstance(where, Copied):
            found: str | None = None
            while here is not None and here.file == entry.key:
                found = here.sha256 if here.name == where.identity else found
                here = next(hashes, None)
            if found is not None:
                entry = replace(entry, sha256=found)
        yield entry


def _latest(proof: Proof) -> tuple[int, bool]:
    # At the same second damage wins, and the object is read once more.
    return max(proof.read_at or 0, proof.damaged_at or 0), proof.damaged_at is not None


def _decoded(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ManifestCorrupt(f"{where} is not JSON", where=where) from error
    if not isinstance(row, dict):
        raise ManifestCorrupt(f"{where} is not a JSON object", where=where)
    return row


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _sha256(value: Any) -> str:
    if not _SHA256.fullmatch(_text(value)):
        raise ValueError(f"{value!r} is not a SHA-256")
    return value


def _time(row: dict[str, Any], name: str) -> int | None:
    if name not in row:
        return None
    if type(row[name]) is not int:
        raise TypeError(f"{row[name]!r} is no time")
    return row[name]
