"""Plan a restore of files: which, where to, what would happen to them, and what stands in the way."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.engines.files.restore.writing import Conflict
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError, TargetNotEmpty
from lc2_backup_dagster.operations.browse.stored_files import keeps_for, stored_lines
from lc2_backup_dagster.operations.restore.files_target import (
    is_in_place,
    is_new_directory,
    open_target,
    refuse_inside_repository,
    require_confirmed,
    target_name,
    target_prefix,
)
from lc2_backup_dagster.operations.restore.library import restore_library
from lc2_backup_dagster.operations.restore.request import FilesForecast, FilesPlan, RestoreRequest
from lc2_backup_dagster.operations.restore.target_rows import foreseen_orphans, require_rows
from lc2_backup_dagster.operations.scratch import scratch_folder
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository

_FIRST_NAMES = 10


def plan_files(
    context: SiteContext,
    repository: SiteRepository,
    request: RestoreRequest,
    files: CommittedBackup,
    blockers: list[BackupError],
    *,
    members: tuple[str, ...] = (),
    dump: CommittedBackup | None = None,
) -> FilesPlan:
    """Plan the files of a request; a dry run finds out about every single one.

    Args:
        context: the site.
        repository: its repository.
        request: the wish.
        files: the files backup.
        blockers: everything that stands in the way is added to it.
        members: what the recovery point binds, where one was asked for.
        dump: the dump among them, where the database is restored too.
    """
    objects, plain_bytes, anything = _selected(repository, files, request, members)
    name = target_name(context, request)
    target, forecast, in_place = name, None, False
    before = len(blockers)
    if not anything:
        blockers.append(_nothing_selected(files, request))
    with _told_to(blockers):
        if request.delete_extra:
            _check_deleting(files, request)
    with _told_to(blockers):
        if request.remove_orphans:
            require_rows(context, repository, request, dump)
    with _told_to(blockers):
        if not request.dry_run:
            require_confirmed(context, request)
    with _told_to(blockers):
        if is_new_directory(request.files_directory):
            forecast = FilesForecast(objects, plain_bytes, 0, 0, 0, 0, ())
        else:
            store = open_target(context, request, create=False)
            target = store.url
            in_place = is_in_place(context, store)
            _check_target(repository, request, store)
            if request.dry_run and len(blockers) == before:
                forecast = _rehearsed(context, repository, request, files, store, members, dump)
    cdn = context.restore.cdn
    if request.invalidate_cdn and cdn is None:
        blockers.append(
            ConfigurationError(
                f"the site file of {context.site} names no CDN", hint="set restore.files.cdn, or invalidate it by hand"
            )
        )
    told = in_place if request.invalidate_cdn is None else request.invalidate_cdn
    return FilesPlan(
        backup_id=files.backup_id,
        target=target,
        bucket=request.files_bucket,
        prefix=target_prefix(request),
        objects=objects,
        plain_bytes=plain_bytes,
        confirmation=name,
        members=members,
        forecast=forecast if request.dry_run else None,
        cdn=cdn.title if cdn and told else None,
    )


def notes_of(context: SiteContext, request: RestoreRequest, plan: FilesPlan | None) -> Iterator[str]:
    """Say what a person must know of the files of a restore."""
    if plan is not None and plan.cdn is None and context.restore.cdn is not None:
        why = "they do not go into the application's own store" if request.invalidate_cdn is None else "so it was asked"
        yield f"CDN: it is not told of the restored files, because {why}"


@contextmanager
def _told_to(blockers: list[BackupError]) -> Generator[None]:
    """Let one refusal not hide the others."""
    try:
        yield
    except BackupError as error:
        blockers.append(error)


def _selected(
    repository: SiteRepository, files: CommittedBackup, request: RestoreRequest, members: tuple[str, ...]
) -> tuple[int, int, bool]:
    """Return how many files are meant, their bytes, and whether anything is: a choice of folders alone is a choice."""
    selection = request.selection
    if selection.is_everything:
        objects, plain_bytes = files.summary.get("objects", 0), files.summary.get("logical_bytes", 0)
        if members and keeps_for(manifest := repository.manifest_of(files), members):
            objects += manifest.details["kept"]["objects_more"]
            plain_bytes += manifest.details["kept"]["bytes_more"]
        return objects, plain_bytes, True
    objects = plain_bytes = 0
    anything = False
    with stored_lines(repository, files, prefix=selection.fixed_prefix, folders=True, members=members) as lines:
        for line in lines:
            if line.key in selection:
                anything = True
                objects += not line.is_folder
                plain_bytes += line.size_bytes
    return objects, plain_bytes, anything


def _nothing_selected(files: CommittedBackup, request: RestoreRequest) -> ConfigurationError:
    below = [f"begins with '{request.below}'"] if request.below else []
    globs = [f"matches {', '.join(request.globs)}"] if request.globs else []
    keys = [f"is {', '.join(request.keys)}"] if request.keys else []
    return ConfigurationError(
        f"no file of {files.backup_id} {' and '.join([*below, *globs, *keys])}",
        hint="a glob is for the whole key; * is any text, slashes included; lc2-backup ls and find show keys",
    )


def _check_deleting(files: CommittedBackup, request: RestoreRequest) -> None:
    if not request.selection.is_whole_prefix or request.conflict is not Conflict.OVERWRITE:
        raise ConfigurationError(
            "what the backup does not have is deleted only where everything below a prefix is restored and overwritten",
            hint="choose no single files, and conflict 'overwrite'",
        )
    if files.summary.get("partial"):
        raise ConfigurationError(
            f"{files.backup_id} is partial: what it lacks may be the source's all the same, so nothing is deleted",
            hint="take a complete backup, or delete nothing",
        )


def _check_target(repository: SiteRepository, request: RestoreRequest, store: ObjectStore) -> None:
    if request.changes_what_is_there:
        refuse_inside_repository(repository.store, store)
    store.check(write=True)
    if request.conflict is Conflict.REFUSE and request.selection.is_everything:
        there = next(store.list(), None)
        if there is not None:
            raise TargetNotEmpty(
                f"{store.url} is not empty, it holds {there.key!r}",
                hint="name another prefix, or conflict 'skip' or 'overwrite'",
            )


def _rehearsed(
    context: SiteContext,
    repository: SiteRepository,
    request: RestoreRequest,
    files: CommittedBackup,
    store: ObjectStore,
    members: tuple[str, ...],
    dump: CommittedBackup | None,
) -> FilesForecast:
    with (
        scratch_folder(context.database.scratch_directory, context.site, "plan-files") as scratch,
        RowSorter(scratch) as new,
    ):
        found = restore_library(
            context,
            repository,
            request,
            backup_id=files.backup_id,
            members=members,
            target=store,
            rehearse=True,
            on_new=lambda key: new.add([key]),
        )
        orphans = Sampled()
        if request.remove_orphans and dump is not None:
            orphans = foreseen_orphans(context, repository, dump, files, new=new, scratch=scratch)
    return FilesForecast(
        written=found.written,
        written_bytes=found.written_bytes,
        overwritten=found.overwritten,
        kept=found.kept,
        deleted=found.deleted.count,
        deleted_bytes=found.deleted_bytes,
        deleted_first=tuple(key for key, _ in found.deleted.samples[:_FIRST_NAMES]),
        orphans=orphans.count,
        orphans_first=tuple(key for key, _ in orphans.samples[:_FIRST_NAMES]),
    )
