"""Whether everything a database backup stands on is still in the repository: manifests, parts, WAL segments.

Asked by listing and by reading manifests, not by reading data: so it can be asked every hour. ``verify`` reads.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from lc2_backup_dagster.model.errors import ChainBroken, IntegrityError
from lc2_backup_dagster.model.lsn import Lsn
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.chains import Chain, by_id, chain_of
from lc2_backup_dagster.operations.wal.coverage import WalCoverage, wal_coverage
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.site import SiteRepository

_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class ChainLoss:
    """Something that a backup stands on and that is gone or not whole.

    Attributes:
        backup_id: the member of the chain that lost it.
        key: the object, or what it would be part of.
        reason: what is wrong.
    """

    backup_id: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChainState:
    """What a look at a chain found.

    Attributes:
        members: of the chain, the full backup first; only the backup itself when the chain cannot be walked.
        objects: that were looked for.
        segments: of archived WAL that were looked for.
        losses: everything that is gone, empty when the backup can be restored as far as a listing tells.
    """

    members: tuple[CommittedBackup, ...]
    objects: int
    segments: int
    losses: tuple[ChainLoss, ...]


def look_at_chain(repository: SiteRepository, backup: CommittedBackup) -> ChainState:
    """Walk from a database backup to the full one it stands on, and look for every object of each.

    Raises:
        StoreUnavailable: nothing is known; never taken for absence.
    """
    if backup.kind is BackupKind.SNAPSHOT:
        return look_at_members(repository, Chain((backup,)))
    try:
        chain = chain_of(backup, by_id(repository.backups(Component.DATABASE)))
    except ChainBroken as error:
        return ChainState((backup,), 0, 0, (ChainLoss(backup.backup_id, backup.parent or "", error.message),))
    return look_at_members(repository, chain)


def look_at_members(repository: SiteRepository, chain: Chain) -> ChainState:
    """Look for every object of each member of a chain, several members at once."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look") as pool:
        looked = list(pool.map(partial(_look_at, repository), chain.members))
    losses = tuple(loss for each in looked for loss in each.losses)
    return ChainState(
        chain.members, sum(each.objects for each in looked), sum(each.segments for each in looked), losses
    )


def _look_at(repository: SiteRepository, member: CommittedBackup) -> ChainState:
    try:
        manifest = repository.manifest_of(member)
    except IntegrityError as error:
        key = layout.manifest_key(repository.site, member.component, member.backup_id)
        return ChainState((member,), 0, 0, (ChainLoss(member.backup_id, key, error.message),))
    losses = list(_lost_parts(repository, manifest))
    segments = 0
    if member.kind is BackupKind.WAL:
        segments = manifest.details["wal"]["segments"]
        try:
            losses += lost_wal(manifest, *promised_wal(repository, manifest))
        except ChainBroken as error:
            losses.append(no_way(manifest, error))
    objects = 1 + sum(len(stream.parts) for stream in manifest.all_streams())
    return ChainState((member,), objects, segments, tuple(losses))


def promised_wal(repository: SiteRepository, manifest: Manifest) -> tuple[Lsn, WalCoverage]:
    """Return the position that a backup of kind ``wal`` promises, and what is archived on the way there.

    Raises:
        ChainBroken: no way leads to the promised timeline any more.
    """
    told = manifest.details["wal"]
    promised = Lsn.parse(told["to_lsn"], timeline=told["to_timeline"])
    coverage = wal_coverage(
        repository,
        system_identifier=manifest.details["system_identifier"],
        start=Lsn.parse(told["from_lsn"], timeline=told["from_timeline"]),
        segment_bytes=manifest.details["wal_segment_bytes"],
        timeline=promised.timeline,
    )
    return promised, coverage


def no_way(manifest: Manifest, error: ChainBroken) -> ChainLoss:
    """Return the loss of the way to a promised timeline."""
    timeline = manifest.details["wal"]["to_timeline"]
    return ChainLoss(manifest.backup_id, f"history of timeline {timeline}", error.message)


def lost_wal(manifest: Manifest, promised: Lsn, coverage: WalCoverage) -> Iterator[ChainLoss]:
    """Yield what is missing of the archived WAL that a backup of kind ``wal`` promises (L-18)."""
    end = coverage.end
    if end.timeline != promised.timeline or end < promised:
        yield ChainLoss(
            manifest.backup_id,
            coverage.gap or f"WAL after {end}",
            f"archived WAL ends at {end} on timeline {end.timeline}, promised was {promised} on timeline "
            f"{promised.timeline}",
        )


def _lost_parts(repository: SiteRepository, manifest: Manifest) -> Iterator[ChainLoss]:
    prefix = layout.backup_prefix(repository.site, manifest.component, manifest.backup_id)
    wanted = {
        layout.part_key(prefix, stream.name, number): part.stored_bytes
        for stream in manifest.all_streams()
        for number, part in enumerate(stream.parts)
    }
    if not wanted:
        return
    for found in repository.store.list(prefix):
        promised = wanted.pop(found.key, found.size_bytes)
        if promised != found.size_bytes:
            yield ChainLoss(manifest.backup_id, found.key, f"has {found.size_bytes} bytes, promised were {promised}")
    for key in sorted(wanted):
        yield ChainLoss(manifest.backup_id, key, "is gone")
