"""Collect what nobody references: contents and folders of attempts that ended, heartbeats, lists, old results.

What may go is decided by the log, and age is a second guard, not the reason. A content does not tell which attempt made
it, so as long as any attempt runs, or may still be resumed, everything younger than its ``begin`` counts as its own
(L-1): whatever is unknown is in progress. Ages are told by the store of objects that it wrote, and hosts' clocks and
names play no part (L-2, L-24). Nothing is recorded in the log, because nothing that the log names is touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

from lc2_backup_dagster.engines.files.manifest.identity import files_prefix, object_key
from lc2_backup_dagster.engines.files.manifest.sharing import unreferenced
from lc2_backup_dagster.engines.files.manifest.stored_content import place_of
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.model.errors import ComponentBusy, ConfigurationError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.purge.attempt_signs import attempt_folders, begun_at
from lc2_backup_dagster.operations.purge.delete_objects import Deletion, delete_objects
from lc2_backup_dagster.operations.purge.old_results import superseded_results
from lc2_backup_dagster.operations.purge.references import SORTED_IN_MEMORY, FilesReferences, LogMoved
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.history import History
from lc2_backup_dagster.repository.site import SiteRepository

GRACE = timedelta(days=7)
SHORTEST_GRACE = timedelta(days=1)
_TRIES = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class Garbage:
    """What was collected.

    Attributes:
        contents: objects of file contents that nobody references.
        attempts: objects in the folders of attempts that ended without a commit, or were purged.
        marks: heartbeats of attempts that ended, and lists of purges that were never decided.
        results: of verifications whose results newer ones have taken in.
    """

    contents: Deletion = field(default_factory=Deletion)
    attempts: Deletion = field(default_factory=Deletion)
    marks: Deletion = field(default_factory=Deletion)
    results: Deletion = field(default_factory=Deletion)

    @property
    def complete(self) -> bool:
        """Whether the store let everything go."""
        return all(each.complete for each in (self.contents, self.attempts, self.marks, self.results))


def collect_garbage(repository: SiteRepository, *, scratch: Path | None = None, grace: timedelta = GRACE) -> Garbage:
    """Delete what no backup, no running attempt and no later attempt can need.

    Idempotent; safe beside captures, purges and other collections, on any host.

    Args:
        repository: the site's.
        scratch: folder for lists that do not fit into memory.
        grace: how much older than now, and than the begin of every attempt that is not over, something must be.

    Raises:
        ConfigurationError: the grace is shorter than a day, so that a clock that jumps could matter.
        LogCorrupt: a folder belongs to an attempt that the log does not name. Nothing was deleted.
        IntegrityError: a manifest cannot be read, so nobody knows what is referenced. Nothing was deleted.
        ComponentBusy: purges kept changing the log. Nothing was deleted.
        StoreUnavailable: the store stayed away.
    """
    if grace < SHORTEST_GRACE:
        raise ConfigurationError(
            f"a grace of {grace} is too short to tell garbage from work in progress",
            hint=f"take at least {SHORTEST_GRACE}",
        )
    for _ in range(_TRIES):
        try:
            return _collect(repository, scratch=scratch, grace=grace)
        except LogMoved:
            continue
    raise ComponentBusy(
        f"backups of {repository.site} were purged {_TRIES} times while garbage was looked for",
        hint="try again when no purge runs; nothing was deleted",
    )


def _collect(repository: SiteRepository, *, scratch: Path | None, grace: timedelta) -> Garbage:
    store, site = repository.store, repository.site
    newest = store.now() - grace
    begins = _unfinished(repository.log.history())
    with (
        RowSorter(scratch, run_rows=SORTED_IN_MEMORY) as stored,
        FilesReferences(repository, scratch=scratch) as references,
    ):
        for found in store.list(files_prefix(site)):
            place = place_of(found.key, site)
            if place is not None and found.modified < newest:
                identity, number = place
                stored.add([identity, -1 if number is None else number, (found.modified - _EPOCH) // _MICROSECOND])
        folders = [(component, each) for component in Component for each in attempt_folders(repository, component)]
        references.gather()
        # Read last: what began while we looked is younger than all that was listed, if the store's clock did not jump.
        history = repository.log.history()
        begins |= _unfinished(history)
        oldest_work = min((begun_at(repository, each) for each in begins), default=newest + grace)
        horizon = min(newest, oldest_work - grace)
        return Garbage(
            contents=delete_objects(store, _contents(repository, stored, references, horizon)),
            attempts=delete_objects(store, _folders(repository, history, folders, newest)),
            marks=delete_objects(
                store, chain(_heartbeats(repository, history, newest), _lists(repository, history, newest))
            ),
            results=delete_objects(store, superseded_results(repository, newest=newest)),
        )


def _unfinished(history: History) -> set[int]:
    """Return the ``begin`` records of the files attempts whose contents a commit may still name."""
    running = {each.sequence for each in history.running.values() if each.component is Component.FILES}
    return running | {each.sequence for each in history.ended if each.component is Component.FILES}


def _contents(
    repository: SiteRepository, stored: RowSorter, references: FilesReferences, horizon: datetime
) -> Iterator[str]:
    before = (horizon - _EPOCH) // _MICROSECOND
    for identity, number, modified in unreferenced(stored.rows(), references.rows.rows()):
        if modified < before:
            yield object_key(repository.site, identity, part=None if number < 0 else number)


def _folders(
    repository: SiteRepository, history: History, folders: list[tuple[Component, str]], newest: datetime
) -> Iterator[str]:
    resumable = set(history.resumable(Component.FILES))  # other components never go on from an earlier attempt
    for component, attempt_id in folders:
        if attempt_id in history.backups or attempt_id in history.running or attempt_id in resumable:
            continue
        for found in repository.store.list(layout.backup_prefix(repository.site, component, attempt_id)):
            if found.modified < newest:
                yield found.key


def _heartbeats(repository: SiteRepository, history: History, newest: datetime) -> Iterator[str]:
    """Yield the heartbeats of attempts that ended, and of those that died before they began."""
    prefix = layout.heartbeats_prefix(repository.site)
    for found in repository.store.list(prefix):
        attempt_id = found.key.removeprefix(prefix).partition("/")[0]
        if attempt_id not in history.running and found.modified < newest:
            yield found.key


def _lists(repository: SiteRepository, history: History, newest: datetime) -> Iterator[str]:
    """Yield the lists that no ``purge`` record names: the process died, or the log had moved on."""
    prefix = layout.purges_prefix(repository.site)
    decided = {each.purge_id for each in history.purges}
    for found in repository.store.list(prefix):
        if found.key.removeprefix(prefix).partition("/")[0] not in decided and found.modified < newest:
            yield found.key
