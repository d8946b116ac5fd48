"""Restore the files of a backup, or rehearse it."""

from collections.abc import Callable, Generator

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.engines.files.ports import Progress
from lc2_backup_dagster.engines.files.restore.restore import restore_files
from lc2_backup_dagster.engines.files.restore.writing import FilesRestore
from lc2_backup_dagster.engines.files.verify.proof_sets import known_hashes
from lc2_backup_dagster.engines.files.verify.proofs import with_known_hashes
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.operations.browse.stored_files import stored_lines
from lc2_backup_dagster.operations.restore.request import RestoreRequest
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.site import SiteRepository


def restore_library(
    context: SiteContext,
    repository: SiteRepository,
    request: RestoreRequest,
    *,
    backup_id: str,
    members: tuple[str, ...] = (),
    target: ObjectStore,
    rehearse: bool,
    progress: Progress | None = None,
    on_new: Callable[[str], None] = lambda key: None,
    on_change: Callable[[str], None] = lambda key: None,
) -> FilesRestore:
    """Restore the files that a request means.

    Args:
        context: the site.
        repository: its repository.
        request: the wish.
        backup_id: the files backup.
        members: what the recovery point binds, where one was asked for: then files are as of its moment.
        target: where to.
        rehearse: decide and count everything, and change nothing.
        progress: told files and bytes done.
        on_new: told the key of every file that was written where there was none.
        on_change: told the key of every file that was written or is deleted.

    Raises:
        BackupError: everything the engine raises.
    """
    backup = repository.backup(backup_id)
    selection = request.selection
    # Etags are the source's: those of another one that the site had before mean nothing in this one.
    same_source = backup.summary.get("source_id") == context.files.source_id

    def entries() -> Generator[FileEntry]:
        with (
            stored_lines(repository, backup, prefix=selection.fixed_prefix, folders=True, members=members) as lines,
            known_hashes(repository) as known,
        ):
            yield from with_known_hashes((line.entry() for line in lines if line.key in selection), known)

    with scratch_folder(context.database.scratch_directory, context.site, "restore-files") as scratch:
        return restore_files(
            repository,
            entries,
            target,
            selection=selection,
            conflict=request.conflict,
            origin=context.files.store if same_source else None,
            checksum=request.checksum,
            # What a backup leaves out (generated files) is not too much because it is not in the backup.
            delete_extra=context.files.is_selected if request.delete_extra else None,
            rehearse=rehearse,
            scratch=scratch,
            limits=Limits(max_concurrency=context.files.max_concurrency),
            progress=progress,
            on_new=on_new,
            on_change=on_change,
        )
