"""Carries out changes in parallel, within a bound of memory, and writes the new manifest in order.

One thread (the caller's) decides, orders and counts; workers copy (``copying``).
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from lc2_backup_dagster.clouds.store import ObjectInfo, ObjectStore, PosixKind
from lc2_backup_dagster.engines.files.capture.changes import (
    Added,
    Change,
    Changed,
    FactsChanged,
    Removed,
    Resumed,
    Unchanged,
)
from lc2_backup_dagster.engines.files.capture.copying import (
    BUNDLE_BYTES,
    BUNDLE_FILES,
    PART_BYTES,
    SMALL_BYTES,
    Copier,
    Outcome,
    Result,
)
from lc2_backup_dagster.engines.files.capture.counts import CaptureCounts
from lc2_backup_dagster.engines.files.capture.journal import Journal
from lc2_backup_dagster.engines.files.manifest.entry import Copied, FileEntry, Protection, encode_entry
from lc2_backup_dagster.engines.files.manifest.ordering import OrderedLines, Slot
from lc2_backup_dagster.engines.files.ports import Progress
from lc2_backup_dagster.engines.files.workers import Limits, Workers
from lc2_backup_dagster.model.errors import AccessDenied, ConfigurationError

_REFUSED_IN_A_ROW = 50
_PROGRESS_SECONDS = 1.0


class Transfer:
    """One pass over the changes.

    Args:
        copier: does the copying.
        lines: takes the manifest's lines.
        journal: takes finished work.
        source: the source, asked whether it refuses everything.
        destination: the repository's store.
        protection_of: the protection of a key.
        limits: what may be used.
        progress: told how far it is.
        may_lack_all: whether a source that refuses every file is no error of the run.
    """

    def __init__(
        self,
        copier: Copier,
        lines: OrderedLines,
        journal: Journal,
        *,
        source: ObjectStore,
        destination: ObjectStore,
        protection_of: Callable[[str], Protection],
        limits: Limits,
        progress: Progress | None = None,
        may_lack_all: bool = False,
    ) -> None:
        self.counts = CaptureCounts()
        self._may_lack_all = may_lack_all
        self._copier = copier
        self._lines = lines
        self._journal = journal
        self._source = source
        self._destination = destination
        self._protection_of = protection_of
        self._limits = limits
        self._progress = progress
        self._told = time.monotonic()
        self._bundle: list[tuple[ObjectInfo, Slot]] = []
        self._bundle_bytes = 0
        self._refused_in_a_row = 0
        self._passed = 0

    def run(self, changes: Iterable[Change | Resumed]) -> CaptureCounts:
        """Carry out all changes and write all lines.

        Raises:
            ConfigurationError: a file is to be copied by a store that cannot copy it.
            StoreUnavailable: a store stayed away.
            Fenced: the attempt was superseded.
        """
        with Workers[Outcome](
            self._limits, name="files", collected=self._after_results, stopping=self._copier.stopping.set
        ) as workers:
            for change in changes:
                self._take(workers, change)
            self._close_bundle(workers)
            workers.finish()
        if self.counts.unreadable.count:
            self._require_source()
        self._lines.finish()
        self._tell(last=True)
        return self.counts

    def _take(self, workers: Workers[Outcome], change: Change | Resumed) -> None:
        if isinstance(change, Unchanged):
            self._count_change(change, change.entry.kind)
            self._add(change.entry)
        elif isinstance(change, Removed):
            self._count_change(change, change.previous.kind)
        elif isinstance(change, FactsChanged):
            self._count_change(change, change.info.kind)
            info = change.info
            same = replace(change.previous, posix=info.posix, modified=info.modified)
            self._add(same if info.kind is PosixKind.FILE else FileEntry.without_content(info))
        elif isinstance(change, Resumed):
            self._count_change(change.change, PosixKind.FILE)
            entry, info = change.entry, change.change.info
            self._submit(workers, lambda: self._copier.again(entry, info), [self._lines.reserve()], info.size_bytes)
        else:
            self._count_change(change, change.info.kind)
            if change.info.kind is PosixKind.FILE:
                self._copy(workers, change.info)
            else:
                self._add(FileEntry.without_content(change.info))

    def _count_change(self, change: Change, kind: PosixKind) -> None:
        if kind is PosixKind.DIRECTORY:
            return  # its time changes with every file in it: as changes they would hide those of files
        counts = self.counts
        counts.added += isinstance(change, Added)
        counts.changed += isinstance(change, Changed | FactsChanged)
        counts.facts_changed += isinstance(change, FactsChanged)
        counts.unchanged += isinstance(change, Unchanged)
        counts.removed += isinstance(change, Removed)

    def _add(self, entry: FileEntry) -> None:
        """Write the line of an entry for which nothing is copied."""
        self._count_entry(entry)
        self._lines.add(encode_entry(entry))
        self._passed += 1
        if self._passed % 1000 == 0:
            self._journal.write_if_due()
            self._tell()

    def _copy(self, workers: Workers[Outcome], info: ObjectInfo) -> None:
        slot = self._lines.reserve()
        if self._protection_of(info.key) is Protection.STORE:
            self._require_server_side(info)
            self._submit(workers, lambda: self._copier.server_side(info), [slot], 0)
        elif info.size_bytes > SMALL_BYTES:
            self._submit(workers, lambda: self._copier.big(info), [slot], info.size_bytes)
        else:
            if self._bundle_bytes + info.size_bytes > BUNDLE_BYTES or len(self._bundle) >= BUNDLE_FILES:
                self._close_bundle(workers)
            self._bundle.append((info, slot))
            self._bundle_bytes += info.size_bytes

    def _require_server_side(self, info: ObjectInfo) -> None:
        if not self._destination.can_copy_from(self._source):
            raise ConfigurationError(
                f"files.protection is 'store' for {info.key!r}, but {self._destination.url} cannot copy from "
                f"{self._source.url} by itself",
                hint="set files.protection to 'client', or keep the repository in the store of the source",
            )

    def _close_bundle(self, workers: Workers[Outcome]) -> None:
        if self._bundle:
            members = [info for info, _ in self._bundle]
            slots = [slot for _, slot in self._bundle]
            self._submit(workers, lambda: self._copier.bundle(members), slots, self._bundle_bytes)
            self._bundle, self._bundle_bytes = [], 0

    def _submit(
        self, workers: Workers[Outcome], work: Callable[[], Outcome], slots: list[Slot], size_bytes: int
    ) -> None:
        def done(outcome: Outcome) -> None:
            self.counts.copied_bytes += outcome.copied_bytes
            self.counts.stored_bytes += outcome.stored_bytes
            for slot, result in zip(slots, outcome.results, strict=True):
                self._place(slot, result)

        workers.submit(work, done, memory_bytes=min(size_bytes, PART_BYTES))

    def _after_results(self) -> None:
        self._lines.drain()
        self._journal.write_if_due()
        self._tell()

    def _place(self, slot: Slot, result: Result) -> None:
        if result.entry is None:
            self._lines.fill(slot, b"")
            self._note_loss(result)
            return
        entry = result.entry
        self._refused_in_a_row = 0
        self.counts.copied_objects += not result.taken_over
        self.counts.resumed += result.taken_over
        self.counts.changed_meanwhile += result.again
        self._count_entry(entry)
        line = encode_entry(entry)
        self._lines.fill(slot, line)
        if not result.taken_over:  # the dead attempt's journal stays readable until a commit
            self._journal.add(line, size_bytes=entry.size_bytes)

    def _note_loss(self, result: Result) -> None:
        if result.unreadable is None:
            self.counts.vanished.add(result.key)
            return
        self.counts.unreadable.add(result.key, result.unreadable)
        self._refused_in_a_row += 1
        if self._refused_in_a_row % _REFUSED_IN_A_ROW == 0:
            self._require_source()

    def _require_source(self) -> None:
        """Tell a refused folder, which makes the backup partial, from a source that refuses everything."""
        self._source.check(write=False)
        if self.counts.objects == 0 and not self._may_lack_all:
            key, reason = self.counts.unreadable.samples[0]
            raise AccessDenied(
                f"{self._source.url} refuses every file, the first is {key!r}: {reason}",
                hint="the backup needs the right to read objects, not only to list them",
            )

    def _count_entry(self, entry: FileEntry) -> None:
        if entry.kind is not PosixKind.FILE:
            self.counts.links += entry.kind is PosixKind.SYMLINK
            self.counts.folders += entry.kind is PosixKind.DIRECTORY
            return
        self.counts.objects += 1
        self.counts.size_bytes += entry.size_bytes
        if isinstance(entry.location, Copied):  # also of unchanged files: the library is as safe as all of its copies
            self.counts.store_copies_unencrypted += not entry.location.encryption
            self.counts.sha256_pending += entry.sha256 is None

    def _tell(self, *, last: bool = False) -> None:
        if self._progress and (last or time.monotonic() - self._told >= _PROGRESS_SECONDS):
            self._told = time.monotonic()
            self._progress(self.counts.objects, self.counts.size_bytes)
