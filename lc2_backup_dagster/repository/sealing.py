"""One object sealed: compressed with zstd, then encrypted; and opened again.

The associated data of every object is the repository's id and the object's own key, so an object that was moved,
swapped or copied from another repository does not open.
"""

import io
from dataclasses import dataclass
from typing import Any, Protocol

from lc2_backup_dagster.model.errors import PartCorrupt

CIPHER = "AES256_GCM_HKDF_1MB"
COMPRESSION = "zstd"


class Sealer(Protocol):
    """Seals and opens the objects of one site."""

    @property
    def key_id(self) -> str | None:
        """The data key new objects are sealed with, or None where encryption is off."""
        ...

    def seal(self, plain: bytes, *, key: str) -> bytes:
        """Return the stored form of an object that will lie at ``key``."""
        ...

    def unseal(self, stored: bytes, *, key: str, key_id: str | None) -> bytes:
        """Return the plain form.

        Args:
            stored: the object's bytes.
            key: where it lies.
            key_id: the data key it was sealed with, or None for an object written while encryption was off.

        Raises:
            PartCorrupt: it does not open; the message names the key.
        """
        ...


@dataclass(frozen=True, slots=True)
class ZstdSealer:
    """Compression without encryption, for sites that turned encryption off."""

    level: int = 3
    key_id: str | None = None

    def seal(self, plain: bytes, *, key: str) -> bytes:
        """Return one zstd frame with its content size and checksum."""
        return _compress(plain, self.level)

    def unseal(self, stored: bytes, *, key: str, key_id: str | None) -> bytes:
        """Return the content of the frame."""
        if key_id is not None:
            raise PartCorrupt(
                f"{key} was sealed with data key {key_id}, but encryption is off for this site",
                hint="name the site's key in its file; turning encryption off does not open what was encrypted",
                key=key,
            )
        return _decompress(stored, key)


class TinkSealer:
    """Compression and Tink streaming AEAD under the site's data keys.

    Args:
        repository_id: part of every object's associated data.
        primitives: mapping of key id → Tink ``StreamingAead`` primitive; old ids stay readable.
        key_id: the id that seals new objects.
        level: zstd level.
    """

    def __init__(self, *, repository_id: str, primitives: dict[str, Any], key_id: str, level: int = 3) -> None:
        self._repository_id = repository_id
        self._primitives = primitives
        self._key_id = key_id
        self._level = level

    @property
    def key_id(self) -> str:
        """The data key new objects are sealed with."""
        return self._key_id

    def seal(self, plain: bytes, *, key: str) -> bytes:
        """Return the encrypted zstd frame."""
        target = _KeptOpen()
        with self._primitives[self._key_id].new_encrypting_stream(target, self._associated_data(key)) as stream:
            stream.write(_compress(plain, self._level))
        return target.getvalue()

    def unseal(self, stored: bytes, *, key: str, key_id: str | None) -> bytes:
        """Return the plain bytes; authenticated, but for objects written while encryption was off.

        Raises:
            PartCorrupt: changed, truncated, moved, or sealed with another key.
        """
        from tink import TinkError

        if key_id is None:
            return _decompress(stored, key)
        primitive = self._primitives.get(key_id)
        if primitive is None:
            raise PartCorrupt(f"{key} was sealed with data key {key_id}, which this site does not have", key=key)
        try:
            with primitive.new_decrypting_stream(io.BytesIO(stored), self._associated_data(key)) as stream:
                frame = stream.read()
        except TinkError as error:
            raise PartCorrupt(
                f"{key} does not decrypt: it was changed, cut or moved",
                hint="run lc2-backup verify to learn what else is damaged",
                key=key,
            ) from error
        return _decompress(frame, key)

    def _associated_data(self, key: str) -> bytes:
        return associated_data(self._repository_id, key)


def associated_data(repository_id: str, key: str) -> bytes:
    """Return what binds a sealed object to its place (FORMAT.md, "Sealed objects")."""
    return f"lc2-backup/1\n{repository_id}\n{key}".encode()


class _KeptOpen(io.BytesIO):
    """Tink closes what it wrote to; the bytes are needed afterwards."""

    def close(self) -> None:
        """Stay open."""


def _compress(plain: bytes, level: int) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=level, write_content_size=True, write_checksum=True).compress(plain)


def _decompress(frame: bytes, key: str) -> bytes:
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompress(frame)
    except zstandard.ZstdError as error:
        raise PartCorrupt(f"{key} does not decompress: {error}", key=key) from error
