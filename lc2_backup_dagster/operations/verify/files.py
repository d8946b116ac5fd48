"""Verify the stored files of a site: one backup's, or those of all backups, each object once."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from lc2_backup_dagster.engines.files.manifest.entry import STREAM, FileEntry, decode_entry, kept_stream
from lc2_backup_dagster.engines.files.manifest.lines import read_lines
from lc2_backup_dagster.engines.files.manifest.sharing import lines_not_in
from lc2_backup_dagster.engines.files.ports import Progress
from lc2_backup_dagster.engines.files.verify.choices import Choice, NoReading, OldestFirst, RandomSample
from lc2_backup_dagster.engines.files.verify.sampling import SampleAim
from lc2_backup_dagster.engines.files.verify.verify import FilesReading, FilesVerification, verify_files
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    FilesUnverified,
    IntegrityError,
    PartCorrupt,
    PartMissing,
    RecoveryPointNotFound,
)
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext, VerificationPolicy
from lc2_backup_dagster.operations.verify.verified import Damage, VerifiedFiles
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.site import SiteRepository

_NAMED = 5


class Depth(StrEnum):
    """How far stored files are verified."""

    LOOK = "look"
    SAMPLE = "sample"
    DUE = "due"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class FilesWish:
    """What a verification of files shall do.

    Attributes:
        depth: look at all objects only; read a random sample; read what is due by the site's policy; read everything.
        aim: damage that a sample shall find; the site's when None.
        seed: repeats a sample; random when None.
        max_bytes: bytes after which no further object is begun, and most bytes of a sample; for what is due, the
            site's when None.
        keep: whether the results are kept in the repository.
    """

    depth: Depth = Depth.ALL
    aim: SampleAim | None = None
    seed: str | None = None
    max_bytes: int | None = None
    keep: bool = False


def scheduled_wish(policy: VerificationPolicy) -> FilesWish:
    """Return what the scheduled run of a site does: what is due, or a sample where no age is set."""
    return FilesWish(Depth.SAMPLE if policy.max_age is None else Depth.DUE, max_bytes=policy.max_bytes, keep=True)


def verify_library(context: SiteContext, wish: FilesWish, *, progress: Progress | None = None) -> VerifiedFiles:
    """Verify the stored objects of all backups of the files that can be restored, each object once.

    Raises:
        StoreUnavailable: nothing is known; never taken for damage or for absence. What was read before is kept.
        BackupError: everything engine and repository raise.
    """
    repository = context.open_repository(False)
    backup_ids = [each.backup_id for each in repository.backups(Component.FILES)]
    library = _Library(repository, backup_ids)
    found = _verify(context, repository, library.entries(), wish, whole=lambda: not library.damages, progress=progress)
    # A backup that was expired and purged meanwhile takes its objects with it, and that is no damage.
    there = [each.backup_id for each in repository.backups(Component.FILES) if each.backup_id in backup_ids]
    lists = [each for each in library.damages if each.backup_id in there]
    damages = _still_needed(repository, there, found, certain=there == backup_ids)
    return VerifiedFiles(tuple(there), found, (*lists, *damages), _max_age_days(context))


def verify_files_of(
    context: SiteContext, backup_id: str, wish: FilesWish, *, progress: Progress | None = None
) -> VerifiedFiles:
    """Verify the stored objects of one backup of the files; of everything else as ``verify_library``."""
    repository = context.open_repository(False)
    library = _Library(repository, [repository.backup(backup_id).backup_id])
    found = _verify(context, repository, library.entries(), wish, whole=lambda: False, progress=progress)
    damages = [Damage(backup_id, each.key, each.reason, each.files) for each in found.damaged]
    return VerifiedFiles((backup_id,), found, (*library.damages, *damages), _max_age_days(context))


def require_proven(verified: VerifiedFiles) -> None:
    """Make what a verification found an error, the gravest first.

    Raises:
        PartMissing: objects are gone.
        PartCorrupt: objects are damaged.
        AccessDenied: objects may not be read: nothing is known of them.
        FilesUnverified: objects were not read for longer than the set age, or although they look changed.
        BackupError: the results could not be kept.
    """
    found = verified.found
    if verified.damages:
        _raise_damage(verified)
    require_known(verified)
    if found.over_age:
        raise FilesUnverified(
            f"{found.over_age} of {found.objects} stored files were not read for more than {verified.max_age_days} "
            f"days, the oldest for {(found.oldest_seconds or 0) / 86400:.1f} days",
            hint="let runs read more (policies.verification.maxBytesPerRun), run them more often, or read now: "
            "lc2-backup verify --due --max-bytes",
            over_age=found.over_age,
        )
    if found.unkept is not None:
        raise found.unkept


def require_known(verified: VerifiedFiles) -> None:
    """Refuse objects of which a verification could say nothing although it should.

    Raises:
        AccessDenied: objects may not be read.
        FilesUnverified: of objects the store tells other things than before, and they were not read.
    """
    found = verified.found
    if found.refused.count:
        key, reason = found.refused.samples[0]
        raise AccessDenied(
            f"{found.refused.count} stored files may not be read, the first is {key}: {reason}",
            hint="give the backup role the right to read them; nothing is known of them until then",
            key=key,
        )
    if found.doubtful.count:
        key, reason = found.doubtful.samples[0]
        raise FilesUnverified(
            f"of {found.doubtful.count} stored files the store tells other things than before, and they were not "
            f"read; the first is {key}: {reason}",
            hint="read them: lc2-backup verify, without --quick",
            key=key,
        )


def _raise_damage(verified: VerifiedFiles) -> None:
    damages, found = verified.damages, verified.found
    count = max(found.damaged_count, len(damages))
    named = "; ".join(
        f"{each.key}: {each.reason}" + (f" (needed by {each.affected[0]!r})" if each.affected else "")
        for each in damages[:_NAMED]
    )
    kind = PartMissing if all(each.missing for each in found.damaged) and found.damaged else PartCorrupt
    raise kind(
        f"{count} of {found.objects} stored objects are damaged or gone: {named}{'; …' if count > _NAMED else ''}",
        hint="put the right bytes back from older versions of the bucket, and make a new backup; lc2-backup verify "
        "names what needs them",
        damaged=count,
        keys=[each.key for each in damages[:100]],
    )


def _verify(
    context: SiteContext,
    repository: SiteRepository,
    entries: Iterator[FileEntry],
    wish: FilesWish,
    *,
    whole: Callable[[], bool],
    progress: Progress | None,
) -> FilesVerification:
    policy = context.limits.verification
    reading = FilesReading(
        choice=lambda now: _choice(wish, policy, now),
        max_bytes=wish.max_bytes,
        max_age_seconds=None if policy.max_age is None else int(policy.max_age.total_seconds()),
        keep=wish.keep,
        whole=whole,
    )
    with scratch_folder(context.database.scratch_directory, context.site, "verify") as scratch:
        return verify_files(
            repository,
            entries,
            reading,
            scratch=scratch,
            limits=Limits(max_concurrency=context.files.max_concurrency),
            progress=progress,
        )


def _choice(wish: FilesWish, policy: VerificationPolicy, now: int) -> Choice:
    if wish.depth is Depth.LOOK:
        return NoReading()
    if wish.depth is Depth.SAMPLE:
        return RandomSample(wish.aim or policy.aim, seed=wish.seed or secrets.token_hex(8))
    if wish.depth is Depth.ALL or policy.max_age is None:
        return OldestFirst(max_bytes=wish.max_bytes)
    due_before = now - int((policy.max_age - policy.ahead).total_seconds())
    return OldestFirst(due_before=due_before, max_bytes=wish.max_bytes or policy.max_bytes)


def _max_age_days(context: SiteContext) -> int | None:
    age = context.limits.verification.max_age
    return None if age is None else age.days


class _Library:
    """The entries of several backups, those that neighbours have in common only once, with the later neighbour.

    Attributes:
        damages: of lists of files; the files that only they name are not among the entries.
    """

    def __init__(self, repository: SiteRepository, backup_ids: list[str]) -> None:
        self._repository = repository
        self._backup_ids = backup_ids
        self.damages: list[Damage] = []

    def entries(self) -> Iterator[FileEntry]:
        """Yield the entries, backup by backup."""
        for backup_id, other in zip_longest(self._backup_ids, self._backup_ids[1:]):
            try:
                yield from self._of(backup_id, other)
            except RecoveryPointNotFound:
                continue  # expired meanwhile: nobody restores it any more
            except IntegrityError as error:
                prefix = layout.backup_prefix(self._repository.site, Component.FILES, backup_id)
                key = str(error.attributes.get("key", prefix))
                self.damages.append(Damage(backup_id, key, error.message))

    def _of(self, backup_id: str, other: str | None) -> Iterator[FileEntry]:
        yield from self._listed(backup_id, other)
        # What was kept for rows is little: it is read for each backup.
        with ExitStack() as stack:
            yield from self._decoded(self._lines(stack, backup_id, kept=True), f"kept files of {backup_id}")

    def _listed(self, backup_id: str, other: str | None) -> Iterator[FileEntry]:
        if other is not None:
            try:
                with ExitStack() as stack:
                    name = f"files of {backup_id}"
                    for line in lines_not_in(self._lines(stack, backup_id), self._lines(stack, other), name=name):
                        yield decode_entry(line, where=name)
                return
            except (IntegrityError, RecoveryPointNotFound):
                pass  # of one of both; which one shows when each is read alone
        with ExitStack() as stack:
            yield from self._decoded(self._lines(stack, backup_id), f"files of {backup_id}")

    def _decoded(self, lines: Iterator[bytes], name: str) -> Iterator[FileEntry]:
        for number, line in enumerate(lines, start=1):
            yield decode_entry(line, where=f"{name} line {number}")

    def _lines(self, stack: ExitStack, backup_id: str, *, kept: bool = False) -> Iterator[bytes]:
        manifest = self._repository.manifest(backup_id)
        name = kept_stream(manifest.streams) if kept else STREAM
        if name is None:
            return iter(())
        reader = stack.enter_context(self._repository.open_stream(manifest, name))
        return read_lines(reader, f"{name} of {backup_id}")


def _still_needed(
    repository: SiteRepository, backup_ids: list[str], found: FilesVerification, *, certain: bool
) -> list[Damage]:
    """Return the damages, each with the newest backup that needs it, and leave out what no backup needs any more.

    Args:
        repository: the site's part of the repository.
        backup_ids: the backups that are there now, oldest first.
        found: what the verification found; what nothing needs is removed from it.
        certain: whether everything that was verified is certainly still needed.
    """
    damaged = {each.key: each for each in found.damaged}
    if not damaged:
        return []
    owners: dict[str, str] = {}
    for backup_id in reversed(backup_ids):
        library = _Library(repository, [backup_id])
        for entry in library.entries():
            for key, _ in entry.stored_objects(repository.site):
                if key in damaged:
                    owners.setdefault(key, backup_id)
        certain = certain or bool(library.damages)  # it cannot be told what a list of files that is damaged names
        if len(owners) == len(damaged):
            break
    if certain:
        owners = {key: owners.get(key, backup_ids[-1]) for key in damaged}
    found.damaged_count -= len(damaged) - len(owners)
    found.damaged = [each for each in found.damaged if each.key in owners]
    return [Damage(owners[each.key], each.key, each.reason, each.files) for each in found.damaged]
