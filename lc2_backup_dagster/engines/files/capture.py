"""The capture of a file library: list, compare with the backup before, copy what changed, write the manifest."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.files.byte_rate import ByteRate
from lc2_backup_dagster.engines.files.changes import changes, with_finished
from lc2_backup_dagster.engines.files.copying import Copier
from lc2_backup_dagster.engines.files.counts import CaptureCounts, Sampled
from lc2_backup_dagster.engines.files.entry import STREAM, FileEntry, Protection
from lc2_backup_dagster.engines.files.inventory import take_inventory
from lc2_backup_dagster.engines.files.journal import Journal, read_journals
from lc2_backup_dagster.engines.files.ordering import OrderedLines
from lc2_backup_dagster.engines.files.ports import CapturingAttempt, Progress, SiteObjects
from lc2_backup_dagster.engines.files.source import Patience, SourceFiles
from lc2_backup_dagster.engines.files.transfer import Transfer
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.repository.parts import Stream


@dataclass(frozen=True, slots=True)
class FileSource:
    """Which files a site has.

    Attributes:
        store: where they are.
        source_id: a name of the place that stays when its address changes; the backup before is of use only if it
            was taken from the same one.
        prefix: only keys that begin with it.
        include: says which keys are backed up; all when None.
        protection_of: the protection of a key.
    """

    store: ObjectStore
    source_id: str
    prefix: str = ""
    include: Callable[[str], bool] | None = None
    protection_of: Callable[[str], Protection] = lambda key: Protection.CLIENT


@dataclass(frozen=True, slots=True)
class FilesCapture:
    """A finished capture, ready to be committed.

    Attributes:
        streams: the manifest of files.
        moment: the interval of the listing: a file that did not change during it is captured as it was then.
        counts: what was done.
        excluded: objects the filter left out.
        special: pipes, sockets and devices, which are not captured.
        listing_ordered: whether the source listed in byte order.
        damaged_journals: journal objects of dead attempts that could not be used.
        seconds: from start to end.
    """

    streams: tuple[Stream, ...]
    moment: Moment
    counts: CaptureCounts
    excluded: int
    special: Sampled
    listing_ordered: bool
    damaged_journals: tuple[str, ...]
    seconds: float

    @property
    def partial(self) -> bool:
        """Whether files are missing that the source has; such a backup is never called complete (L-22)."""
        return self.counts.unreadable.count > 0


def capture_files(
    attempt: CapturingAttempt,
    repository: SiteObjects,
    source: FileSource,
    *,
    previous: Iterable[FileEntry] = (),
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
        previous: entries of the backup before, ascending; that backup must be one of the attempt's bases. Empty for
            a full capture.
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
    """
    began = time.monotonic()
    patience, limits = patience or Patience(), limits or Limits()
    reading_bytes = limits.memory_bytes * 2 // 7
    with (
        read_journals(repository, attempt.resumes, scratch=scratch) as finished,
        take_inventory(source.store, prefix=source.prefix, include=source.include, scratch=scratch) as inventory,
        attempt.stream_writer(STREAM) as manifest,
        OrderedLines(manifest.write, folder=scratch) as lines,
    ):
        found = changes(previous, inventory.objects(), protection_of=source.protection_of)
        remaining = with_finished(found, finished.entries(), protection_of=source.protection_of)
        stopping = threading.Event()
        rate = ByteRate(limits.bytes_per_second, wait=stopping.wait)
        files = SourceFiles(source.store, patience=patience, rate=rate)
        if expect:
            expect(inventory.count, inventory.size_bytes)
        transfer = Transfer(
            Copier(
                attempt,
                repository,
                files,
                source_id=source.source_id,
                sealing_bytes=limits.memory_bytes - reading_bytes,
                stopping=stopping,
            ),
            lines,
            Journal(attempt, repository.site, every_entries=limits.journal_entries),
            source=source.store,
            destination=repository.store,
            protection_of=source.protection_of,
            limits=replace(limits, memory_bytes=reading_bytes),
            progress=progress,
        )
        counts = transfer.run(remaining)
    attempt.check_alive()
    return FilesCapture(
        streams=(manifest.stream,),
        moment=Moment(restorable_from=inventory.started, restorable_until=inventory.finished),
        counts=counts,
        excluded=inventory.excluded,
        special=inventory.special,
        listing_ordered=inventory.ordered,
        damaged_journals=tuple(finished.damaged),
        seconds=time.monotonic() - began,
    )
