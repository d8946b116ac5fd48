"""Keep, with a capture of files, what rows of the dump before it name and the listing no longer has (R-26).

The daily run dumps first and lists after that. So the dump whose rows count is known when the files are captured: it is
the one that a recovery point will bind with them. Should a point bind another dump (one that was made later), what was
kept is not laid over its files, and the join finds what dangles, as if nothing had been kept.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import merge
from typing import Any

from lc2_backup_dagster.engines.files.capture.capture import FilesCapture, FileSource
from lc2_backup_dagster.engines.files.capture.transfer import Limits
from lc2_backup_dagster.engines.files.keeping.keep import RowsOfDump, keep_for_rows
from lc2_backup_dagster.engines.files.keeping.kept import KeptFiles, read_kept, write_kept
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine, entry_lines
from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import IntegrityError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.model.window import Window
from lc2_backup_dagster.operations.browse.stored_files import keeps_for, kept_lines, stored_lines
from lc2_backup_dagster.operations.capture.files_plan import FilesPlan
from lc2_backup_dagster.operations.capture.point_members import newest_not_after
from lc2_backup_dagster.operations.capture.row_references import has_references, row_references
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.repository.attempt import Attempt
from lc2_backup_dagster.repository.history import CommittedBackup
from lc2_backup_dagster.repository.layout import backup_prefix
from lc2_backup_dagster.repository.manifest import Manifest
from lc2_backup_dagster.repository.reading import StoredStream
from lc2_backup_dagster.repository.site import SiteRepository


def with_kept_files(
    context: SiteContext,
    attempt: Attempt,
    repository: SiteRepository,
    source: FileSource,
    captured: FilesCapture,
    *,
    plan: FilesPlan,
    window: Window,
    limits: Limits,
    repeatable: bool = False,
) -> FilesCapture:
    """Return a capture with what was kept for the rows of the dump that it belongs to; as it is without one.

    Args:
        context: the site.
        attempt: the running attempt, which has written its manifest of files.
        repository: the site's repository.
        source: all files of the site.
        captured: what was captured.
        plan: what the capture stands on.
        window: what is to be filled.
        limits: what may be used.
        repeatable: whether the step that calls may be run again for the same attempt: what was kept is written down
            then, and found by the next try.

    Raises:
        StoreUnavailable: a store stayed away.
        Fenced: the attempt was superseded.
        BackupError: what else the engine raises.
    """
    if repeatable and (earlier := read_kept(repository, attempt.backup_id)) is not None:
        return _joined(captured, earlier)
    rows = _rows(context, repository, window, begun_sequence=_begun(repository, attempt), as_of=plan.as_of)
    if rows is None:
        return captured

    @contextmanager
    def listed() -> Generator[Iterator[EntryLine]]:
        (stream,) = captured.streams
        prefix = backup_prefix(repository.site, Component.FILES, attempt.backup_id)
        stored = StoredStream(
            repository.store, repository.sealer, prefix=prefix, stream=stream, key_id=repository.sealer.key_id
        )
        with stored.open() as reader:
            yield entry_lines(reader, name=f"files of {attempt.backup_id}")

    kept = keep_for_rows(
        attempt,
        repository,
        source,
        rows,
        listed=listed,
        known=lambda: _known(repository, plan),
        versions=plan.keeps_versions,
        again=repeatable,
        scratch=context.database.scratch_directory,
        limits=limits,
    )
    if repeatable:
        kept = write_kept(attempt, repository, kept)
    return _joined(captured, kept)


def kept_counts(files: Manifest, dump_id: str) -> dict[str, Any]:
    """Return how many files were kept for the rows of a dump, and from where, as facts of a recovery point."""
    told = files.details["kept"] if keeps_for(files, [dump_id]) else {}
    return {
        "from_backup": told.get("from_backup", 0),
        "from_versions": told.get("from_versions", 0),
        "nobody_has": told.get("lost", 0),
        "keeping_problem": told.get("problem", ""),
    }


def _joined(captured: FilesCapture, kept: KeptFiles) -> FilesCapture:
    streams = (*captured.streams, kept.stream) if kept.stream else captured.streams
    return replace(captured, streams=streams, kept=kept)


def _begun(repository: SiteRepository, attempt: Attempt) -> int:
    running = repository.log.history().running.get(attempt.backup_id)
    return running.sequence if running else 0  # superseded: its commit is refused anyway


def _rows(
    context: SiteContext, repository: SiteRepository, window: Window, *, begun_sequence: int, as_of: datetime | None
) -> RowsOfDump | None:
    dump = _dump(repository, window, begun_sequence=begun_sequence, as_of=as_of)
    if dump is None:
        return None
    try:
        manifest = repository.manifest_of(dump)
    except IntegrityError:
        return None  # a damaged dump is told by whoever binds or verifies it; these files are whole without it
    if not has_references(manifest):
        return None
    return RowsOfDump(
        dump.backup_id,
        from_text(manifest.moment.restorable_until),
        lambda: row_references(repository, manifest, is_selected=context.files.is_selected),
    )


def _dump(
    repository: SiteRepository, window: Window, *, begun_sequence: int, as_of: datetime | None
) -> CommittedBackup | None:
    """Return the dump that ``point_members`` will choose for files of a window, as far as it is there already."""
    dumps = [each for each in repository.backups(Component.DATABASE_DUMP) if each.sequence < begun_sequence]
    if as_of is not None:
        return newest_not_after(dumps, to_text(as_of), window=window.key)
    # Not one that was rebuilt of a past day: no files listed now are of that day.
    if (dump := _newest_made_then(repository, dumps, window)) is not None:
        return dump
    # One that lasted past the end of its window is bound with the first files behind it.
    before = Window.around(window.start - timedelta(microseconds=1), length=window.length)
    late = _newest_made_then(repository, dumps, before)
    followed = late is not None and any(
        each.summary["begun_sequence"] > late.sequence for each in repository.backups(Component.FILES)
    )
    return None if followed else late


def _newest_made_then(
    repository: SiteRepository, dumps: Sequence[CommittedBackup], window: Window
) -> CommittedBackup | None:
    of_window = (each for each in reversed(dumps) if each.window == window.key)
    return next((each for each in of_window if not _is_rebuilt(repository, each)), None)


def _is_rebuilt(repository: SiteRepository, dump: CommittedBackup) -> bool:
    try:
        return repository.manifest_of(dump).details.get("rebuilt_from") is not None
    except IntegrityError:
        return True  # whatever it is, it is not readable; whoever binds or verifies it says so


@contextmanager
def _known(repository: SiteRepository, plan: FilesPlan) -> Generator[Iterator[EntryLine]]:
    """Open what the bases of a capture have of each file, what they kept for their own rows too, ascending by key."""
    with ExitStack() as stack:
        sides = [
            stack.enter_context(opened)
            for base in plan.bases
            for opened in (stored_lines(repository, base), kept_lines(repository, base))
        ]
        yield merge(*sides, key=lambda line: line.key)
