"""The key port: something outside the repository that wraps and unwraps the repository's data keys."""

from typing import Protocol


class KeyWrapper(Protocol):
    """A key-encryption key: a key file, Vault, or a cloud's key service."""

    @property
    def algorithm(self) -> str:
        """The wrapping algorithm as FORMAT.md names it."""
        ...

    @property
    def key_id(self) -> str:
        """A public name of the key that tells two keys apart and reveals nothing of either."""
        ...

    @property
    def place(self) -> str:
        """Where the key comes from, for messages."""
        ...

    def wrap(self, plain: bytes, *, associated_data: bytes) -> bytes:
        """Encrypt a data key."""
        ...

    def unwrap(self, wrapped: bytes, *, associated_data: bytes) -> bytes:
        """Decrypt a data key.

        Raises:
            WrongKey: this key did not wrap it, or the wrapped bytes were changed.
        """
        ...
