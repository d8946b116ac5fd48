"""What a server must offer for base backups and for streaming WAL: rights, settings, room, healthy slots."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.servers.facts import ServerFacts
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.wal.slot import SlotHealth as KeptWal
from lc2_backup_dagster.engines.postgres.wal.slot import read_limits, read_slot
from lc2_backup_dagster.model.errors import ConfigurationError, MissingPrivilege, ServerUnavailable, StorageFull
from lc2_backup_dagster.model.sizes import readable_bytes

if TYPE_CHECKING:
    import psycopg

# one for the slot that holds the WAL, one for the backup itself
_WAL_SENDERS_NEEDED = 2
# Indexes and manifest have about 400 bytes per file of the cluster: room for 150,000 files.
_SCRATCH_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class SlotHealth:
    """How a replication slot is doing.

    Attributes:
        name: its name.
        active: something streams from it now.
        wal_status: ``reserved``, ``extended``, ``unreserved`` or ``lost``; None before it has reserved anything.
        retained_bytes: WAL that the server keeps for it; 0 before it has reserved anything.
        safe_bytes: how much more may be written before it is in danger; None for no limit.
        remedy: what a person has to do, None while it is healthy.
    """

    name: str
    active: bool
    wal_status: str | None
    retained_bytes: int
    safe_bytes: int | None
    remedy: str | None


def check_physical(
    connection: "psycopg.Connection[Any]", server: Server, facts: ServerFacts, *, may_replicate: bool
) -> None:
    """Check that a base backup can succeed; ``preflight.check_server`` says which errors it raises."""
    if not may_replicate:
        raise MissingPrivilege(
            f"{server} lacks the REPLICATION attribute, which a base backup needs",
            hint=f'ALTER ROLE "{server.user}" REPLICATION',
        )
    if facts.wal_level == "minimal":
        raise ConfigurationError(
            f"{server} runs with wal_level=minimal, a base backup needs 'replica'",
            hint="set wal_level = replica in postgresql.conf and restart the server",
        )
    row = connection.execute(
        """
        SELECT current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication),
               current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots)
        """
    ).fetchone()
    assert row is not None
    _check_room("max_wal_senders", server=server, limit=row[0], used=row[1], needed=_WAL_SENDERS_NEEDED)
    _check_room("max_replication_slots", server=server, limit=row[2], used=row[3], needed=1)


def check_scratch(directory: Path, *, parent_manifest: Path | None = None) -> None:
    """Check that indexes and manifest have room; where there was a backup before, by the size of its manifest.

    Raises:
        StorageFull: the directory's file system has too little space.
    """
    # the new manifest, about as long as the last one, and the indexes, about as long again
    needed = _SCRATCH_BYTES if parent_manifest is None else max(_SCRATCH_BYTES, 3 * parent_manifest.stat().st_size)
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise StorageFull(
            f"{directory} has {free} bytes free, a base backup's index and manifest may need {needed}",
            hint="free space or name another scratch directory",
        )


def slot_health(server: Server, slot: str) -> SlotHealth | None:
    """Ask how a replication slot is doing; None when there is no such slot. Any role may ask.

    Raises:
        ConfigurationError: it is a slot of logical replication.
        ServerUnavailable: the server cannot be reached.
    """
    with server.connect() as connection:
        found, keep_bytes = read_slot(connection, slot, server=server), read_limits(connection).keep_bytes
    if found is None:
        return None
    return SlotHealth(
        name=slot,
        active=found.user is not None,
        wal_status=found.wal_status,
        retained_bytes=found.lag_bytes,
        safe_bytes=found.safe_wal_bytes,
        remedy=_remedy(slot, found, keep_bytes),
    )


def _remedy(slot: str, found: KeptWal, keep_bytes: int | None) -> str | None:
    keep = "-1" if keep_bytes is None else readable_bytes(keep_bytes)
    if found.wal_status == "lost":
        return (
            f"the server has discarded WAL of slot '{slot}': SELECT pg_drop_replication_slot('{slot}'), "
            f"take a full backup, and raise max_slot_wal_keep_size (now {keep})"
        )
    # at a segment's border the status lags behind the number
    if found.wal_status == "unreserved" or (found.safe_wal_bytes is not None and found.safe_wal_bytes <= 0):
        return f"a checkpoint may discard WAL of slot '{slot}': raise max_slot_wal_keep_size (now {keep}) and reload"
    if found.user is None:
        return f"nothing streams from slot '{slot}', so the server's WAL grows: start lc2-backup wal-receive"
    if found.wal_status == "extended" and keep_bytes is not None:
        return f"slot '{slot}' holds more than max_wal_size: see why the receiver is behind before {keep} are full"
    return None


def _check_room(setting: str, *, server: Server, limit: int, used: int, needed: int) -> None:
    if limit < needed:
        raise ConfigurationError(
            f"{server} has {setting}={limit}, a base backup needs {needed}",
            hint=f"raise {setting} in postgresql.conf and restart the server",
        )
    if limit - used < needed:
        raise ServerUnavailable(
            f"{server} uses {used} of {setting}={limit}, a base backup needs {needed} free",
            hint=f"wait for the others, or raise {setting}",
        )
