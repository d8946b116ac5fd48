"""Keep for the rows of a dump what was deleted or replaced between their moment and the listing of the files.

The manifest of the files stays what it is, a listing. What rows miss in it is looked for in the backup before, where it
costs nothing, and among the versions that the source keeps; it goes into a second, small stream of the same form,
``files.kept``, which is laid over the listing wherever the moment of the rows is meant (a recovery point) and nowhere
else. What nobody has stays missing, and is named when the point is bound.
"""

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar

from lc2_backup_dagster.clouds.store import ObjectStore, ObjectVersion
from lc2_backup_dagster.engines.files.capture.byte_rate import ByteRate
from lc2_backup_dagster.engines.files.capture.capture import FileSource
from lc2_backup_dagster.engines.files.capture.changes import Added, Change, Unchanged
from lc2_backup_dagster.engines.files.capture.copying import Copier
from lc2_backup_dagster.engines.files.capture.counts import CaptureCounts, Sampled
from lc2_backup_dagster.engines.files.capture.journal import Journal
from lc2_backup_dagster.engines.files.capture.source import Patience, SourceFiles
from lc2_backup_dagster.engines.files.capture.transfer import Transfer
from lc2_backup_dagster.engines.files.capture.versions import version_of_row, version_row
from lc2_backup_dagster.engines.files.keeping.choice import best_content
from lc2_backup_dagster.engines.files.keeping.kept import KeptFiles
from lc2_backup_dagster.engines.files.keeping.key_versions import ASKED_SINGLY, all_at_once, each_singly
from lc2_backup_dagster.engines.files.keeping.wanted import WantedFile, wanted_files
from lc2_backup_dagster.engines.files.manifest.entry import KEPT_STREAM, FileEntry
from lc2_backup_dagster.engines.files.manifest.entry_lines import EntryLine, entry_lines
from lc2_backup_dagster.engines.files.manifest.ordering import OrderedLines
from lc2_backup_dagster.engines.files.ports import CapturingAttempt, SiteObjects
from lc2_backup_dagster.engines.files.scratch import Row, RowSorter
from lc2_backup_dagster.engines.files.workers import Limits
from lc2_backup_dagster.model.application import FileReference
from lc2_backup_dagster.model.errors import AccessDenied, ConfigurationError, IntegrityError
from lc2_backup_dagster.model.site import Component
from lc2_backup_dagster.repository.layout import backup_prefix
from lc2_backup_dagster.repository.parts import Stream
from lc2_backup_dagster.repository.reading import StoredStream

Opened = AbstractContextManager[Iterator[EntryLine]]


@dataclass(frozen=True, slots=True)
class RowsOfDump:
    """The rows that name files.

    Attributes:
        dump_id: the dump they were stored with.
        moment: when they were read, by the database's clock.
        open_references: opens them, ascending by key; only of files that are backed up at all.
    """

    dump_id: str
    moment: datetime
    open_references: Callable[[], AbstractContextManager[Iterator[FileReference]]]


def keep_for_rows(
    attempt: CapturingAttempt,
    repository: SiteObjects,
    source: FileSource,
    rows: RowsOfDump,
    *,
    listed: Callable[[], Opened],
    known: Callable[[], Opened],
    versions: bool,
    again: bool = False,
    scratch: Path | None = None,
    limits: Limits | None = None,
    patience: Patience | None = None,
) -> KeptFiles:
    """Look for everything that rows miss in a listing, and write what was found as a stream of the attempt.

    Memory is bounded, whatever the number of rows and files: every side is a sorted stream, and what is wanted waits
    on local disk. Rows that cannot be read cost only what would have been kept for them.

    Args:
        attempt: the running attempt, which has written its manifest of files; the caller commits it.
        repository: the site's part of the repository.
        source: the files.
        rows: the rows.
        listed: opens the lines of that manifest.
        known: opens the lines of the attempt's bases, ascending, a key perhaps several times.
        versions: whether the source keeps versions.
        again: whether this step of the attempt may be a repetition: then nothing it writes has a name that an earlier
            try may have written.
        scratch: folder for what does not fit into memory.
        limits: threads and memory.
        patience: how often things are tried again.

    Raises:
        StoreUnavailable: a store stayed away.
        StorageFull: scratch or repository is full.
        Fenced: the attempt was superseded.
    """
    limits, patience = limits or Limits(), patience or Patience()
    with RowSorter(scratch) as wanted, RowSorter(scratch) as versioned, known() as entries:
        if problem := _gather(wanted, rows, listed):
            return KeptFiles(rows.dump_id, problem=problem)
        if versions and wanted.count:
            problem = _ask_versions(versioned, wanted, source.store, rows.moment, scratch, limits, patience)
        lost = Sampled()
        chosen = _chosen(_files(wanted), versioned.rows(), entries, rows.moment, lost)
        first = next(chosen, None)
        if first is None:
            return KeptFiles(rows.dump_id, wanted=wanted.count, lost=lost, problem=problem)
        token = f"-{secrets.token_hex(4)}" if again else ""
        stream, counts = _write(
            attempt,
            repository,
            source,
            chain([first], chosen),
            token,
            scratch=scratch,
            limits=limits,
            patience=patience,
        )
        lost.extend(counts.unreadable)
        lost.extend(counts.vanished)
        objects_more, bytes_more = _beyond(repository, attempt.backup_id, stream, _files(wanted))
        return KeptFiles(
            rows.dump_id,
            stream,
            wanted=wanted.count,
            from_backup=counts.unchanged,
            from_versions=counts.copied_objects,
            lost=lost,
            objects_more=objects_more,
            bytes_more=bytes_more,
            copied_bytes=counts.copied_bytes,
            stored_bytes=counts.stored_bytes,
            unencrypted=counts.store_copies_unencrypted,
            pending=counts.sha256_pending,
            problem=problem,
        )


