"""Which stored file contents are still named by somebody: committed backups, expired ones too, and journals.

A purge and a collection of garbage both begin here. Whatever cannot be read ends them: what nobody can read may name
anything (L-28).
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lc2_backup_dagster.engines.files.capture.journal import read_journals
from lc2_backup_dagster.engines.files.manifest.entry import KEPT_STREAM, STREAM, kept_stream
from lc2_backup_dagster.engines.files.manifest.lines import read_lines
from lc2_backup_dagster.engines.files.manifest.sharing import contents_of, lines_not_in
from lc2_backup_dagster.engines.files.manifest.stored_content import StoredContent
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.model.errors import FormatNotSupported, IntegrityError, PartCorrupt
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository.history import CommittedBackup, History
from lc2_backup_dagster.repository.site import SiteRepository

SORTED_IN_MEMORY = 100_000
"""Rows of an identity and a number that are sorted at once; about 20 MB."""


class LogMoved(Exception):
    """What was looked at is no longer what the log names; look again. Never leaves the operations."""


class FilesReferences:
    """Gathers the identities that backups and journals of a site name; a context manager that frees its scratch space.

    Args:
        repository: the site's.
        leaving_out: files backups that do not count, because they are to be purged.
        scratch: folder for what does not fit into memory.

    Attributes:
        kept: the files backups that were looked at, in commit order.
        rows: one row for each identity at least, in any order.
    """

    def __init__(
        self, repository: SiteRepository, *, leaving_out: frozenset[str] = frozenset(), scratch: Path | None
    ) -> None:
        self._repository = repository
        self._leaving_out = leaving_out
        self._scratch = scratch
        self.kept: dict[str, CommittedBackup] = {}
        self.rows = RowSorter(scratch, run_rows=SORTED_IN_MEMORY)

    def gather(self) -> None:
        """Look at every files backup that the log names, also those that are committed meanwhile, and at the journals.

        Raises:
            LogMoved: a backup was purged while it was read.
            IntegrityError: a manifest or a journal cannot be read; the message says what to do.
        """
        while further := self._further(self._repository.log.history()):
            for backup in further:
                self._take(backup)
        self._take_journals(self._repository.log.history())

    def still_all(self, history: History) -> bool:
        """Say whether the log names exactly the files backups that were looked at."""
        return self.kept.keys() == {each.backup_id for each in self._counting(history)}

    def nearest(self, backup: CommittedBackup, *, also: Sequence[CommittedBackup] = ()) -> CommittedBackup | None:
        """Return the backup committed nearest to another one: it shares the most.

        Args:
            backup: the other one.
            also: backups to choose from beside those that were looked at.
        """
        pool = (*self.kept.values(), *also)
        return min(pool, key=lambda each: abs(each.sequence - backup.sequence), default=None)

    def lines_of_its_own(self, backup: CommittedBackup, other: CommittedBackup | None) -> Iterator[StoredContent]:
        """Yield what the lines name that one backup has and another has not, and all that it kept for rows.

        Raises:
            LogMoved: one of them was purged meanwhile.
            IntegrityError: a manifest cannot be read.
        """
        with ExitStack() as stack:
            lines = stack.enter_context(self._lines(backup))
            others = stack.enter_context(self._lines(other)) if other else iter(())
            name = f"files of {backup.backup_id}"
            yield from contents_of(lines_not_in(lines, others, name=name), self._repository.site, name=name)
        # What was kept for rows is little, and no neighbour has the same lines of it.
        with self._lines(backup, kept=True) as lines:
            name = f"kept files of {backup.backup_id}"
            yield from contents_of(lines, self._repository.site, name=name)

    def _counting(self, history: History) -> Iterator[CommittedBackup]:
        for each in history.backups.values():
            if each.component is Component.FILES and each.backup_id not in self._leaving_out:
                yield each

    def _further(self, history: History) -> list[CommittedBackup]:
        return [each for each in self._counting(history) if each.backup_id not in self.kept]

    def _take(self, backup: CommittedBackup) -> None:
        before = next(reversed(self.kept.values()), None)
        for content in self.lines_of_its_own(backup, before):
            self.rows.add([content.identity, content.parts])
        self.kept[backup.backup_id] = backup

    def _take_journals(self, history: History) -> None:
        """Take what attempts have finished that a later one may take over, running ones too: they may die.

        A journal names only what its own attempt copied, so no committed backup shares it. It is read all the same:
        this is the one thing whose loss would show only years later, in a restore.
        """
        attempts = (*history.resumable(Component.FILES), *_running(history))
        with read_journals(self._repository, attempts, scratch=self._scratch) as finished:
            if finished.damaged:
                now = self._repository.log.history()
                if attempts != (*now.resumable(Component.FILES), *_running(now)):
                    raise LogMoved
                raise PartCorrupt(
                    f"{finished.damaged[0]} in {self._repository.store.url} cannot be read, so nobody knows which "
                    "contents the next capture takes over",
                    hint="let a capture of the files run to its end, then try again; nothing was deleted",
                    key=finished.damaged[0],
                )
            for entry in finished.entries():
                content = StoredContent.of(entry, self._repository.site)
                if content is not None:
                    self.rows.add([content.identity, content.parts])

    @contextmanager
    def _lines(self, backup: CommittedBackup, *, kept: bool = False) -> Generator[Iterator[bytes]]:
        try:
            manifest = self._repository.manifest_of(backup)
            beside = kept_stream(manifest.streams)
            if manifest.streams.keys() - {beside} != {STREAM}:
                raise FormatNotSupported(
                    f"backup {backup.backup_id} has the streams {', '.join(manifest.streams)}; this version knows of "
                    f"'{STREAM}' and '{KEPT_STREAM}' only",
                    hint="use a newer lc2-backup",
                )
            name = beside if kept else STREAM
            if name is None:
                yield iter(())
                return
            with self._repository.open_stream(manifest, name) as reader:
                yield read_lines(reader, f"{name} of {backup.backup_id}")
        except IntegrityError as error:
            if backup.backup_id not in self._repository.log.history().backups:
                raise LogMoved from error
            raise type(error)(
                f"the files manifest of backup {backup.backup_id} cannot be read, so nobody knows which contents it "
                f"shares: {error.message}",
                hint="bring the object back from the bucket's older versions, then try again; nothing was deleted",
                **{**error.attributes, "backup_id": backup.backup_id},
            ) from error

    def close(self) -> None:
        """Free memory and disk."""
        self.rows.close()

    def __enter__(self) -> "FilesReferences":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _running(history: History) -> tuple[str, ...]:
    return tuple(each.attempt_id for each in history.running.values() if each.component is Component.FILES)
