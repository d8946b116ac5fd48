"""Purge expired backups: decide what goes with them, write it down, say so in the log, and only then delete.

Order of writes (each is harmless without the next): the list of dead contents → the ``purge`` record that names it →
deletes → a mark that it has finished. Killed before the record nothing has happened; killed after it the next
call goes on from the list. Contents that another backup names, a journal or a base are never on the list, and no
capture that began meanwhile can name what is: it may share only what unexpired backups name, and a commit whose
base was purged is refused (``repository/attempt.py``).
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from lc2_backup_dagster.engines.files.manifest.sharing import distinct, unreferenced
from lc2_backup_dagster.engines.files.manifest.stored_content import StoredContent, read_list
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.model.errors import ComponentBusy, IntegrityError, PurgeRefused, RecoveryPointNotFound
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.operations.purge.attempt_signs import attempt_folders, may_be_alive
from lc2_backup_dagster.operations.purge.delete_objects import Deletion, delete_objects
from lc2_backup_dagster.operations.purge.references import SORTED_IN_MEMORY, FilesReferences, LogMoved
from lc2_backup_dagster.operations.purge.refusals import purge_refusals
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.history import CommittedBackup, History, Purge
from lc2_backup_dagster.repository.purge_lists import PurgeList
from lc2_backup_dagster.repository.record import Initiator, RecordType
from lc2_backup_dagster.repository.site import SiteRepository

GRACE = timedelta(days=1)
_TRIES = 5


@dataclass(frozen=True, slots=True)
class PurgeOutcome:
    """How far a purge has come.

    Attributes:
        purge_id: names its list in the repository; None where an older writer made none.
        backup_ids: the backups that are gone.
        contents: stored contents of files that went with them.
        objects: objects that are gone now.
        deletion: what the store refused.
        finished: whether everything is deleted; otherwise ``resume_purges`` goes on.
    """

    purge_id: str | None
    backup_ids: tuple[str, ...]
    contents: int
    objects: int
    deletion: Deletion
    finished: bool


def purge_backups(
    repository: SiteRepository,
    backup_ids: Iterable[str],
    *,
    initiator: Initiator,
    scratch: Path | None = None,
    grace: timedelta = GRACE,
) -> list[PurgeOutcome]:
    """Delete expired backups for ever, with every stored content that only they name.

    Idempotent: backups that were purged already are not purged again, but what their purge has left is deleted. Two
    processes may do it at once.

    Args:
        repository: the site's.
        backup_ids: backups that have expired.
        initiator: who asks.
        scratch: folder for lists that do not fit into memory.
        grace: how long an attempt must have shown no sign of life, by the store's clock, before it no longer keeps
            the backups that it names as bases.

    Returns:
        One outcome for every purge that these backups went with and that had not finished before.

    Raises:
        RecoveryPointNotFound: the log has never named one of them.
        PurgeRefused: one of them is still needed; the message names every reason. Nothing was purged.
        IntegrityError: what other backups share cannot be known. Nothing was purged.
        ComponentBusy: captures and purges kept changing the log. Nothing was purged.
        StoreUnavailable: the store stayed away; ``resume_purges`` goes on where the log names the purge.
    """
    wanted = tuple(dict.fromkeys(backup_ids))
    for _ in range(_TRIES):
        history = repository.log.history()
        _require_known(repository, history, wanted)
        remaining = [each for each in wanted if each in history.backups]
        if not remaining:
            break
        try:
            _record(repository, history, remaining, initiator=initiator, scratch=scratch, grace=grace)
        except LogMoved:
            continue
    else:
        raise ComponentBusy(
            f"the log of {repository.site} changed {_TRIES} times while a purge was decided",
            hint="try again when no capture or other purge is about to end; nothing was purged",
        )
    concerned = [each for each in repository.log.known.purges if not each.backups.keys().isdisjoint(wanted)]
    return _carry_out(repository, concerned)


def resume_purges(repository: SiteRepository) -> list[PurgeOutcome]:
    """Go on with every purge that has not finished; decides nothing, idempotent.

    Raises:
        IntegrityError: a purge's list is gone or damaged; all other purges went on. What it named is garbage now, which
            ``collect_garbage`` finds.
        StoreUnavailable: the store stayed away.
    """
    return _carry_out(repository, repository.log.history().purges)


def _require_known(repository: SiteRepository, history: History, backup_ids: tuple[str, ...]) -> None:
    purged = {backup_id for purge in history.purges for backup_id in purge.backups}
    for backup_id in backup_ids:
        if backup_id not in history.backups and backup_id not in purged:
            raise RecoveryPointNotFound(
                f"backup {backup_id} of {repository.site} does not exist",
                hint="lc2-backup list --expired shows what can be purged; nothing was purged",
                backup_id=backup_id,
            )


def _record(
    repository: SiteRepository,
    history: History,
    backup_ids: list[str],
    *,
    initiator: Initiator,
    scratch: Path | None,
    grace: timedelta,
) -> None:
    """Decide on the log as it stands, write the list, and append the record if the log still stands there.

    Raises:
        LogMoved: it does not.
    """
    _require_purgeable(repository, history, backup_ids, grace=grace)
    files = [history.backups[each] for each in backup_ids if history.backups[each].component is Component.FILES]
    if files:
        attempt_folders(repository, Component.FILES)
    purge_id = f"{repository.store.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    with FilesReferences(
        repository, leaving_out=frozenset(each.backup_id for each in files), scratch=scratch
    ) as references:
        listed = _listed(repository, references, files, purge_id, scratch=scratch) if files else None

        def decide(now: History) -> dict[str, Any]:
            if not all(each in now.backups for each in backup_ids) or (files and not references.still_all(now)):
                raise LogMoved
            _require_purgeable(repository, now, backup_ids, grace=grace)
            return {"backup_ids": backup_ids, "purge_id": purge_id, "contents": listed.body() if listed else None}

        repository.log.append(RecordType.PURGE, initiator=initiator, decide=decide)


def _require_purgeable(
    repository: SiteRepository, history: History, backup_ids: list[str], *, grace: timedelta
) -> None:
    alive = [
        each
        for each in history.running.values()
        if not set(each.bases).isdisjoint(backup_ids) and may_be_alive(repository, each, grace=grace)
    ]
    refusals = purge_refusals(history, backup_ids, alive=alive, members_of=_members_of(repository))
    if refusals:
        raise PurgeRefused(
            f"a purge of {repository.site} is refused: {'; '.join(map(str, refusals))}",
            hint=f"{', or '.join(dict.fromkeys(each.remedy for each in refusals))}; nothing was purged",
            backup_ids=list(dict.fromkeys(each.backup_id for each in refusals)),
        )


def _members_of(repository: SiteRepository) -> Callable[[CommittedBackup], list[str]]:
    def members(point: CommittedBackup) -> list[str]:
        told = point.summary.get("member_ids")
        if told is None:  # a summary is for lists; the manifest is the truth
            named = repository.manifest_of(point).details["members"]
            return [each["backup_id"] for each in named.values()]
        return told

    return members


def _listed(
    repository: SiteRepository,
    references: FilesReferences,
    files: list[CommittedBackup],
    purge_id: str,
    *,
    scratch: Path | None,
) -> PurgeList:
    references.gather()
    with RowSorter(scratch, run_rows=SORTED_IN_MEMORY) as candidates:
        for number, backup in enumerate(files):
            # Most of it the nearest backup has too. If that one stays, it is no candidate; else it is one already.
            nearest = references.nearest(backup, also=files[:number])
            for content in references.lines_of_its_own(backup, nearest):
                candidates.add([content.identity, content.parts])
        dead = distinct(unreferenced(candidates.rows(), references.rows.rows()))
        return repository.purge_lists.write(purge_id, (StoredContent(*row).line() for row in dead))


def _carry_out(repository: SiteRepository, purges: Iterable[Purge]) -> list[PurgeOutcome]:
    finished = repository.purge_lists.finished()
    outcomes: list[PurgeOutcome] = []
    failures: list[IntegrityError] = []
    for purge in purges:
        if purge.purge_id not in finished:
            try:
                outcomes.append(_delete(repository, purge))
            except IntegrityError as error:  # one lost list must not keep all other purges from going on
                failures.append(error)
    if failures:
        raise failures[0]
    return outcomes


def _delete(repository: SiteRepository, purge: Purge) -> PurgeOutcome:
    """Delete what a purge listed, and the folders of its backups; the mark comes last."""
    deletion = delete_objects(repository.store, chain(_contents(repository, purge.listed), _folders(repository, purge)))
    if deletion.complete and purge.purge_id is not None:
        repository.purge_lists.finish(purge.purge_id)
    return PurgeOutcome(
        purge_id=purge.purge_id,
        backup_ids=tuple(purge.backups),
        contents=purge.listed.count if purge.listed else 0,
        objects=deletion.count,
        deletion=deletion,
        finished=deletion.complete,
    )


def _contents(repository: SiteRepository, listed: PurgeList | None) -> Iterator[str]:
    if listed is not None:
        with repository.purge_lists.open(listed) as reader:
            for content in read_list(reader, name=f"list of purge {listed.purge_id}"):
                yield from content.keys(repository.site)


def _folders(repository: SiteRepository, purge: Purge) -> Iterator[str]:
    for backup_id, component in purge.backups.items():
        folder = layout.backup_prefix(repository.site, component, backup_id)
        for found in repository.store.list(folder):
            yield found.key
