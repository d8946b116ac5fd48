"""The capture of a file library: list, compare with the backup before, copy what changed, write the manifest.

Of a library as it is now, or, where the source keeps versions, as it was; whole, or one shard of it.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from lc2_backup_dagster.clouds.store import ObjectStore, Throttling
from lc2_backup_dagster.engines.files.capture.byte_rate import ByteRate
from lc2_backup_dagster.engines.files.capture.changes import Change, changes, with_finished
from lc2_backup_dagster.engines.files.capture.copying import Copier
from lc2_backup_dagster.engines.files.capture.counts import CaptureCounts, Sampled
from lc2_backup_dagster.engines.files.capture.inventory import clock_of, take_inventory
from lc2_backup_dagster.engines.files.capture.journal import Journal, journal_prefix, read_journals
from lc2_backup_dagster.engines.files.capture.past import AsOf, Known, PastFindings, changes_as_of
from lc2_backup_dagster.engines.files.capture.shards import WHOLE, Lane, Shard, lanes_of
from lc2_backup_dagster.engines.files.capture.source import Patience, SourceFiles
from lc2_backup_dagster.engines.files.capture.transfer import Transfer
from lc2_backup_dagster.engines.files.capture.versions import list_as_of
from lc2_backup_dagster.engines.files.keeping.kept import KeptFiles
from lc2_backup_dagster.engines.files.manifest.entry import STREAM, FileEntry, Protection
from lc2_backup_dagster.engines.files.manifest.ordering import OrderedLines
from lc2_backup_dagster.engines.files.ports import CapturingAttempt, Progress, SiteObjects
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.clock import SystemClock, to_text
from lc2_backup_dagster.model.errors import WindowNotRestorable
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.repository.parts import Stream

_NEVER = Throttling()


@dataclass(frozen=True, slots=True)
class FileSource:
    """Which files a site has.

    Attributes:
        store: where they are.
        source_id: a name of the place that stays when its address changes; the backup before is of use only if it
            was taken from the same one.
        shard: only keys that belong to it.
        include: says which keys are backed up; all when None.
        protection_of: the protection of a key.
    """

    store: ObjectStore
    source_id: str
    shard: Shard = WHOLE
    include: Callable[[str], bool] | None = None
    protection_of: Callable[[str], Protection] = lambda key: Protection.CLIENT


@dataclass(frozen=True, slots=True)
class FilesCapture:
    """A finished capture, ready to be committed.

    Attributes:
        streams: the manifest of files, and the one of what was kept where there is one.
        moment: the interval of the listing: a file that did not change during it is captured as it was then. Of a
            past moment that moment itself.
        last_begun: when the last listing began, where there were several; else when the only one did.
        counts: what was done.
        excluded: objects the filter left out.
        special: pipes, sockets and devices, which are not captured.
        listing_ordered: whether the source listed in byte order.
        held: files as of a past moment that the source has lost and a later backup holds.
        throttling: how often source and destination asked to slow down meanwhile.
        damaged_journals: journal objects of dead attempts that could not be used.
        seconds: from start to end.
        kept: what was kept beside them for the rows of a dump; None where there are none.
    """

    streams: tuple[Stream, ...]
    moment: Moment
    last_begun: datetime
    counts: CaptureCounts
    excluded: int
    special: Sampled
    listing_ordered: bool
    damaged_journals: tuple[str, ...]
    seconds: float
    held: int = 0
    throttling: Throttling = _NEVER
    kept: KeptFiles | None = None

    @property
    def partial(self) -> bool:
        """Whether files are missing that the source has; such a backup is never called complete (L-22)."""
        return self.counts.unreadable.count > 0


@dataclass(slots=True)
class _Listing:
    """What was listed, compared with backups, and what is known once all of it was read.

    Attributes:
        total: files and their bytes, where they are known before the files are looked at one by one.
    """

    moment: Moment
    ordered: bool
    changes: Iterator[Change]
    excluded: Callable[[], int]
    special: Sampled = field(default_factory=Sampled)
    total: tuple[int, int] | None = None
    findings: PastFindings = field(default_factory=PastFindings)
    superseded: Callable[[], int] = lambda: 0


def capture_files(
    attempt: CapturingAttempt,
    repository: SiteObjects,
    source: FileSource,
    *,
    previous: Iterable[FileEntry] = (),
    as_of: AsOf | None = None,
    lane: Lane | None = None,
    scratch: Path | None = None,
    limits: Limits | None = None,
    patience: Patience | None = None,
    progress: Progress | None = None,
    expect: Callable[[int, int], None] | None = None,
) -> FilesCapture:
    """Capture every file of a source, copying only what changed.

    Killed at any moment it leaves nothing that a reader believes: contents and journal are garbage until a later
    attempt takes them over, and the manifest counts only once the attempt commits.

    Args:
        attempt: the running attempt; the caller commits it.
        repository: the site's part of the repository.
        source: the files.
        previous: entries of the backup before that belong to the shard, ascending; that backup must be one of the
            attempt's bases. Empty for a full capture, and for a past moment.
        as_of: a past moment, from the versions that the source keeps; the present when None.
        lane: names for what is written, where several captures of one attempt run at once, each of another shard.
        scratch: folder for lists that do not fit into memory.
        limits: threads and memory.
        patience: how often things are tried again.
        progress: told how far it is, in objects and bytes; unchanged ones count as soon as they are passed.
        expect: told once how many objects and bytes there are, before the first is copied.

    Raises:
        ConfigurationError: a file is to be copied by a store that cannot copy it.
        StoreUnavailable: a store stayed away.
        AccessDenied: the source refuses everything, or the repository refuses to be written.
        Fenced: the attempt was superseded.
        StorageFull: scratch or repository is full.
        WindowNotRestorable: the source's versions do not prove what was there at the past moment.
    """
    began = time.monotonic()
    before = _throttling(source.store, repository.store)
    patience, limits = patience or Patience(), limits or Limits()
    reading_bytes = limits.memory_bytes * 2 // 7
    own = journal_prefix(repository.site, attempt.backup_id) + lanes_of(lane.shard) if lane else None
    with (
        read_journals(
            repository, attempt.resumes, own=own, wanted=source.shard.__contains__, scratch=scratch
        ) as finished,
        _listed(source, as_of, previous, scratch) as listing,
        attempt.stream_writer(lane.stream if lane else STREAM) as manifest,
        OrderedLines(manifest.write, folder=scratch) as lines,
    ):
        remaining = with_finished(listing.changes, finished.entries(), protection_of=source.protection_of)
        stopping = threading.Event()
        rate = ByteRate(limits.bytes_per_second, wait=stopping.wait)
        files = SourceFiles(source.store, patience=patience, rate=rate, pinned=as_of is not None)
        journal = Journal(
            attempt, repository.site, lane=lane.name if lane else None, every_entries=limits.journal_entries
        )
        if expect and listing.total:
            expect(*listing.total)
        transfer = Transfer(
            Copier(
                attempt,
                repository,
                files,
                source_id=source.source_id,
                generation=lane.generation(attempt.backup_id) if lane else attempt.backup_id,
                sealing_bytes=limits.memory_bytes - reading_bytes,
                stopping=stopping,
            ),
            lines,
            journal,
            source=source.store,
            destination=repository.store,
            protection_of=source.protection_of,
            limits=replace(limits, memory_bytes=reading_bytes),
            progress=progress,
        )
        counts = transfer.run(remaining)
        if lane:
            # Its attempt may still die for another shard's sake; the next one need not copy any of this again.
            journal.write()
        counts.unreadable.extend(listing.findings.missing)
        if as_of and listing.findings.replaced and not listing.superseded():
            raise _thinned_out(source, as_of, listing.findings.replaced)
    attempt.check_alive()
    return FilesCapture(
        streams=(manifest.stream,),
        moment=listing.moment,
        last_begun=listing.moment.restorable_from,
        counts=counts,
        excluded=listing.excluded(),
        special=listing.special,
        listing_ordered=listing.ordered,
        held=listing.findings.held,
        damaged_journals=tuple(finished.damaged),
        seconds=time.monotonic() - began,
        throttling=_throttling(source.store, repository.store).since(before),
    )


def _throttling(*stores: ObjectStore) -> Throttling:
    told = [store.throttling for store in stores]
    return Throttling(sum(each.requests for each in told), sum(each.seconds for each in told))


@contextmanager
def _listed(
    source: FileSource, as_of: AsOf | None, previous: Iterable[FileEntry], scratch: Path | None
) -> Generator[_Listing]:
    if as_of is None:
        with take_inventory(source.store, shard=source.shard, include=source.include, scratch=scratch) as inventory:
            yield _Listing(
                Moment(restorable_from=inventory.started, restorable_until=inventory.finished),
                inventory.ordered,
                changes(previous, inventory.objects(), protection_of=source.protection_of),
                lambda: inventory.excluded,
                inventory.special,
                (inventory.count, inventory.size_bytes),
            )
        return
    with list_as_of(
        source.store,
        as_of.moment,
        kept_since=as_of.kept_since,
        now=clock_of(source.store, SystemClock()),
        shard=source.shard,
        include=source.include,
        scratch=scratch,
    ) as past:
        findings = PastFindings()
        yield _Listing(
            Moment(restorable_from=as_of.moment, restorable_until=as_of.moment),
            past.ordered,
            changes_as_of(_included(as_of.known, source), past.newest(), findings, protection_of=source.protection_of),
            lambda: past.excluded,
            findings=findings,
            superseded=lambda: past.superseded,
        )


def _included(known: Iterable[Known], source: FileSource) -> Iterator[Known]:
    """Yield what is known of the files that are wanted; one that is left out on purpose is not missing."""
    return (each for each in known if source.include is None or source.include(each.entry.key))


def _thinned_out(source: FileSource, as_of: AsOf, replaced: int) -> WindowNotRestorable:
    return WindowNotRestorable(
        f"{replaced} files that a backup knows were replaced or deleted before {to_text(as_of.moment)}, and "
        f"{source.store.url} has none of their versions any more: old versions are removed there, and nothing tells "
        "which of that moment"
    )
