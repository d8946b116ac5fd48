"""Verify what is stored: every part's bytes and SHA-256, every file's object; each damage named with its place."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from lc2_backup_dagster.engines.files.verify import verify_files
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.engines.postgres.base_streams import MANIFEST_STREAM
from lc2_backup_dagster.model.errors import ChainBroken, IntegrityError
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.capture_files import file_entries
from lc2_backup_dagster.operations.chains import by_id, chain_of
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.verified import Damage, Verified
from lc2_backup_dagster.operations.verify_database import archives_of, verify_archives, verify_wal
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.parts import Part
from lc2_backup_dagster.repository.site import SiteRepository

__all__ = ["Damage", "Verified", "verify_backup"]

_READERS = 3


def verify_backup(
    context: SiteContext,
    backup_id: str,
    *,
    deep: bool = True,
    progress: Callable[[int, int], None] = lambda objects, done: None,
) -> list[Verified]:
    """Verify a backup; of a recovery point, all its members; of a database backup, everything that it stands on.

    Streams are always read whole. With ``deep`` files are read too, not only looked for, and each file inside a base
    backup is compared with the checksum that PostgreSQL gave it.

    Raises:
        RecoveryPointNotFound: the log names no such backup.
        LogCorrupt: the log itself is damaged; then nothing in it can be believed.
        StoreUnavailable: nothing is known; never taken for damage or for absence.
    """
    repository = context.open_repository(False)
    backup = repository.backup(backup_id)
    wanted = [backup, *(repository.backup(each) for each in backup.summary.get("member_ids", []))]
    found: list[Verified] = []
    for each in wanted:
        one = _verify_one(context, repository, each, deep=deep, progress=progress)
        ancestors, broken = _ancestors(repository, each)
        found.append(replace(one, damages=(*one.damages, *broken)))
        found += [_verify_one(context, repository, above, deep=deep, progress=progress) for above in ancestors]
    return found


def _ancestors(repository: SiteRepository, backup: CommittedBackup) -> tuple[list[CommittedBackup], list[Damage]]:
    """Return what a database backup stands on, nearest first, or the damage that it cannot be told."""
    if backup.component is not Component.DATABASE or backup.parent is None:
        return [], []
    try:
        chain = chain_of(backup, by_id(repository.backups(Component.DATABASE)))
    except ChainBroken as error:
        return [], [Damage(backup.backup_id, backup.parent, error.message)]
    return list(reversed(chain.members[:-1])), []


def _verify_one(
    context: SiteContext,
    repository: SiteRepository,
    backup: CommittedBackup,
    *,
    deep: bool,
    progress: Callable[[int, int], None],
) -> Verified:
    try:
        manifest = repository.manifest(backup.backup_id)
    except IntegrityError as error:
        key = layout.manifest_key(repository.site, backup.component, backup.backup_id)
        return Verified(backup, 1, 0, (Damage(backup.backup_id, key, error.message),))
    damages: list[Damage] = []
    proven: list[str] = []
    if deep and backup.component is Component.DATABASE and MANIFEST_STREAM in manifest.streams:
        damages, proven = _verify_base(context, repository, manifest, progress)
    found, objects, stored = _verify_streams(repository, manifest, progress, proven=proven)
    # Where the archives did not come through, the damaged parts say what the error meant.
    damages = [*damages, *found] if proven else found or damages
    if backup.kind is BackupKind.WAL:
        lost, segments = verify_wal(repository, manifest)
        damages, objects = [*damages, *lost], objects + segments
    if backup.component is Component.FILES and not damages:
        library = _verify_library(context, repository, backup, deep=deep, progress=progress)
        damages, objects, stored = [*library.damages], objects + library.objects, stored + library.stored_bytes
    return Verified(backup, objects, stored, tuple(damages))


def _verify_base(
    context: SiteContext, repository: SiteRepository, manifest: Manifest, progress: Callable[[int, int], None]
) -> tuple[list[Damage], list[str]]:
    """Compare a base backup with the server's checksums; return the damages, and the streams proven on the way."""
    with scratch_folder(context.database.scratch_directory, context.site, "verify") as scratch:
        try:
            return verify_archives(repository, manifest, scratch, progress=progress), archives_of(manifest)
        except IntegrityError as error:
            prefix = layout.backup_prefix(repository.site, manifest.component, manifest.backup_id)
            return [Damage(manifest.backup_id, str(error.attributes.get("key", prefix)), error.message)], []


def _verify_streams(
    repository: SiteRepository, manifest: Manifest, progress: Callable[[int, int], None], *, proven: Sequence[str]
) -> tuple[list[Damage], int, int]:
    """Read every part of the streams that were not proven already; count those too."""
    prefix = layout.backup_prefix(repository.site, manifest.component, manifest.backup_id)
    parts = [
        (layout.part_key(prefix, stream.name, number), part)
        for stream in manifest.all_streams()
        if stream.name not in proven
        for number, part in enumerate(stream.parts)
    ]
    passed = sum(len(manifest.stream(name).parts) for name in proven)
    key_id = manifest.encryption.key_id if manifest.encryption else None

    def check(place: tuple[str, Part]) -> Damage | None:
        key, part = place
        try:
            repository.read_sealed(key, part, key_id=key_id)
        except IntegrityError as error:
            return Damage(manifest.backup_id, key, error.message)
        return None

    damages: list[Damage] = []
    done = sum(manifest.stream(name).stored_bytes for name in proven)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="verify") as pool:
        for number, (damage, (_, part)) in enumerate(zip(pool.map(check, parts), parts, strict=True), start=passed + 1):
            done += part.stored_bytes
            progress(number, done)
            if damage:
                damages.append(damage)
    return damages, passed + len(parts), manifest.stored_bytes


def _verify_library(
    context: SiteContext,
    repository: SiteRepository,
    backup: CommittedBackup,
    *,
    deep: bool,
    progress: Callable[[int, int], None],
) -> Verified:
    with (
        scratch_folder(context.database.scratch_directory, context.site, "verify") as scratch,
        file_entries(repository, backup.backup_id) as entries,
    ):
        found = verify_files(
            repository,
            entries,
            deep=deep,
            scratch=scratch,
            limits=Limits(max_concurrency=context.files.max_concurrency),
            progress=progress,
        )
    damages = tuple(Damage(backup.backup_id, each.key, each.reason, each.files) for each in found.damaged)
    return Verified(backup, found.objects, found.stored_bytes, damages)
