"""Canonical JSON and SHA-256: two writers that mean the same write the same bytes."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast


def encode(value: object) -> bytes:
    """Return ASCII JSON with sorted names and no white space (FORMAT.md, "Canonical JSON").

    ASCII, because names of files need not be UTF-8: what stands for such bytes (lone surrogates) has an escape only.

    Raises:
        TypeError: the value holds a fraction; two languages write the same fraction differently.
    """
    _refuse_fractions(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def _refuse_fractions(value: object) -> None:
    if isinstance(value, float):
        raise TypeError(f"canonical JSON holds no fractions: {value}")
    if isinstance(value, Mapping):
        for each in cast(Mapping[str, object], value).values():
            _refuse_fractions(each)
    elif isinstance(value, list | tuple):
        for each in cast(list[object], value):
            _refuse_fractions(each)


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
