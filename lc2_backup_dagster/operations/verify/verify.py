"""Verify what is stored: every part's bytes and SHA-256, every file's object; each damage named with its place."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import StrEnum

from lc2_backup_dagster.engines.postgres.base.stream_names import MANIFEST_STREAM
from lc2_backup_dagster.model.errors import ChainBroken, IntegrityError
from lc2_backup_dagster.model.site import BackupKind, Component
from lc2_backup_dagster.operations.chains import by_id, chain_of
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.verify.database import archives_of, verify_archives, verify_wal
from lc2_backup_dagster.operations.verify.files import Depth, FilesWish, verify_files_of, verify_library
from lc2_backup_dagster.operations.verify.verified import Damage, Verified
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.parts import Part
from lc2_backup_dagster.repository.site import SiteRepository

__all__ = ["Damage", "Verified", "verify_backup"]

_READERS = 3


class Library(StrEnum):
    """Whose stored files are verified with a backup of the files."""

    OWN = "its own"
    OF_ALL_BACKUPS = "those of all backups, each object once"
    NOT = "none"


def verify_backup(
    context: SiteContext,
    backup_id: str,
    *,
    deep: bool = True,
    files: FilesWish | None = None,
    library: Library = Library.OWN,
    progress: Callable[[int, int], None] = lambda objects, done: None,
) -> list[Verified]:
    """Verify a backup; of a recovery point, all its members; of a database backup, everything that it stands on.

    Streams are always read whole.

    Args:
        context: the site.
        backup_id: the backup.
        deep: whether files are read too, not only looked for, and each file inside a base backup is compared with the
            checksum that PostgreSQL gave it.
        files: how stored files are verified; everything is read, or only looked at, as ``deep`` says, when None.
        library: whose stored files are verified with a backup of the files.
        progress: told objects and bytes done.

    Raises:
        RecoveryPointNotFound: the log names no such backup.
        LogCorrupt: the log itself is damaged; then nothing in it can be believed.
        StoreUnavailable: nothing is known; never taken for damage or for absence.
    """
    repository = context.open_repository(False)
    backup = repository.backup(backup_id)
    wish = files or FilesWish(Depth.ALL if deep else Depth.LOOK)

    def one_of(each: CommittedBackup) -> Verified:
        return _verify_one(context, repository, each, deep=deep, wish=wish, library=library, progress=progress)

    wanted = [backup, *(repository.backup(each) for each in backup.summary.get("member_ids", []))]
    found: list[Verified] = []
    for each in wanted:
        one = one_of(each)
        ancestors, broken = _ancestors(repository, each)
        found.append(replace(one, damages=(*one.damages, *broken)))
        found += [one_of(above) for above in ancestors]
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
    wish: FilesWish,
    library: Library,
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
    if backup.component is Component.FILES and not damages and library is not Library.NOT:
        if library is Library.OF_ALL_BACKUPS:
            stored_files = verify_library(context, wish, progress=progress)
        else:
            stored_files = verify_files_of(context, backup.backup_id, wish, progress=progress)
        seen = stored_files.found
        return Verified(backup, objects + seen.objects, stored + seen.stored_bytes, stored_files.damages, stored_files)
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
