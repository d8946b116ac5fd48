"""Recover a restored data directory to a target: ends exactly there, or fails.

The server itself replays WAL, stops at the target and begins a new timeline. It is private (``scratch_server``) while
it does so; every setting of the recovery stands on its command line, so nothing of it stays in the directory.

PostgreSQL ends at a target only when it meets a record behind it. A time after the last commit, or the very end of the
archive, is reached all the same when all WAL up to it is there: the server says that it met no record behind the
target, and is then let run to the end of the same WAL.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lc2_backup_dagster.engines.postgres.ports import Progress, no_progress
from lc2_backup_dagster.engines.postgres.restore.settled import owe_recovery
from lc2_backup_dagster.engines.postgres.servers.account import account_owning
from lc2_backup_dagster.engines.postgres.servers.scratch import started
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.wal.spool import WalSource, WalSpool
from lc2_backup_dagster.model.errors import BackupError, TargetUnreachable, ToolFailed
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.recovery_target import RecoveryTarget

# Recovery may replay weeks of WAL; a wait without any end would hang for ever on a broken server (L-28).
_LONGEST_SECONDS = 48 * 3600.0
_NOT_MET = "recovery ended before configured recovery target was reached"
_TOO_EARLY = "before consistent recovery point"
_ASK = """
    SELECT (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint, pg_last_xact_replay_timestamp(),
           ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int,
           ARRAY(SELECT datname::text FROM pg_database WHERE NOT datistemplate ORDER BY 1)
"""


@dataclass(frozen=True, slots=True)
class ArchivedReach:
    """What WAL there is for a recovery.

    Attributes:
        end: its end; the timeline is the one to follow. Of an immediate target the backup's own end.
        segment_bytes: size of a segment.
    """

    end: Lsn
    segment_bytes: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the server said when it had been recovered.

    Attributes:
        end: end of the last record that was replayed, on the timeline that was followed.
        last_commit: time of the last transaction that was replayed in the last run, or None when there was none.
        timeline: the new timeline that the server began.
        databases: names of its databases, without templates.
        met: whether it met a record behind the target; otherwise it ran to the end of WAL that covers the target.
        wal_files: files that were taken from the archive.
        seconds: duration.
    """

    end: Lsn
    last_commit: datetime | None
    timeline: int
    databases: tuple[str, ...]
    met: bool
    wal_files: int
    seconds: float


def recover(
    directory: Path,
    source: WalSource,
    *,
    target: RecoveryTarget,
    reach: ArchivedReach,
    tools_directory: Path | None = None,
    user: str = "postgres",
    fsync: bool = True,
    on_progress: Progress = no_progress,
) -> Recovered:
    """Replay WAL up to a target, let the server begin a new timeline, ask it, and stop it.

    Args:
        directory: a restored directory that was never started; afterwards a stopped server's.
        source: the archived WAL. It must not grow meanwhile: what it once called absent stays absent. The server
            takes the first timeline whose history file it calls absent.
        target: where to end; a time or position must be covered by ``reach``.
        reach: the WAL that is there.
        tools_directory: configured directory of PostgreSQL's programs.
        user: an existing superuser of the cluster.
        fsync: False is faster and fit only for a directory that is thrown away afterwards.
        on_progress: told the bytes of WAL fetched.

    Raises:
        TargetUnreachable: recovery ended before the target, or the target lies before the backup's end.
        ToolFailed: the server did not start.
        BackupError: whatever ``source`` raised.
    """
    began = time.monotonic()
    account = account_owning(directory)
    with WalSpool(source, account=account, segment_bytes=reach.segment_bytes, on_progress=on_progress) as spool:
        settings = {
            "restore_command": spool.restore_command,
            # A number is refused without its history file, which a backup without archived WAL may not have.
            "recovery_target_timeline": "current" if target.kind == "immediate" else str(reach.end.timeline),
            "recovery_target_action": "promote",
        }
        fixed = _target_settings(target)

        def run(extra: dict[str, str]) -> Recovered:
            owe_recovery(directory)
            with started(
                directory, user=user, tools_directory=tools_directory, timeout_seconds=_LONGEST_SECONDS, fsync=fsync,
                settings={**settings, **extra},
            ) as server:  # fmt: skip
                return _ask(server, reach, met=bool(extra), wal_files=len(spool.fetched), began=began)

        try:
            try:
                recovered = run(fixed)
            except ToolFailed as error:
                if _NOT_MET not in error.message or target.kind not in ("time", "lsn") or spool.failure:
                    raise
                recovered = run({})
        except ToolFailed as error:
            raise _understood(error, target, spool) from error
    _check(recovered, target, reach, parent=_parent_timeline(directory, recovered.timeline))
    return recovered


def _target_settings(target: RecoveryTarget) -> dict[str, str]:
    if target.kind == "immediate":
        return {"recovery_target": "immediate"}
    if target.kind == "latest" or target.value is None:
        return {}
    # No zone's name: the server reads its command line before it knows any, not even Z.
    value = f"{target.time:%Y-%m-%d %H:%M:%S.%f}+00" if target.time else target.value
    return {
        f"recovery_target_{target.kind}": value,
        "recovery_target_inclusive": "on" if target.inclusive else "off",
    }


def _ask(server: Server, reach: ArchivedReach, *, met: bool, wal_files: int, began: float) -> Recovered:
    with server.connect() as connection:
        row = connection.execute(_ASK).fetchone()
    assert row is not None
    replayed, last_commit, timeline, databases = row
    if replayed is None:
        raise ToolFailed("the server did not recover: it says that it replayed nothing")
    end = Lsn(replayed, reach.end.timeline)
    return Recovered(end, last_commit, timeline, tuple(databases), met, wal_files, time.monotonic() - began)


def _understood(error: ToolFailed, target: RecoveryTarget, spool: WalSpool) -> BackupError:
    if isinstance(spool.failure, BackupError):
        return spool.failure
    if spool.failure is not None:
        return ToolFailed(f"WAL could not be fetched: {spool.failure!r}")
    if _NOT_MET in error.message:
        return TargetUnreachable(f"the archived WAL ends before the target {target}")
    if _TOO_EARLY in error.message:
        return TargetUnreachable(
            f"the target {target} lies before the end of the backup that was restored",
            hint="start from an earlier backup",
        )
    return error


def _parent_timeline(directory: Path, timeline: int) -> int | None:
    """Return what the history file of the server's new timeline names as the one it came from."""
    path = directory / "pg_wal" / f"{timeline:08X}.history"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    ancestors = [int(line.split()[0]) for line in lines if line.strip()[:1].isdecimal()]
    return ancestors[-1] if ancestors else None


def _check(recovered: Recovered, target: RecoveryTarget, reach: ArchivedReach, *, parent: int | None) -> None:
    """Prove the end against what was wanted; the server's own stop is believed only as far as this goes (L-14)."""
    moment = target.time
    if moment is not None and recovered.last_commit is not None and recovered.last_commit > moment:
        raise TargetUnreachable(f"recovery went on to {recovered.last_commit:%Y-%m-%dT%H:%M:%S.%fZ}, beyond {target}")
    if parent != reach.end.timeline:
        raise TargetUnreachable(
            f"the server followed timeline {parent} to timeline {recovered.timeline}, not timeline {reach.end.timeline}"
        )
    if recovered.met and target.kind != "latest":
        return
    # The archive may end inside a record, which is not replayed; no record is as long as a segment is kept for.
    if recovered.end.value < reach.end.value - reach.segment_bytes:
        raise TargetUnreachable(f"recovery ended at {recovered.end}, the archived WAL at {reach.end}")
