"""After a restore: do the restored rows and the restored files fit, and which of the files does no row need.

The same join as when a recovery point is bound, but of what is really there: the application's query, run in the
restored database, against a listing of the target. It says so of the whole target; removed is only what this very
restore has brought.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.files.capture.counts import Sampled
from lc2_backup_dagster.engines.files.capture.inventory import take_inventory
from lc2_backup_dagster.engines.files.matching import RowMatch, match_rows
from lc2_backup_dagster.engines.files.scratch import Row, RowSorter
from lc2_backup_dagster.engines.postgres.dump.json_rows import json_rows
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.errors import BackupError, ConfigurationError
from lc2_backup_dagster.operations.browse.stored_files import stored_lines
from lc2_backup_dagster.operations.capture.reference_layout import query_of
from lc2_backup_dagster.operations.capture.row_references import has_references, read_references, row_references
from lc2_backup_dagster.operations.checks import files_match_rows
from lc2_backup_dagster.operations.restore.request import RestoreRequest, RestoreScope
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.site import SiteRepository


@dataclass(frozen=True, slots=True)
class TargetRows:
    """How restored rows and restored files fit.

    Attributes:
        match: what the join came to; None where it could not be made.
        passed: whether no more rows dangle than the site allows.
        message: one sentence for people.
        removed: files that no row names and that were removed.
    """

    match: RowMatch | None
    passed: bool
    message: str
    removed: Sampled = field(default_factory=Sampled)

    def told(self) -> dict[str, Any]:
        """Return what the log shall know of it."""
        if self.match is None:
            return {"rows": None, "problem": self.message}
        return {
            "rows": self.match.rows,
            "dangling": self.match.dangling_count,
            "size_mismatches": self.match.size_mismatch_count,
            "orphans": self.match.orphan_count,
            "orphans_removed": self.removed.count,
        }


def is_checked(context: SiteContext, request: RestoreRequest) -> bool:
    """Say whether rows and files are restored whole, so that they can be compared."""
    return (
        request.scope is RestoreScope.FULL
        and request.selection.is_everything
        and context.application.file_reference_sql is not None
    )


def require_rows(
    context: SiteContext, repository: SiteRepository, request: RestoreRequest, dump: CommittedBackup | None
) -> None:
    """Refuse to remove orphans where nothing tells which files are some.

    Raises:
        ConfigurationError: not everything of a point is restored, or its rows name no files.
    """
    if dump is None or not is_checked(context, request):
        raise ConfigurationError(
            "files that no row names are removed only where database and files of a point are restored whole, and "
            "where the application's rows name files",
            hint="restore everything of a recovery point, or leave the orphans",
        )
    if not has_references(repository.manifest_of(dump)):
        raise ConfigurationError(
            f"the rows that name files were not stored with {dump.backup_id}, so nobody can foresee what would go",
            hint="take another recovery point, or leave the orphans",
        )


def check_target(
    context: SiteContext,
    request: RestoreRequest,
    *,
    database: str,
    layout: str | None,
    target: ObjectStore,
    new: RowSorter,
    scratch: Path,
) -> TargetRows:
    """Compare the rows of a restored database with the files of the target; remove orphans where that is asked for.

    A check that cannot be made is no failure of the restore: what could not be asked is told.

    Args:
        context: the site.
        request: the wish.
        database: name of the restored database.
        layout: in which its rows name files, as the dump says.
        target: where the files went.
        new: keys that the restore has written where there was no file; orphans among them may be removed.
        scratch: folder for what does not fit into memory.
    """
    try:
        with RowSorter(scratch) as orphans:
            match = _match(context, database, layout, target, orphans, scratch)
            outcome = files_match_rows(asdict(match), dangling_limit_share=context.limits.dangling_rows_share)
            if not request.remove_orphans:
                return TargetRows(match, outcome.passed, outcome.message)
            if not match.rows or not outcome.passed:
                # Rows that miss their files say that the query is not the right one, and then all files are orphans.
                reason = "no row names a file" if not match.rows else "too many rows miss their files"
                return TargetRows(match, outcome.passed, f"{outcome.message}; no orphan was removed, because {reason}")
            removed = Sampled()
            target.delete(_told(_of_both(orphans, new), removed))
            return TargetRows(match, outcome.passed, f"{outcome.message}; {removed.count} of those removed", removed)
    except BackupError as error:
        return TargetRows(None, passed=False, message=f"rows and files could not be compared: {error.message}")


def foreseen_orphans(
    context: SiteContext,
    repository: SiteRepository,
    dump: CommittedBackup,
    files: CommittedBackup,
    *,
    new: RowSorter,
    scratch: Path,
) -> Sampled:
    """Return what ``check_target`` would remove, from the rows that were stored with the dump.

    Args:
        context: the site.
        repository: its repository.
        dump: the point's dump.
        files: the point's files.
        new: keys that the restore would write where there is no file.
        scratch: folder for what does not fit into memory.
    """
    with (
        RowSorter(scratch) as orphans,
        row_references(repository, repository.manifest_of(dump), is_selected=context.files.is_selected) as references,
        stored_lines(repository, files, members=[dump.backup_id]) as lines,
    ):
        match_rows(
            references,
            (line.entry() for line in lines),
            is_generated=context.files.is_generated,
            on_orphan=lambda key: orphans.add([key]),
        )
        found = Sampled()
        for _ in _told(_of_both(orphans, new), found):
            pass
        return found


def _match(
    context: SiteContext, database: str, layout: str | None, target: ObjectStore, orphans: RowSorter, scratch: Path
) -> RowMatch:
    with ExitStack() as stack:
        references = stack.enter_context(_restored_references(context, database, layout))
        inventory = stack.enter_context(take_inventory(target, scratch=scratch))
        return match_rows(
            references,
            inventory.objects(),
            is_generated=context.files.is_generated,
            on_orphan=lambda key: orphans.add([key]),
        )


@contextmanager
def _restored_references(context: SiteContext, database: str, layout: str | None) -> Generator[Iterator[FileReference]]:
    query = query_of(context.application, layout)
    assert query is not None
    with json_rows(context.restore.server.on(database), query) as rows:
        yield (each for each in read_references(rows) if context.files.is_selected(each.key))


def _of_both(orphans: RowSorter, new: RowSorter) -> Iterator[str]:
    """Yield the keys that both have."""
    written: Iterator[Row] = new.rows()
    waiting = next(written, None)
    for (key,) in orphans.rows():
        while waiting is not None and waiting[0] < key:
            waiting = next(written, None)
        if waiting is not None and waiting[0] == key:
            yield key


def _told(keys: Iterator[str], counted: Sampled) -> Iterator[str]:
    for key in keys:
        counted.add(key)
        yield key
