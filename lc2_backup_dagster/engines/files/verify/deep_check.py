"""The reading of one stored object, and what it says: whole, damaged, gone, or nothing at all.

Unknown is not damage: a refused object says nothing about its bytes, and an outage ends the verification (L-28).
"""

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lc2_backup_dagster.engines.files.capture.source import Patience
from lc2_backup_dagster.engines.files.ports import SiteObjects
from lc2_backup_dagster.engines.files.verify.needed import NeededObject
from lc2_backup_dagster.model.errors import AccessDenied, IntegrityError, ObjectNotFound
from lc2_backup_dagster.repository.canonical import sha256

READ_BYTES = 1024 * 1024
"""Piece in which a copy made by the store is read."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one object.

    Attributes:
        needed: the object.
        damage: what is wrong with it, or None.
        missing: whether it is gone.
        refused: why it could not be read, or None; nothing is known of it then.
        sha256: of a copy made by the store that was read whole.
        etag: what the store calls that copy now.
    """

    needed: NeededObject
    damage: str | None = None
    missing: bool = False
    refused: str | None = None
    sha256: str | None = None
    etag: str | None = None


class DeepCheck:
    """Reads stored objects; safe to use from several threads.

    Args:
        repository: where they are.
        patience: how often things are tried again.
    """

    def __init__(self, repository: SiteObjects, patience: Patience) -> None:
        self._repository = repository
        self._patience = patience

    def __call__(self, needed: NeededObject, known_sha256: str | None) -> Checked:
        """Read one object.

        Args:
            needed: what is promised of it.
            known_sha256: what an earlier verification read in a copy made by the store.

        Raises:
            StoreUnavailable: all tries failed; nothing is known.
        """
        try:
            if needed.part is None:
                return self._patience.through_outages(lambda: self._copied(needed, known_sha256))
            return self._patience.through_outages(lambda: self._sealed(needed))
        except IntegrityError as error:
            return Checked(needed, error.message)
        except ObjectNotFound:
            return Checked(needed, "it is gone", missing=True)
        except AccessDenied as error:
            return Checked(needed, refused=error.message)

    def _sealed(self, needed: NeededObject) -> Checked:
        assert needed.part is not None
        plain = self._repository.read_sealed(needed.key, needed.part, key_id=needed.key_id)
        for use in needed.uses:
            content = plain[use.offset : use.offset + use.size_bytes]
            if use.sha256 is not None and sha256(content) != use.sha256:
                return Checked(needed, f"it holds other bytes for {use.file!r} than its SHA-256 promises")
        return Checked(needed)

    def _copied(self, needed: NeededObject, known_sha256: str | None) -> Checked:
        use = needed.uses[0]
        digest, own, count = hashlib.sha256(), _checksum_of(needed.checksum), 0
        with self._repository.store.open(needed.key) as reader:
            etag = reader.info.etag
            while piece := reader.read(READ_BYTES):
                digest.update(piece)
                if own is not None:
                    own.update(piece)
                count += len(piece)
        if count != use.size_bytes:
            return Checked(needed, f"it holds {count} bytes, promised {use.size_bytes}")
        found = digest.hexdigest()
        if use.sha256 is not None and found != use.sha256:
            return Checked(needed, "it holds other bytes than its SHA-256 promises")
        if known_sha256 is not None and found != known_sha256:
            return Checked(needed, "it holds other bytes than when it was read before")
        if own is not None and own.hexdigest() != _value(needed.checksum):
            return Checked(needed, f"it holds other bytes than the store copied: not {needed.checksum}")
        proven = use.sha256 is not None or known_sha256 is not None or own is not None
        if not proven and needed.etag is not None and etag != needed.etag:
            return Checked(needed, f"its etag is {etag} instead of {needed.etag}, and no SHA-256 proves its bytes")
        return Checked(needed, sha256=found, etag=etag)


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc:
    def __init__(self, extend: Callable[[int, bytes], int]) -> None:
        self._extend = extend
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._extend(self._value, data)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _crc32c() -> _Digest:
    from google_crc32c import extend

    return _Crc(extend)


_CHECKSUMS: dict[str, Callable[[], _Digest]] = {
    "sha256": hashlib.sha256,
    "crc32": lambda: _Crc(lambda value, data: zlib.crc32(data, value)),
    "crc32c": _crc32c,
}


def _checksum_of(told: str | None) -> _Digest | None:
    """Return what computes the store's own checksum, or None where there is none that we know."""
    make = _CHECKSUMS.get((told or "").partition(":")[0])
    return make() if make else None


def _value(told: str | None) -> str:
    return (told or "").partition(":")[2]
