"""The files of a backup, found by name and read as a stream, from any key on without what lies before it."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from lc2_backup_dagster.engines.files.manifest.entry import STREAM, FileEntry, kept_stream
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine, entry_lines
from lc2_backup_dagster.engines.files.manifest.overlay import overlaid
from lc2_backup_dagster.engines.files.verify.proof_sets import known_hashes
from lc2_backup_dagster.engines.files.verify.proofs import with_known_hashes
from lc2_backup_dagster.model.errors import ObjectNotFound
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.browse.named_backup import LATEST, named_backup
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.site import SiteRepository


def files_backup(repository: SiteRepository, name: str) -> CommittedBackup:
    """Return the files backup that a name means: a recovery point, a files backup, or ``latest``.

    Raises:
        RecoveryPointNotFound: there is no such backup, or the files of that point have expired.
        ConfigurationError: it is a backup of something else.
    """
    return named_backup(repository, name, Component.FILES, what="files")


@contextmanager
def stored_lines(
    repository: SiteRepository,
    backup: CommittedBackup,
    *,
    prefix: str = "",
    folders: bool = False,
    members: Iterable[str] = (),
) -> Generator[Iterator[EntryLine]]:
    """Open the lines of the files and links whose key begins with a prefix, ascending, read as a stream.

    What a directory says of its folders is left out unless ``folders`` is set: it changes with every file in them.
    With ``members``, the ids that a recovery point binds, the files are those of its moment: what the backup kept for
    the rows of the dump among them stands in the place of what was listed.

    The list is sorted and cut into parts that can be read alone. So the first part that matters is found by bisection,
    and reading ends behind the last line that does: what is asked costs, not the size of the library.

    Raises:
        ManifestCorrupt: the backup's manifest or list is not what was promised.
        PartMissing: a part of the list is gone.
        PartCorrupt: a part of the list is damaged.
    """
    manifest = repository.manifest(backup.backup_id)
    first = _first_part(repository, manifest, prefix)
    stream = repository.stored_stream(manifest, STREAM)
    with ExitStack() as stack:
        reader = stack.enter_context(stream.open(start=stream.begin_of(first)))
        lines = _beginning_with(entry_lines(reader, name=_name(manifest), cut=first > 0), prefix)
        if keeps_for(manifest, members):
            lines = overlaid(lines, stack.enter_context(kept_lines(repository, backup, prefix=prefix)))
        yield (line for line in lines if folders or not line.is_folder)


@contextmanager
def kept_lines(
    repository: SiteRepository, backup: CommittedBackup, *, prefix: str = ""
) -> Generator[Iterator[EntryLine]]:
    """Open the lines of what a files backup kept for rows, ascending; none where it kept nothing.

    Raises:
        BackupError: the stream is not what was promised.
    """
    manifest = repository.manifest(backup.backup_id)
    name = kept_stream(manifest.streams)
    if name is None:
        yield iter(())
        return
    with repository.open_stream(manifest, name) as reader:
        lines = entry_lines(reader, name=f"kept files of {manifest.backup_id}")
        yield (line for line in lines if line.key.startswith(prefix))


def keeps_for(manifest: Manifest, member_ids: Iterable[str]) -> bool:
    """Say whether a files backup kept what the rows of one of these dumps mean, and not those of another one."""
    kept = manifest.details.get("kept")
    return kept is not None and kept["dump"] in member_ids


def points_with_kept(repository: SiteRepository, backup: CommittedBackup) -> list[CommittedBackup]:
    """Return the recovery points that bring back what a files backup kept for rows, newest first."""
    manifest = repository.manifest(backup.backup_id)
    if kept_stream(manifest.streams) is None:
        return []
    points = reversed(repository.backups(Component.RECOVERY_POINT))
    bound = ((each, members_of_point(each)) for each in points)
    return [point for point, members in bound if backup.backup_id in members and keeps_for(manifest, members)]


def members_named(repository: SiteRepository, name: str) -> tuple[str, ...]:
    """Return the ids that a recovery point of this name binds; none when the name means something else."""
    return () if name == LATEST else members_of_point(repository.backup(name))


def members_of_point(backup: CommittedBackup) -> tuple[str, ...]:
    """Return the ids that a recovery point binds; none of another backup."""
    return tuple(backup.summary["member_ids"]) if backup.component is Component.RECOVERY_POINT else ()


def stored_file(
    repository: SiteRepository, backup: CommittedBackup, key: str, *, members: Iterable[str] = ()
) -> FileEntry:
    """Return one file of a backup, with the ``members`` of a recovery point as of its moment.

    Raises:
        ObjectNotFound: the backup has no such file.
    """
    with stored_lines(repository, backup, prefix=key, members=members) as lines:
        line = next(lines, None)
    if line is None or line.key != key:
        raise ObjectNotFound(
            f"{backup.backup_id} has no file {key!r}",
            hint="a key is written whole and exactly as lc2-backup ls shows it; lc2-backup find looks in every backup",
            key=key,
        )
    with known_hashes(repository) as known:
        return next(with_known_hashes([line.entry()], known))


def _beginning_with(lines: Iterator[EntryLine], prefix: str) -> Iterator[EntryLine]:
    for line in lines:
        if line.key.startswith(prefix):
            yield line
        elif line.key > prefix:
            return


def _first_part(repository: SiteRepository, manifest: Manifest, prefix: str) -> int:
    """Return the last part in front of which no line with the prefix lies."""
    if not prefix:
        return 0
    low, high = 0, len(manifest.stream(STREAM).parts)
    while high - low > 1:
        middle = (low + high) // 2
        key = _first_key(repository, manifest, middle)
        # Equal is right too: the line cut off before it has a smaller key.
        if key is not None and key <= prefix:
            low = middle
        else:
            high = middle
    return low


def _first_key(repository: SiteRepository, manifest: Manifest, part: int) -> str | None:
    """Return the key of the first line behind the first line feed of a part, or None when none comes."""
    stream = repository.stored_stream(manifest, STREAM)
    with stream.open(start=stream.begin_of(part), ahead=1) as reader:
        line = next(entry_lines(reader, name=_name(manifest), cut=True), None)
    return None if line is None else line.key


def _name(manifest: Manifest) -> str:
    return f"files of {manifest.backup_id}"
