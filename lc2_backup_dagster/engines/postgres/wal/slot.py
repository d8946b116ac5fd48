"""The receiver's replication slot as the server sees it: what it holds back, and whether that is still safe."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.wal.stream import lost_slot
from lc2_backup_dagster.model.errors import ConfigurationError
from lc2_backup_dagster.model.sizes import readable_bytes

if TYPE_CHECKING:
    import psycopg

_SLOT_SQL = """
    SELECT s.slot_type, s.active_pid, (s.restart_lsn - '0/0'::pg_lsn)::bigint, s.wal_status, s.safe_wal_size,
           (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
             - s.restart_lsn)::bigint,
           a.application_name, host(a.client_addr), a.usename
    FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
    WHERE s.slot_name = %s
"""
_LIMIT_SQL = """
    SELECT (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
           (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
           pg_is_in_recovery()
"""
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SlotHealth:
    """What the server says of a slot.

    Attributes:
        restart_lsn: position from which on the server keeps WAL for it, or None when it keeps none.
        wal_status: ``reserved``, ``extended``, ``unreserved`` or ``lost``; None when it keeps none.
        safe_wal_bytes: WAL that may still be written before the slot is in danger, or None without a limit.
        lag_bytes: WAL behind ``restart_lsn``, which the server cannot remove.
        user: who uses it, for people; None when nobody does.
    """

    restart_lsn: int | None
    wal_status: str | None
    safe_wal_bytes: int | None
    lag_bytes: int
    user: str | None


@dataclass(frozen=True, slots=True)
class WalLimits:
    """What the server's settings mean for a receiver.

    Attributes:
        keep_bytes: most WAL that a slot may hold back, or None for no limit.
        segment_bytes: size of a segment.
        in_recovery: the server is a standby.
    """

    keep_bytes: int | None
    segment_bytes: int
    in_recovery: bool

    @property
    def warning(self) -> str:
        """What an operator should know at the start."""
        if self.keep_bytes is None:
            return (
                "max_slot_wal_keep_size is -1: while WAL cannot be archived the server keeps all of it, "
                "and its disk can fill"
            )
        return (
            f"max_slot_wal_keep_size is {readable_bytes(self.keep_bytes)}: WAL that is not archived when the slot has "
            "fallen behind by so much is lost, and a new full backup is needed"
        )


def read_limits(connection: "psycopg.Connection[Any]") -> WalLimits:
    """Ask a server for its settings."""
    row = connection.execute(_LIMIT_SQL).fetchone()
    assert row is not None
    keep_mebibytes, segment_bytes, in_recovery = row
    return WalLimits(None if keep_mebibytes < 0 else keep_mebibytes * _MEBIBYTE, segment_bytes, in_recovery)


def read_slot(connection: "psycopg.Connection[Any]", name: str, *, server: Server) -> SlotHealth | None:
    """Ask a server for a slot; None when there is none of that name.

    Raises:
        ConfigurationError: it is a slot of logical replication.
    """
    row = connection.execute(_SLOT_SQL, [name]).fetchone()
    if row is None:
        return None
    kind, pid, restart_lsn, wal_status, safe_bytes, lag_bytes, application, address, role = row
    if kind != "physical":
        raise ConfigurationError(
            f"the replication slot '{name}' of {server} is {kind}", hint="name another one in database.wal.slot"
        )
    user = None
    if pid is not None:
        known = [f"'{application}'" if application else None, f"as {role}" if role else None, address or "locally"]
        user = f"process {pid} ({', '.join(each for each in known if each)})" if role else f"process {pid}"
    return SlotHealth(restart_lsn, wal_status, safe_bytes, max(0, lag_bytes or 0), user)


def require_kept(health: SlotHealth, name: str, *, server: Server) -> None:
    """Refuse a slot that the server has invalidated.

    Raises:
        SlotLost: it has.
    """
    if health.wal_status == "lost":
        raise lost_slot(name, server, "it fell behind by more than max_slot_wal_keep_size")


def alarms(health: SlotHealth, *, lag_alarm_bytes: int) -> tuple[str, ...]:
    """Return what is wrong with a slot, in sentences; empty when nothing is. Pure."""
    found: list[str] = []
    if health.wal_status == "lost":
        found.append("slot lost: the server has invalidated it, WAL is missing; take a new full backup")
    elif health.wal_status == "unreserved":
        found.append("slot unreserved: the server removes its WAL at the next checkpoint; archive faster, or raise "
                     "max_slot_wal_keep_size now")  # fmt: skip
    if health.lag_bytes > lag_alarm_bytes:
        found.append(
            f"slot lag {readable_bytes(health.lag_bytes)} is above {readable_bytes(lag_alarm_bytes)}: "
            "the server's disk fills with WAL that is not archived"
        )
    return tuple(found)
