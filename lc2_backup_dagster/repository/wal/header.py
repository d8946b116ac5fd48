"""The line in front of every WAL object, and the small signed documents beside them.

A reader without the commit log believes nothing but what proves itself: so where a site is encrypted, the header and
the documents carry an HMAC under the site's log key, bound to the object's own key, and what has none is refused.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import ConfigurationError, FormatNotSupported, PartCorrupt
from lc2_backup_dagster.repository import canonical, layout
from lc2_backup_dagster.repository.wal.names import lsn_text, lsn_value

HEADER_LIMIT_BYTES = 4096
"""Longest first line; a reader that finds no line feed within it reads no further."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Every commit before server time ``time`` lies at or before the WAL position ``lsn``."""

    lsn: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Position:
    """How far a system's WAL is archived, and until when.

    Attributes:
        timeline: the timeline of ``sample``.
        sample: everything up to its position was durable when this was written.
    """

    timeline: int
    sample: Sample


@dataclass(frozen=True, slots=True)
class WalGap:
    """WAL that the server had discarded before it was archived; it is missing for ever.

    Attributes:
        timeline: the timeline of ``until_lsn``.
        from_lsn: first missing position.
        until_lsn: first position that the archive goes on with.
    """

    timeline: int
    from_lsn: int
    until_lsn: int


@dataclass(frozen=True, slots=True)
class WalHeader:
    """What the first line of a WAL object says.

    Attributes:
        key_id: data key the content is sealed with, or None where the site is not encrypted.
        plain_bytes: length of the content.
        plain_sha256: hex SHA-256 of the content.
        stored_bytes: length of the sealed bytes behind the line.
        stored_sha256: hex SHA-256 of the sealed bytes.
        samples: the first and the last observed within the content; one, or none, when no more were.
    """

    key_id: str | None
    plain_bytes: int
    plain_sha256: str
    stored_bytes: int
    stored_sha256: str
    samples: tuple[Sample, ...]


class WalSigner:
    """Signs and proves headers and documents.

    Args:
        repository_id: bound into everything signed.
        key_id: the data key whose log key signs, or None where encryption is off.
        log_keys: mapping of key id → HMAC key; empty where encryption is off.
    """

    def __init__(self, *, repository_id: str, key_id: str | None, log_keys: Mapping[str, bytes]) -> None:
        self._repository_id = repository_id
        self._key_id = key_id
        self._log_keys = log_keys

    def sign(self, fields: Mapping[str, Any], *, key: str) -> bytes:
        """Return the canonical JSON of a document that will lie at ``key``."""
        whole = {**fields, "format": layout.FORMAT_VERSION, "key_id": self._key_id}
        whole["hmac"] = self._authenticate(whole, key, self._key_id) if self._key_id else None
        return canonical.encode(whole)

    def prove(self, data: bytes, *, key: str) -> dict[str, Any]:
        """Read a document and prove that it was written for this place.

        Raises:
            PartCorrupt: unreadable, changed, moved, or unsigned although the site is encrypted.
            FormatNotSupported: written in a newer format.
        """
        try:
            fields = canonical.decode_object(data)
            if canonical.encode(fields) != data:
                raise ValueError("not in canonical form")
            version, key_id, claimed = fields["format"], fields["key_id"], fields.pop("hmac")
        except (ValueError, KeyError, TypeError) as error:
            raise PartCorrupt(f"{key} is not a WAL object of ours: {error}", key=key) from error
        if version != layout.FORMAT_VERSION:
            raise FormatNotSupported(f"{key} has format {version}", hint="use a newer lc2-backup")
        if key_id is None and self._key_id is None:
            return fields
        if key_id is None:
            raise PartCorrupt(
                f"{key} is neither encrypted nor signed, though this site is encrypted",
                hint="WAL archived before encryption was turned on is not replayed; start from a newer full backup",
                key=key,
            )
        if key_id not in self._log_keys:
            raise PartCorrupt(f"{key} was sealed with data key {key_id}, which this site does not have", key=key)
        if not hmac.compare_digest(str(claimed), self._authenticate(fields, key, key_id)):
            raise PartCorrupt(
                f"{key} has a wrong HMAC: it was moved, or changed by someone without the key",
                hint="look for the right object among the bucket's older versions",
                key=key,
            )
        return fields

    def _authenticate(self, fields: Mapping[str, Any], key: str, key_id: str) -> str:
        message = f"lc2-backup/1 wal\n{self._repository_id}\n{key}\n".encode() + canonical.encode(fields)
        return hmac.new(self._log_keys[key_id], message, hashlib.sha256).hexdigest()


def encode_header(signer: WalSigner, header: WalHeader, *, key: str) -> bytes:
    """Return the first line of an object, with its line feed."""
    fields = {
        "plain_bytes": header.plain_bytes,
        "plain_sha256": header.plain_sha256,
        "stored_bytes": header.stored_bytes,
        "stored_sha256": header.stored_sha256,
        "samples": [[lsn_text(each.lsn), to_text(each.time)] for each in header.samples],
    }
    return signer.sign(fields, key=key) + b"\n"


def split_object(signer: WalSigner, start: bytes, *, key: str) -> tuple[WalHeader, int]:
    """Read the header from the beginning of an object and say where the sealed bytes begin.

    Raises:
        PartCorrupt: there is no header, or it was changed or moved.
        FormatNotSupported: written in a newer format.
    """
    end = start.find(b"\n", 0, HEADER_LIMIT_BYTES)
    if end < 0:
        raise PartCorrupt(f"{key} has no header", key=key)
    fields = signer.prove(start[:end], key=key)
    try:
        header = WalHeader(
            key_id=fields["key_id"],
            plain_bytes=int(fields["plain_bytes"]),
            plain_sha256=str(fields["plain_sha256"]),
            stored_bytes=int(fields["stored_bytes"]),
            stored_sha256=str(fields["stored_sha256"]),
            samples=tuple(sample(each) for each in fields["samples"]),
        )
    except (ValueError, KeyError, TypeError, ConfigurationError) as error:
        raise PartCorrupt(f"the header of {key} is unreadable: {error!r}", key=key) from error
    return header, end + 1


def sample(value: Sequence[str]) -> Sample:
    """Read a pair of position and time.

    Raises:
        ValueError: not a pair, or its position is none.
        ConfigurationError: its time is none.
    """
    lsn, time = value
    return Sample(lsn_value(lsn), from_text(time))
