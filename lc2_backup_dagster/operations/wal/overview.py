"""What a site has of archived WAL: until when it can be restored, measured in the repository, and the slot's health."""

from dataclasses import dataclass

from lc2_backup_dagster.engines.postgres.wal.slot import SlotHealth, read_slot
from lc2_backup_dagster.model.errors import BackupError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.chains import is_copy
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.wal.coverage import WalCoverage
from lc2_backup_dagster.operations.wal.physical_reach import coverage_behind
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster.repository.wal.header import Position


@dataclass(frozen=True, slots=True)
class SystemWal:
    """Archived WAL of one database system.

    Attributes:
        system_identifier: which system.
        timelines: mapping of timeline → number of whole segments.
        stored_bytes: size of the whole segments as stored.
        base: the newest base backup, or None: then nothing can be restored from this WAL.
        coverage: what is covered behind that backup without a gap.
        position: what a receiver said last, believed or not.
    """

    system_identifier: str
    timelines: dict[int, int]
    stored_bytes: int
    base: CommittedBackup | None
    coverage: WalCoverage | None
    position: Position | None


@dataclass(frozen=True, slots=True)
class SlotReport:
    """What the server says now.

    Attributes:
        name: the slot's name.
        health: what the server says of it; None when it has no such slot, or could not be asked.
        problem: why it could not be asked, or None.
    """

    name: str
    health: SlotHealth | None
    problem: str | None


def archived_wal_of(repository: SiteRepository) -> list[SystemWal]:
    """Measure the archived WAL of every database system of a site. Reads listings and a few headers."""
    bases = [each for each in repository.backups(Component.DATABASE) if is_copy(each)]
    return [_system(repository, system, bases) for system in repository.wal_systems()]


def slot_report(context: SiteContext) -> SlotReport | None:
    """Ask the server for the site's slot; None when the site does not archive WAL. Never raises an error of ours."""
    settings = context.database.wal
    if settings is None:
        return None
    server = context.database.replication
    try:
        with server.connect() as connection:
            return SlotReport(settings.slot, read_slot(connection, settings.slot, server=server), None)
    except BackupError as error:
        return SlotReport(settings.slot, None, str(error))


def _system(repository: SiteRepository, system: str, bases: list[CommittedBackup]) -> SystemWal:
    archive = repository.wal(system)
    stored = {timeline: archive.stored(timeline).segments for timeline in archive.timelines()}
    base = next((each for each in reversed(bases) if each.summary.get("system_identifier") == system), None)
    return SystemWal(
        system_identifier=system,
        timelines={timeline: len(segments) for timeline, segments in stored.items()},
        stored_bytes=sum(each.stored_bytes for segments in stored.values() for each in segments),
        base=base,
        coverage=coverage_behind(repository, base) if base else None,
        position=archive.position(),
    )
