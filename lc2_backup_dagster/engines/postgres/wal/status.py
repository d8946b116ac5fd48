"""What a receiver says of itself while it works."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lc2_backup_dagster.engines.postgres.wal.slot import SlotHealth


class ReceiverState(StrEnum):
    """What it does."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    HELD_BACK = "held back"
    RECONNECTING = "reconnecting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """One look at a receiver.

    Attributes:
        state: what it does. ``held back``: the repository takes nothing, so nothing more is read from the server.
        system_identifier: whose WAL, or None before the server was asked.
        timeline: the timeline being received.
        received: end of what was received.
        durable: end of what is in the repository, proven; the server was told no more than this.
        server_end: how far the server's WAL goes, as it said last.
        restorable_until: every commit before this time is in the repository; None before the first such statement.
        slot: what the server says of the slot.
        alarms: what somebody must look at now, in sentences.
        trouble: why nothing moves just now, or None.
        segments: whole segments stored since the start.
        bytes_stored: their bytes, and those of beginnings.
        on_their_way: objects that are not durable yet.
    """

    state: ReceiverState
    system_identifier: str | None
    timeline: int | None
    received: int
    durable: int
    server_end: int
    restorable_until: datetime | None
    slot: SlotHealth | None
    alarms: tuple[str, ...]
    trouble: str | None
    segments: int
    bytes_stored: int
    on_their_way: int

    @property
    def behind_bytes(self) -> int:
        """WAL that the server has and the repository has not, as far as the server has said."""
        return max(0, self.server_end - self.durable)
