"""One record of the commit log: its fields, its bytes, its place in the hash chain."""

import hashlib
import hmac
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from lc2_backup_dagster.model.errors import FormatNotSupported, LogCorrupt
from lc2_backup_dagster.repository import canonical, layout

NO_RECORD = "0" * 64


class RecordType(StrEnum):
    """What a record says. The values are persisted."""

    BEGIN = "begin"
    COMMIT = "commit"
    ABORT = "abort"
    HOLD = "hold"
    RELEASE = "release"
    EXPIRE = "expire"
    UNDELETE = "undelete"
    PURGE = "purge"
    REENCRYPT = "reencrypt"
    RESTORE = "restore"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Initiator:
    """Who asked for something, and from where.

    Attributes:
        actor: a person, a schedule or a sensor.
        source: ``ui``, ``schedule``, ``backfill``, ``cli``, ``request`` or ``demo``.
        run_id: the orchestrator's run, or None.
        host: the machine that does it.
    """

    actor: str
    source: str
    run_id: str | None = None
    host: str | None = None

    def __str__(self) -> str:
        run = f", run {self.run_id}" if self.run_id else ""
        return f"{self.actor} ({self.source}{run}, host {self.host or 'unknown'})"


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it stands in the log.

    Attributes:
        sequence: position, from 1 without gaps.
        type: what it says.
        time: when, by the writer's clock, RFC 3339 UTC. Order comes from ``sequence``, never from time.
        initiator: who.
        body: what, by type (FORMAT.md, "Commit log").
        previous_sha256: SHA-256 of the bytes of the record before, zeros for the first.
        sha256: SHA-256 of this record's own bytes.
    """

    sequence: int
    type: RecordType
    time: str
    initiator: Initiator
    body: dict[str, Any]
    previous_sha256: str
    sha256: str


def encode_record(
    *,
    repository_id: str,
    site: str,
    sequence: int,
    type: RecordType,  # the field's name in the format
    time: str,
    initiator: Initiator,
    body: dict[str, Any],
    previous_sha256: str,
    key_id: str | None,
    log_keys: dict[str, bytes],
) -> bytes:
    """Return the bytes of a record, authenticated by the HMAC of ``key_id`` where the site has one."""
    fields: dict[str, Any] = {
        "format": layout.FORMAT_VERSION,
        "repository_id": repository_id,
        "site": site,
        "sequence": sequence,
        "type": str(type),
        "time": time,
        "initiator": asdict(initiator),
        "body": body,
        "previous_sha256": previous_sha256,
        # Two writers that mean the same must not write the same: reading back tells who won by the bytes.
        "nonce": secrets.token_hex(8),
        "key_id": key_id,
    }
    fields["hmac"] = _authenticate(fields, log_keys[key_id]) if key_id else None
    return canonical.encode(fields)


def decode_record(
    data: bytes,
    *,
    repository_id: str,
    site: str,
    sequence: int,
    previous_sha256: str,
    log_keys: dict[str, bytes],
    signed_from: int | None,
) -> Record:
    """Read and prove one record: its place, its chain, its HMAC.

    Args:
        data: the stored bytes.
        repository_id: the repository it must belong to.
        site: the site it must belong to.
        sequence: the place it was found at.
        previous_sha256: hash of the record before it.
        log_keys: mapping of key id → HMAC key; empty when the reader has no key, then HMACs are not checked.
        signed_from: sequence from which on an unsigned record is a forgery, or None when the reader has no key.

    Raises:
        LogCorrupt: unreadable, foreign, out of place, chain broken, or forged.
        FormatNotSupported: a newer format or an unknown type.
    """
    where = f"record {sequence} of the log of {site}"
    try:
        fields = canonical.decode_object(data)
        if canonical.encode(fields) != data:
            raise LogCorrupt(f"{where} is not in canonical form: it was changed", sequence=sequence)
        version, claimed = fields["format"], fields.pop("hmac")
        if version != layout.FORMAT_VERSION:
            raise FormatNotSupported(f"{where} has format {version}", hint="use a newer lc2-backup")
        place = (fields["repository_id"], fields["site"], fields["sequence"])
        kind = fields["type"]
        initiator = Initiator(**fields["initiator"])
        body, time, key_id, previous = fields["body"], fields["time"], fields["key_id"], fields["previous_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise LogCorrupt(f"{where} is unreadable: {error}", sequence=sequence) from error
    if place != (repository_id, site, sequence):
        raise LogCorrupt(f"{where} belongs elsewhere: {place[1]} record {place[2]}", sequence=sequence)
    if previous != previous_sha256:
        raise LogCorrupt(f"{where} does not follow the record before it: the hash chain is broken", sequence=sequence)
    if log_keys:
        if key_id is None and signed_from is not None and sequence >= signed_from:
            raise LogCorrupt(f"{where} is not signed, though this site's records are: it is forged", sequence=sequence)
        if key_id is not None and key_id not in log_keys:
            raise LogCorrupt(f"{where} is signed with the unknown key {key_id}", sequence=sequence)
        if key_id is not None and not hmac.compare_digest(str(claimed), _authenticate(fields, log_keys[key_id])):
            raise LogCorrupt(f"{where} has a wrong HMAC: it was changed by someone without the key", sequence=sequence)
    try:
        record_type = RecordType(kind)
    except ValueError as error:
        raise FormatNotSupported(f"{where} has the unknown type '{kind}'", hint="use a newer lc2-backup") from error
    return Record(sequence, record_type, time, initiator, body, previous, canonical.sha256(data))


def _authenticate(fields: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, canonical.encode(fields), hashlib.sha256).hexdigest()
