"""Restore of a file library, or a choice of it, into any store.

Nothing is deleted unless that is asked for, and then last of all. Every file appears whole and proven or not at all: a
store shows an object only once all of it is written, and the last bytes are handed over only after the SHA-256 agreed.
So a restore that broke off leaves whole files only, and running it again under ``skip`` goes on where it was; what it
wrote is not removed, because another writer may have built on it meanwhile.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, PosixKind
from lc2_backup_dagster.engines.files.capture.inventory import Inventory, take_inventory
from lc2_backup_dagster.engines.files.capture.source import Patience
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.engines.files.manifest.folders import FoldersAbove
from lc2_backup_dagster.engines.files.manifest.selection import Selection
from lc2_backup_dagster.engines.files.ports import Progress, SiteObjects
from lc2_backup_dagster.engines.files.restore.extras import delete_objects, extras, refuse_repository
from lc2_backup_dagster.engines.files.restore.sameness import Sameness
from lc2_backup_dagster.engines.files.restore.writing import Conflict, FilesRestore, FileToWrite, RestoreWriter
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.errors import (
    BackupError,
    ConfigurationError,
    KeyNotRepresentable,
    RestoreMismatch,
    TargetNotEmpty,
)


def restore_files(
    repository: SiteObjects,
    entries: Callable[[], Iterable[FileEntry]],
    target: ObjectStore,
    *,
    selection: Selection | None = None,
    conflict: Conflict = Conflict.REFUSE,
    origin: ObjectStore | None = None,
    checksum: bool = False,
    delete_extra: Callable[[str], bool] | None = None,
    rehearse: bool = False,
    scratch: Path | None = None,
    limits: Limits | None = None,
    patience: Patience | None = None,
    progress: Progress | None = None,
    on_new: Callable[[str], None] = lambda key: None,
    on_change: Callable[[str], None] = lambda key: None,
) -> FilesRestore:
    """Write files of a backup into a target, keys byte for byte, with content type and metadata.

    Where the target holds POSIX facts, owners, modes, times, links and folders come back too, and a choice of files
    brings the folders above them; what this process may not set is named in the result. Elsewhere links and folders are
    left out and named.

    Under ``refuse`` nothing is written when the target holds anything (for a whole library) or any of the selected
    keys (for a choice). Under ``skip`` what is there stays. Under ``overwrite`` what is there is replaced unless it
    is the same already (``sameness``). A folder that is there is no conflict for a choice of files, and only
    ``overwrite`` changes it. A file that is damaged, or has no place in the target, does not stop the others; the
    restore fails at its end.

    Objects of the target are deleted only with ``delete_extra``, only where everything below a prefix is restored
    under ``overwrite``, only what lay there at the begin, and only after every file was written and proven.

    Args:
        repository: the site's part of the repository.
        entries: opens the backup's entries, ascending; called up to three times.
        target: where to; ``clouds.prefixed`` gives a place below a prefix.
        selection: which files; all when None.
        conflict: what happens to files that are there.
        origin: the store that the backup was taken from, where its etags are worth comparing; None where not.
        checksum: under ``overwrite`` compare the bytes that are there, whatever etags and times say.
        delete_extra: deletes what the target has below the selection's prefix and the backup has not, where this says
            yes to the key; nothing when None.
        rehearse: decide and count everything, and change nothing.
        scratch: folder for lists that do not fit into memory.
        limits: threads and memory.
        patience: how often things are tried again.
        progress: told how far it is.
        on_new: told the key of every file that was written where there was none, in any order.
        on_change: told the key of every file that was written, whatever was there, or is deleted, in any order; also of
            a restore that fails.

    Raises:
        ConfigurationError: ``delete_extra`` does not go with the rest; nothing was written.
        TargetNotEmpty: the target holds something; nothing was written, unless it appeared during the restore.
        PartMissing: stored objects are gone; all other files were restored.
        PartCorrupt: stored objects are damaged; all other files were restored.
        KeyNotRepresentable: files have no place in the target; all other files were restored.
        RestoreMismatch: the target did not keep what was written, or what was written is not all proven and therefore
            nothing was deleted.
        BackupError: the target or the repository failed; ``attributes`` tell how much was written.
    """
    began = time.monotonic()
    selection = selection or Selection.everything()
    run = RestoreWriter(
        repository,
        target,
        conflict,
        sameness=Sameness(target, origin=origin, checksum=checksum),
        rehearse=rehearse,
        scratch=scratch,
        patience=patience or Patience(),
        limits=limits or Limits(),
        progress=progress,
        on_new=on_new,
        on_change=on_change,
    )
    with take_inventory(target, prefix=selection.fixed_prefix, scratch=scratch) as inventory:
        if conflict is Conflict.REFUSE:
            if selection.is_everything:
                _refuse_any(target, inventory)
            else:
                _refuse_selected(target, _with_existing(_selected(entries(), selection), inventory.objects()))
        if delete_extra is not None:
            _check_deleting(selection, conflict)
            refuse_repository(target, inventory.objects())
        unproven: BackupError | None = None

        def delete_the_rest() -> None:
            nonlocal unproven
            if delete_extra is None or run.damage is not None or run.refusal is not None:
                return
            unproven = _unproven(run.result)
            if unproven is None:
                keys = (entry.key for entry in _selected(entries(), selection))
                found = extras(keys, inventory.objects(), may_go=delete_extra)
                run.result.deleted_bytes = delete_objects(
                    target, found, run.result.deleted, rehearse=rehearse, on_delete=on_change
                )

        try:
            run.write(
                _with_existing(_selected(entries(), selection), inventory.objects()), before_folders=delete_the_rest
            )
        except BackupError as error:
            _tell_what_stays(
                error, run.result, target, again=conflict if conflict is Conflict.OVERWRITE else Conflict.SKIP
            )
            raise
        if run.damage is not None or run.refusal is not None:
            raise _failure(run, target)
        if unproven is not None:
            raise unproven
    run.result.seconds = time.monotonic() - began
    return run.result


def _tell_what_stays(error: BackupError, result: FilesRestore, target: ObjectStore, *, again: Conflict) -> None:
    error.attributes.update(written_objects=result.written, written_bytes=result.written_bytes)
    error.add_note(
        f"{result.written} whole files ({result.written_bytes} bytes) were written to {target.url} before; "
        f"they stay, run again with conflict '{again}' to go on"
    )


def _failure(run: RestoreWriter, target: ObjectStore) -> BackupError:
    """Return the error of a restore that wrote everything but some files; damage is the worse news."""
    result = run.result
    refused = KeyNotRepresentable(
        f"{result.refused.count} of {result.selected} files have no place in {target.url}"
        + (f", the first is {result.refused.samples[0][0]!r}: {run.refusal.message}" if run.refusal else ""),
        hint="all other files were restored and nothing was deleted; restore these into another kind of store",
        refused=[key for key, _ in result.refused.samples],
        written_objects=result.written,
    )
    if run.damage is None:
        return refused
    damaged = type(run.damage)(
        f"{result.damaged.count} of {result.selected} files could not be restored, the first is "
        f"{result.damaged.samples[0][0]!r}: {run.damage.message}",
        hint="all other files were restored and nothing was deleted; take the damaged ones from another recovery point",
        damaged=[key for key, _ in result.damaged.samples],
        written_objects=result.written,
    )
    if run.refusal is not None:
        damaged.add_note(str(refused))
    return damaged


def _check_deleting(selection: Selection, conflict: Conflict) -> None:
    if not selection.is_whole_prefix or conflict is not Conflict.OVERWRITE:
        raise ConfigurationError(
            "what the backup does not have is deleted only where everything below a prefix is restored and overwritten",
            hint="choose no single files, and conflict 'overwrite'",
        )


def _unproven(result: FilesRestore) -> BackupError | None:
    """Return why nothing may be deleted, or None when what was written makes up for it."""
    if not result.selected:
        return ConfigurationError(
            "the backup has no file there, and so everything in the target would be deleted; nothing was",
            hint="is the prefix right? A place that is to be empty is emptied by hand",
        )
    if result.unproven.count:
        return RestoreMismatch(
            f"{result.unproven.count} files were restored, but nothing proves their bytes, the first is "
            f"{result.unproven.samples[0][0]!r}; so nothing was deleted",
            hint="compare them with another recovery point; without delete_extra the restore is done",
            unproven=[key for key, _ in result.unproven.samples],
        )
    return None


def _selected(entries: Iterable[FileEntry], selection: Selection) -> Iterator[FileEntry]:
    above = FoldersAbove[FileEntry]()
    for entry in entries:
        if entry.key in selection:
            yield from above.of(entry.key)
            yield entry
        elif entry.kind is PosixKind.DIRECTORY:
            above.leave_out(entry.key, entry)


def _with_existing(entries: Iterable[FileEntry], existing: Iterable[ObjectInfo]) -> Iterator[FileToWrite]:
    """Merge two ascending streams: every entry with what the target has at its key."""
    there = iter(existing)
    found = next(there, None)
    for entry in entries:
        while found is not None and found.key < entry.key:
            found = next(there, None)
        yield FileToWrite(entry, found if found is not None and found.key == entry.key else None)


def _refuse_any(target: ObjectStore, inventory: Inventory) -> None:
    there = (found.key for found in inventory.objects())
    first = next(there, None) or next((key for key, _ in inventory.special.samples), None)
    if first is not None:
        raise TargetNotEmpty(
            f"{target.url} is not empty, it holds {first!r}",
            hint="choose an empty target, or conflict 'skip' or 'overwrite'; nothing was written",
            key=first,
        )


def _refuse_selected(target: ObjectStore, files: Iterator[FileToWrite]) -> None:
    for file in files:
        if file.existing is not None and file.entry.kind is not PosixKind.DIRECTORY:
            raise TargetNotEmpty(
                f"{target.url} holds {file.entry.key!r} already",
                hint="choose another target, or conflict 'skip' or 'overwrite'; nothing was written",
                key=file.entry.key,
            )
