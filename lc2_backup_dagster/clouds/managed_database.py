"""The managed-database port: what a provider's database service can do that its server cannot.

A provider's snapshot never leaves its cloud (R-3): it is a backup of kind ``snapshot`` whose data the repository does
not hold. It is chosen only where the server offers neither block increments nor archived WAL.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ManagedCapabilities:
    """What a provider's service can do for one database server.

    Attributes:
        snapshots: ``create_snapshot`` makes a snapshot on request.
        point_in_time: the service itself keeps WAL and can restore any moment of its own horizon.
    """

    snapshots: bool
    point_in_time: bool = False


@dataclass(frozen=True, slots=True)
class ProviderSnapshot:
    """A finished snapshot.

    Attributes:
        snapshot_id: the provider's id, with which it can be restored.
        taken_at: the moment its data is of, by the provider's clock, UTC.
        location: the account and region it lies in, for people.
        size_bytes: what the provider says it holds, or None.
        encrypted: whether the provider says that it is encrypted at rest.
    """

    snapshot_id: str
    taken_at: datetime
    location: str
    size_bytes: int | None
    encrypted: bool


class ManagedDatabase(Protocol):
    """One database server as its provider's service sees it."""

    @property
    def capabilities(self) -> ManagedCapabilities:
        """What can be done; asked before anything is tried."""
        ...

    def create_snapshot(self, name: str) -> ProviderSnapshot:
        """Make a snapshot and wait until it can be restored. Idempotent for one name.

        Raises:
            TransientError: the service cannot be reached, or did not finish in its time.
            AccessDenied: the service refuses the role.
        """
        ...

    def has_snapshot(self, snapshot_id: str) -> bool:
        """Tell whether a snapshot is still there; a refusal or an outage is raised, never taken for absence."""
        ...
