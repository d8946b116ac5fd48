"""What a store with the capability ``posix`` does beyond the port: links, folders, owners, modes and times.

A restore into such a store writes files through ``dressed`` stores, links by ``put_link``; folders are made before what
lies in them and finished after it, because a write into a folder changes its time and a read-only one takes none.
"""

from datetime import datetime
from typing import Protocol, runtime_checkable

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, PosixFacts


@runtime_checkable
class PosixStore(Protocol):
    """Writes what other stores cannot hold. What this process may not set is left; the answers tell what is there."""

    def ids_of(self, facts: PosixFacts, /) -> tuple[int, int]:
        """Return the numbers of owner and group on this machine: by name where it knows the name, else as they are."""
        ...

    def attainable(self, facts: PosixFacts, /) -> PosixFacts:
        """Return what a file or link would have of the facts if this process wrote it now; names are those of here.

        Where it is not known for sure it is what was asked for.
        """
        ...

    def dressed(self, facts: PosixFacts, modified: datetime) -> ObjectStore:
        """Return the same store, whose writes give a file these facts and this time before it appears."""
        ...

    def put_link(self, key: str, facts: PosixFacts, *, modified: datetime, create_only: bool) -> ObjectInfo:
        """Make a symbolic link, or put it in the place of a file or another link.

        Raises:
            AlreadyExists: ``create_only`` and the key is taken.
            KeyNotRepresentable: something above it is no folder, or a folder lies at the key.
        """
        ...

    def make_folder(self, key: str, *, take_over: bool) -> bool:
        """Make a folder that only this process may enter until ``finish_folder``.

        Args:
            key: with its slash at the end.
            take_over: also make a folder that is there already writable for its owner, who is asking.

        Returns:
            Whether the folder waits for ``finish_folder``: made now or by a restore that broke off, or taken over.

        Raises:
            KeyNotRepresentable: something else than a folder lies there or above.
        """
        ...

    def finish_folder(self, key: str, facts: PosixFacts, *, modified: datetime) -> ObjectInfo:
        """Give a folder its owner, mode and time, as far as this process may, and return what it has now."""
        ...


def posix_store(store: ObjectStore) -> PosixStore | None:
    """Return the store as one that holds links and folders, or None when it does not."""
    return store if store.capabilities.posix and isinstance(store, PosixStore) else None
