"""Verify what is stored: every part's bytes and SHA-256, every file's object; each damage named with its place."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lc2_backup_dagster.engines.files.verify import verify_files
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import IntegrityError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.capture_files import file_entries
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.parts import Part
from lc2_backup_dagster.repository.site import SiteRepository

_READERS = 3


@dataclass(frozen=True, slots=True)
class Damage:
    """Something stored that is not what was promised.

    Attributes:
        backup_id: the backup that needs it.
        key: the object.
        reason: what is wrong.
        affected: files that need it; empty for streams.
    """

    backup_id: str
    key: str
    reason: str
    affected: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """What the verification of one backup found.

    Attributes:
        backup: the backup.
        objects: stored objects that were looked at.
        stored_bytes: their promised length.
        damages: everything wrong, empty when the backup can be restored.
    """

    backup: CommittedBackup
    objects: int
    stored_bytes: int
    damages: tuple[Damage, ...]


def verify_backup(
    context: SiteContext,
    backup_id: str,
    *,
    deep: bool = True,
    progress: Callable[[int, int], None] = lambda objects, done: None,
) -> list[Verified]:
    """Verify a backup; of a recovery point, all its members.

    Streams are always read whole. Files are checked by existence and size, or with ``deep`` by their bytes.

    Raises:
        RecoveryPointNotFound: the log names no such backup.
        LogCorrupt: the log itself is damaged; then nothing in it can be believed.
        StoreUnavailable: nothing is known; never taken for damage or for absence.
    """
    repository = context.open_repository(False)
    backup = repository.backup(backup_id)
    ids = [backup_id, *backup.summary.get("member_ids", [])]
    return [_verify_one(context, repository, repository.backup(each), deep=deep, progress=progress) for each in ids]


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
    damages, objects, stored = _verify_streams(repository, manifest, progress)
    if backup.component is Component.FILES and not damages:
        found = _verify_library(context, repository, backup, deep=deep, progress=progress)
        damages, objects, stored = [*damages, *found.damages], objects + found.objects, stored + found.stored_bytes
    return Verified(backup, objects, stored, tuple(damages))


def _verify_streams(
    repository: SiteRepository, manifest: Manifest, progress: Callable[[int, int], None]
) -> tuple[list[Damage], int, int]:
    prefix = layout.backup_prefix(repository.site, manifest.component, manifest.backup_id)
    parts = [
        (layout.part_key(prefix, stream.name, number), part)
        for stream in manifest.all_streams()
        for number, part in enumerate(stream.parts)
    ]
    key_id = manifest.encryption.key_id if manifest.encryption else None

    def check(place: tuple[str, Part]) -> Damage | None:
        key, part = place
        try:
            repository.read_sealed(key, part, key_id=key_id)
        except IntegrityError as error:
            return Damage(manifest.backup_id, key, error.message)
        return None

    damages: list[Damage] = []
    done = 0
    with ThreadPoolExecutor(_READERS, thread_name_prefix="verify") as pool:
        for number, (damage, (_, part)) in enumerate(zip(pool.map(check, parts), parts, strict=True), start=1):
            done += part.stored_bytes
            progress(number, done)
            if damage:
                damages.append(damage)
    return damages, len(parts), manifest.stored_bytes


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
