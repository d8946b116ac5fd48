"""Small JSON documents of a running attempt: sealed like all contents, written once, proven by their own hash."""

import json
from typing import Any, cast

from lc2_backup_dagster.engines.files.ports import CapturingAttempt, SiteObjects
from lc2_backup_dagster.model.errors import ManifestCorrupt, ObjectNotFound
from lc2_backup_dagster.repository.canonical import sha256


def write_document(attempt: CapturingAttempt, key: str, body: dict[str, Any]) -> None:
    """Write a document; an equal one at the key is accepted.

    Raises:
        PartCorrupt: another document lies at the key.
    """
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")
    attempt.put_sealed(key, text + b"\n" + sha256(text).encode("ascii") + b"\n")


def read_document(repository: SiteObjects, key: str) -> dict[str, Any] | None:
    """Read a document, or return None when there certainly is none.

    Raises:
        PartCorrupt: it does not open: it was changed, or belongs to another place.
        ManifestCorrupt: it is not what was written.
    """
    try:
        stored = repository.store.get(key)
    except ObjectNotFound:
        return None
    plain = repository.sealer.unseal(stored, key=key, key_id=repository.sealer.key_id)
    text, _, trailer = plain.partition(b"\n")
    if trailer != sha256(text).encode("ascii") + b"\n":
        raise ManifestCorrupt(f"{key} in {repository.store.url} is cut or damaged", key=key)
    return cast(dict[str, Any], json.loads(text))
