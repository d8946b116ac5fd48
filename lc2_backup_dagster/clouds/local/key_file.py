"""A key-encryption key in a file: one line, the base64 text of 32 random bytes."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from lc2_backup_dagster.model.errors import AlreadyExists, ConfigurationError, WrongKey

_NONCE_BYTES = 12


class KeyFile:
    """Wraps data keys with AES-256-GCM under the key of a file (NIST SP 800-38D, random 96-bit nonces)."""

    algorithm = "AES-256-GCM"

    def __init__(self, key: bytes, *, place: str) -> None:
        self._key = key
        self.place = place
        self.key_id = hmac.new(key, b"lc2-backup key id", hashlib.sha256).hexdigest()[:16]

    @classmethod
    def read(cls, path: Path) -> "KeyFile":
        """Read a key file.

        Raises:
            ConfigurationError: absent, unreadable, or not the base64 text of 32 bytes.
        """
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"key file {path} does not exist",
                hint=f"restore it from your safe, or make one: lc2-backup keygen {path}",
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"key file {path} cannot be read: {error}") from error
        try:
            key = base64.b64decode(text, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != 32:
            raise ConfigurationError(
                f"key file {path} does not hold the base64 text of 32 bytes", hint="make one with lc2-backup keygen"
            )
        return cls(key, place=f"key file {path}")

    @classmethod
    def create(cls, path: Path) -> "KeyFile":
        """Write a new random key, readable by its owner only; never replaces a file.

        Raises:
            AlreadyExists: the file exists.
        """
        key = secrets.token_bytes(32)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise AlreadyExists(
                f"key file {path} exists", hint="a key is never overwritten; name another file"
            ) from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return cls(key, place=f"key file {path}")

    def wrap(self, plain: bytes, *, associated_data: bytes) -> bytes:
        """Return nonce and ciphertext, one after the other."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, plain, associated_data)

    def unwrap(self, wrapped: bytes, *, associated_data: bytes) -> bytes:
        """Return what ``wrap`` was given.

        Raises:
            WrongKey: this key did not wrap it, or the bytes were changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], associated_data)
        except (InvalidTag, ValueError) as error:
            raise WrongKey(f"the key of {self.place} (id {self.key_id}) does not open this data key") from error
