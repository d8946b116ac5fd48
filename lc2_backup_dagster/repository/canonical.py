"""Canonical JSON and SHA-256: two writers that mean the same write the same bytes."""

import hashlib
import json
from typing import Any, cast


def encode(value: object) -> bytes:
    """Return UTF-8 JSON with sorted names and no white space (FORMAT.md, "Canonical JSON")."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: not UTF-8, not JSON, or not an object.
    """
    value = json.loads(data.decode())
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return cast(dict[str, Any], value)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in lower-case hex."""
    return hashlib.sha256(data).hexdigest()
