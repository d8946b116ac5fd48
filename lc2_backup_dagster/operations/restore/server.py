"""Restore a whole database server: a base backup with the increments it needs, and archived WAL up to a target."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lc2_backup_dagster.engines.postgres.restore.base import RestoredBase, restored_bytes
from lc2_backup_dagster.engines.postgres.restore.page_checksums import check_page_checksums
from lc2_backup_dagster.engines.postgres.restore.recovery import Recovered
from lc2_backup_dagster.engines.postgres.restore.tablespaces import place_tablespaces
from lc2_backup_dagster.engines.postgres.restore.target_directory import check_delta_directory, check_target_directory
from lc2_backup_dagster.engines.postgres.servers.tools import find_programs
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError, StorageFull
from lc2_backup_dagster.model.recovery_target import IMMEDIATE, RecoveryTarget
from lc2_backup_dagster.operations.restore.choose_start import RestoreStart, choose_start
from lc2_backup_dagster.operations.restore.physical import Progress, restore_physical
from lc2_backup_dagster.operations.restore.plan_restore import major_of
from lc2_backup_dagster.operations.restore.record import recorded_restore
from lc2_backup_dagster.operations.restore.stored_chain import manifests_of, stored_chain, tablespaces_of
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.record import Initiator


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """What a restore of a server would do.

    Attributes:
        backup_id: the backup to start from.
        chain: ids of everything it stands on and of itself, the full backup first.
        target: where it ends, in words.
        moment: the moment its data is of, RFC 3339 UTC; None where only the recovery will tell.
        directory: the data directory.
        plain_bytes: bytes that will be read into it.
        parts: stored objects to fetch, without WAL.
        wal_segments: archived segments between the backup and the target's end of coverage.
        tablespaces: oid → directory on the original server.
        server_version: version of the server it was taken from.
        blockers: everything that would make it fail, each with its remedy; empty when it can run.
    """

    backup_id: str
    chain: tuple[str, ...]
    target: str
    moment: str | None
    directory: Path
    plain_bytes: int
    parts: int
    wal_segments: int
    tablespaces: Mapping[int, str]
    server_version: str
    blockers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestoredServer:
    """What a restore of a server did.

    Attributes:
        backup_id: the backup it started from.
        chain: ids of the backups that were put together.
        base: the data directory.
        recovered: what the server said at the target; None when it was not started: its first start recovers it.
        databases: names of the databases the started server has; empty when it was not started.
        pages: pages whose checksum was proven, None where that was not asked for.
    """

    backup_id: str
    chain: tuple[str, ...]
    base: RestoredBase
    recovered: Recovered | None
    databases: tuple[str, ...]
    pages: int | None = None


def plan_server_restore(
    context: SiteContext,
    backup_id: str | None,
    *,
    target_directory: Path,
    target: RecoveryTarget = IMMEDIATE,
    start: bool = True,
    delta: bool = False,
    tablespaces: Mapping[int, Path] | None = None,
) -> ServerPlan:
    """Say what ``restore_server`` would do with the same arguments. Changes nothing.

    Raises:
        ConfigurationError: not a physical backup.
        TargetUnreachable: the target cannot be reached.
        ChainBroken: the backup stands on something that is gone.
        BackupError: the repository cannot be read.
    """
    repository = context.open_repository(False)
    chosen = choose_start(repository, target, backup_id=backup_id)
    manifests = manifests_of(repository, chosen.chain)
    newest, directory = manifests[-1], target_directory.absolute()
    version = str(newest.details["server_version"])
    stored = stored_chain(repository, manifests)
    base_bytes = restored_bytes(stored)
    blockers: list[str] = []

    def blocked_by(check: Callable[[], object]) -> None:
        try:
            check()
        except BackupError as error:
            blockers.append(str(error))

    def check_space() -> None:
        place = directory if directory.is_dir() else directory.parent
        if place.is_dir() and not delta and (free := shutil.disk_usage(place).free) < base_bytes:
            raise StorageFull(f"{place} has {free} bytes free, the restore may need {base_bytes}")

    blocked_by(lambda: _check_wish(chosen, start=start))
    if delta:
        blocked_by(lambda: check_delta_directory(directory, system_identifier=str(newest.details["system_identifier"])))
    else:
        blocked_by(lambda: check_target_directory(directory))
    blocked_by(lambda: place_tablespaces(tablespaces_of(newest), tablespaces or {}, target=directory, delta=delta))
    blocked_by(check_space)
    if start:
        tools = context.database.tools_directory
        blocked_by(lambda: find_programs("postgres", major=major_of(version), directory=tools))
    return ServerPlan(
        backup_id=newest.backup_id,
        chain=tuple(each.backup_id for each in manifests),
        target=str(chosen.target),
        moment=_moment(chosen, newest.moment.restorable_until),
        directory=directory,
        plain_bytes=base_bytes,
        parts=sum(
            len(each.stream(name).parts) for each, base in zip(manifests, stored, strict=True) for name in base.streams
        ),
        wal_segments=len(chosen.coverage.segments) if chosen.coverage else 0,
        tablespaces=tablespaces_of(newest),
        server_version=version,
        blockers=tuple(blockers),
    )


def restore_server(
    context: SiteContext,
    backup_id: str | None,
    *,
    target_directory: Path,
    initiator: Initiator,
    target: RecoveryTarget = IMMEDIATE,
    start: bool = True,
    delta: bool = False,
    tablespaces: Mapping[int, Path] | None = None,
    check_pages: bool = False,
    progress: Progress = lambda done, total: None,
) -> RestoredServer:
    """Restore a server into a directory, verify it, and recover it to its target; either outcome is recorded.

    The directory archives nothing and restores from nowhere when it is started, whatever its configuration says (see
    ``settle``). Its server goes on along a timeline that nothing in the repository has.

    Args:
        context: the site.
        backup_id: a backup of ``database``; None for the newest one at or before the target.
        target_directory: new or empty, below an existing directory; for a delta a directory of the same system.
        initiator: who asks.
        target: where to end.
        start: whether to start the server once where the backup alone is wanted; otherwise its first start ends the
            recovery and begins the new timeline. Other targets always start it.
        delta: write into an existing directory of the same system, only what differs. The caller has asked for it.
        tablespaces: oid → new directory, for each tablespace.
        check_pages: read every page of the stopped server and prove its checksum; needs ``start``.
        progress: told bytes done, of those in all.

    Raises:
        ConfigurationError: not a physical backup; a tablespace has no directory; no page checksums to check.
        TargetNotEmpty: the directory may not be written into; nothing was changed.
        TargetUnreachable: the target cannot be reached; what was written is removed again.
        BackupError: everything engine and repository raise; what was written is removed again.
    """
    repository = context.open_repository(False)
    tools = context.database.tools_directory
    body: dict[str, Any] = {
        "point": backup_id, "database": str(target_directory), "files": None, "plain_bytes": 0,
        "target": str(target), "delta": delta,
    }  # fmt: skip
    with recorded_restore(repository, initiator, body):
        chosen = choose_start(repository, target, backup_id=backup_id)
        _check_wish(chosen, start=start, check_pages=check_pages)
        chain = tuple(each.backup_id for each in chosen.chain.members)
        body |= {
            "point": backup_id or chain[-1],
            "chain": list(chain),
            "plain_bytes": sum(each.summary["plain_bytes"] for each in chosen.chain.members),
        }
        restored = restore_physical(
            repository,
            chosen,
            target_directory=target_directory,
            tablespaces=tablespaces or {},
            delta=delta,
            run=start,
            tools_directory=tools,
            progress=progress,
        )
        databases = restored.recovered.databases if restored.recovered else ()
        pages = None
        if check_pages:
            pages = check_page_checksums(
                restored.base.directory, major=restored.base.major, tools_directory=tools
            ).pages
        body["recovered"] = _recovery_facts(restored.recovered)
    return RestoredServer(chain[-1], chain, restored.base, restored.recovered, databases, pages)


def _check_wish(chosen: RestoreStart, *, start: bool, check_pages: bool = False) -> None:
    if check_pages and not start:
        raise ConfigurationError("pages are checked after the server was started and stopped", hint="let it start")
    if chosen.coverage is not None and not start:
        raise ConfigurationError(
            f"the target {chosen.target} is reached by starting the server", hint="leave out --no-start"
        )


def _moment(chosen: RestoreStart, own: str) -> str | None:
    if chosen.coverage is None:
        return own
    if chosen.target.kind == "latest":
        return to_text(chosen.coverage.until) if chosen.coverage.until else None
    return chosen.target.value if chosen.target.kind == "time" else None


def _recovery_facts(recovered: Recovered | None) -> dict[str, object] | None:
    if recovered is None:
        return None
    return {
        "end_lsn": str(recovered.end),
        "last_commit": _time_text(recovered.last_commit),
        "from_timeline": recovered.end.timeline,
        "timeline": recovered.timeline,
        "wal_files": recovered.wal_files,
    }


def _time_text(moment: datetime | None) -> str | None:
    return to_text(moment.astimezone(UTC)) if moment else None


def facts(restored: RestoredServer) -> dict[str, object]:
    """Return what was done as JSON values."""
    return {
        **asdict(restored.base),
        "directory": str(restored.base.directory),
        "backup_id": restored.backup_id,
        "chain": list(restored.chain),
        "recovered": _recovery_facts(restored.recovered),
        "databases": list(restored.databases),
        "pages": restored.pages,
    }