def _files(wanted: RowSorter) -> Iterator[WantedFile]:
    return map(WantedFile.of_row, wanted.rows())


def _gather(wanted: RowSorter, rows: RowsOfDump, listed: Callable[[], Opened]) -> str:
    """Find out what rows miss, and return why not all rows could be read, or an empty text."""
    with listed() as lines:
        try:
            with rows.open_references() as references:
                for file in wanted_files(_readable(references), lines, moment=rows.moment):
                    wanted.add(file.row())
        except (_RowsUnreadable, ConfigurationError) as error:
            # Another backup's fault, which is told when the two are bound: these files are whole without it.
            return f"the rows of {rows.dump_id} cannot be read: {error}"
    return ""


class _RowsUnreadable(Exception):
    """Tells damaged rows from a damaged manifest of files. Never leaves this module."""


def _readable(references: Iterator[FileReference]) -> Iterator[FileReference]:
    try:
        yield from references
    except IntegrityError as error:
        raise _RowsUnreadable(error.message) from error


def _ask_versions(
    versioned: RowSorter,
    wanted: RowSorter,
    store: ObjectStore,
    moment: datetime,
    scratch: Path | None,
    limits: Limits,
    patience: Patience,
) -> str:
    """Find the best version of every file, and return why they could not all be asked for, or an empty text."""
    if wanted.count <= ASKED_SINGLY:
        asked = each_singly(_files(wanted), store, moment, patience=patience, threads=limits.max_concurrency)
    else:
        asked = all_at_once(_files(wanted), store, moment, scratch=scratch)
    try:
        with closing(asked):
            for best in asked:
                versioned.add(version_row(ObjectVersion(best, is_delete_marker=False, is_latest=False)))
    except AccessDenied as error:
        return f"versions may not be asked for: {error.message}"
    return ""


def _chosen(
    wanted: Iterator[WantedFile],
    versions: Iterator[Row],
    known: Iterator[EntryLine],
    moment: datetime,
    lost: Sampled,
) -> Iterator[Change]:
    """Yield what is kept, ascending; count what rows name, nobody listed and nobody has."""
    rows = _by_key(version_of_row(row).info for row in versions)
    held = _by_key(known)
    for file in wanted:
        version = next(iter(rows(file.key)), None)
        chosen = best_content(file, version, [line.entry() for line in held(file.key)], moment)
        if isinstance(chosen, FileEntry):
            yield Unchanged(chosen)
        elif chosen is not None:
            yield Added(chosen)
        elif file.listed_bytes is None:
            lost.add(file.key)


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


_K = TypeVar("_K", bound=_Keyed)


def _by_key(items: Iterable[_K]) -> Callable[[str], list[_K]]:
    """Return a function that gives the items of ascending keys, each to be asked for once."""
    there = iter(items)
    waiting = next(there, None)

    def of(key: str) -> list[_K]:
        nonlocal waiting
        found: list[_K] = []
        while waiting is not None and waiting.key <= key:
            if waiting.key == key:
                found.append(waiting)
            waiting = next(there, None)
        return found

    return of


def _write(
    attempt: CapturingAttempt,
    repository: SiteObjects,
    source: FileSource,
    chosen: Iterator[Change],
    token: str,
    *,
    scratch: Path | None,
    limits: Limits,
    patience: Patience,
) -> tuple[Stream, CaptureCounts]:
    reading_bytes = limits.memory_bytes * 2 // 7
    stopping = threading.Event()
    rate = ByteRate(limits.bytes_per_second, wait=stopping.wait)
    with (
        attempt.stream_writer(f"{KEPT_STREAM}{token}") as writer,
        OrderedLines(writer.write, folder=scratch) as lines,
    ):
        transfer = Transfer(
            Copier(
                attempt,
                repository,
                SourceFiles(source.store, patience=patience, rate=rate, pinned=True),
                source_id=source.source_id,
                generation=f"{attempt.backup_id}.kept{token}",
                sealing_bytes=limits.memory_bytes - reading_bytes,
                stopping=stopping,
            ),
            lines,
            Journal(attempt, repository.site, lane=f"kept{token}", every_entries=limits.journal_entries),
            source=source.store,
            destination=repository.store,
            protection_of=source.protection_of,
            limits=replace(limits, memory_bytes=reading_bytes),
            may_lack_all=True,
        )
        counts = transfer.run(chosen)
    return writer.stream, counts


def _beyond(repository: SiteObjects, backup_id: str, stream: Stream, wanted: Iterator[WantedFile]) -> tuple[int, int]:
    """Return how many files were kept that were not listed, and how many bytes more all of them are than those were."""
    prefix = backup_prefix(repository.site, Component.FILES, backup_id)
    stored = StoredStream(
        repository.store, repository.sealer, prefix=prefix, stream=stream, key_id=repository.sealer.key_id
    )
    objects = size_bytes = 0
    of = _by_key(wanted)
    with stored.open() as reader:
        for line in entry_lines(reader, name=stream.name):
            (file,) = of(line.key)
            objects += file.listed_bytes is None
            size_bytes += line.size_bytes - (file.listed_bytes or 0)
    return objects, size_bytes
