"""Verification of stored files: every object that manifests name, looked at once, and read as far as is wished.

First all objects are looked at without reading any (``survey``), then a choice made from what is known of all of them
(``choices``) is read and hashed, those of every file in a bundle too (``deep_check``). What is found out is kept,
object by object (``proof_sets``, ``proof_writing``). Memory depends neither on the number of objects nor on their size.

Unknown is not damage: an outage ends the verification, and an object that may not be read counts as unread (L-28).
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from lc2_backup_dagster.clouds.store import PosixKind
from lc2_backup_dagster.engines.files.capture.copying import PART_BYTES
from lc2_backup_dagster.engines.files.capture.counts import SAMPLES, Sampled
from lc2_backup_dagster.engines.files.capture.inventory import take_inventory
from lc2_backup_dagster.engines.files.capture.source import Patience
from lc2_backup_dagster.engines.files.manifest.entry import FileEntry
from lc2_backup_dagster.engines.files.manifest.identity import files_prefix, name_of
from lc2_backup_dagster.engines.files.ports import Progress, SiteObjects
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.engines.files.verify.choices import Choice, OldestFirst, RandomSample, SampleProof
from lc2_backup_dagster.engines.files.verify.deep_check import READ_BYTES, Checked, DeepCheck
from lc2_backup_dagster.engines.files.verify.needed import NeededObject, add_needed, needed_objects
from lc2_backup_dagster.engines.files.verify.proof_sets import KeptProofs, open_proofs
from lc2_backup_dagster.engines.files.verify.proof_writing import ProofWriter
from lc2_backup_dagster.engines.files.verify.proofs import Proof, merged_hashes, updated_proofs
from lc2_backup_dagster.engines.files.verify.survey import Seen, State, Survey
from lc2_backup_dagster.engines.files.workers import Limits, Workers
from lc2_backup_dagster.model.errors import AccessDenied, BackupError, ConfigurationError

_FILES_NAMED = 20
_COPIES_IN_MEMORY = 3
_READING_BYTES = 72 * 1024 * 1024
# Of ten million rows in any order that makes 200 runs, whose merging takes as much memory as the rows of one run.
_ROWS_IN_MEMORY = 50_000
_REFUSED_IN_A_ROW = 50
_PROGRESS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class DamagedObject:
    """A stored object that is gone or wrong.

    Attributes:
        key: the object.
        reason: what is wrong.
        missing: whether it is gone.
        file_count: files that need it.
        files: the first of them.
    """

    key: str
    reason: str
    missing: bool
    file_count: int
    files: tuple[str, ...]


@dataclass(slots=True)
class FilesVerification:
    """What a verification found.

    Attributes:
        objects: stored objects the manifests name.
        files: lines of the manifests.
        stored_bytes: what the objects must hold together.
        read_objects: objects that were read whole and are as promised.
        read_bytes: their length.
        hashed_pending: copies made by the store whose SHA-256 was computed for the first time.
        damaged_count: damaged or missing objects.
        damaged: the first thousand of them.
        doubtful: objects of which the store tells other things than before, and that were not read: unknown.
        refused: objects that may not be read: unknown.
        never_read: objects that nobody has read since they were stored.
        due_left: objects that were due and that the budget left unread.
        oldest_seconds: age of the object that was not read for longest (not since it was stored, where it never was);
            None when all were read now.
        over_age: objects that were not read for longer than the set age; damaged ones are not among them.
        sample: what a sample without damage proves.
        run_id: where the results are kept, or None.
        unkept: the error for which they are not kept although they should be, or None.
        ignored: earlier results that could not be believed or read, with the reason; the objects they told of count as
            unread.
    """

    objects: int = 0
    files: int = 0
    stored_bytes: int = 0
    read_objects: int = 0
    read_bytes: int = 0
    hashed_pending: int = 0
    damaged_count: int = 0
    damaged: list[DamagedObject] = field(default_factory=list[DamagedObject])
    doubtful: Sampled = field(default_factory=Sampled)
    refused: Sampled = field(default_factory=Sampled)
    never_read: int = 0
    due_left: int = 0
    oldest_seconds: int | None = None
    over_age: int = 0
    sample: SampleProof | None = None
    run_id: str | None = None
    unkept: BackupError | None = None
    ignored: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class FilesReading:
    """What a verification shall do.

    Attributes:
        choice: makes the choice of what is read, told the time of the look in seconds since 1970.
        max_bytes: most bytes that a sample may hold; a greater one is refused before anything is read.
        max_age_seconds: age beyond which an unread object is counted as over it.
        keep: whether the results are kept.
        whole: asked once all entries came, whether they were those of all backups of the site: then results of other
            objects are forgotten.
    """

    choice: Callable[[int], Choice] = lambda now: OldestFirst()
    max_bytes: int | None = None
    max_age_seconds: int | None = None
    keep: bool = False
    whole: Callable[[], bool] = lambda: False


def verify_files(
    repository: SiteObjects,
    entries: Iterable[FileEntry],
    reading: FilesReading | None = None,
    *,
    scratch: Path | None = None,
    limits: Limits | None = None,
    patience: Patience | None = None,
    progress: Progress | None = None,
) -> FilesVerification:
    """Verify every stored object that the entries name.

    Killed at any moment it leaves what it has written down, which the next verification takes up; nothing that was
    not read counts as read.

    Args:
        repository: the site's part of the repository.
        entries: of one manifest or of several, in any order.
        reading: what is read, and whether the results are kept; everything, and not kept, when None.
        scratch: folder for lists that do not fit into memory.
        limits: threads and memory.
        patience: how often things are tried again.
        progress: told how far it is, in objects looked at and bytes read.

    Raises:
        StoreUnavailable: the repository cannot be read now; says nothing about damage.
        AccessDenied: the repository refuses to be listed, or everything that is read; says nothing about damage.
        ConfigurationError: the sample holds more bytes than it may.
    """
    reading = reading or FilesReading()
    with ExitStack() as stack:
        run = _Run(repository, reading, stack, scratch, limits or Limits(), patience or Patience(), progress)
        run.look(entries)
        run.read()
        run.keep()
    return run.result


class _Run:
    def __init__(
        self,
        repository: SiteObjects,
        reading: FilesReading,
        stack: ExitStack,
        scratch: Path | None,
        limits: Limits,
        patience: Patience,
        progress: Progress | None,
    ) -> None:
        self.result = FilesVerification()
        self._repository = repository
        self._reading = reading
        # Lists of ten million objects take 200 MB beside it.
        self._limits = replace(limits, memory_bytes=min(limits.memory_bytes, _READING_BYTES))
        self._progress = progress
        self._check = DeepCheck(repository, patience)
        self._refused_in_a_row = 0
        self._writes_down, self._whole = True, False
        self._told = time.monotonic()
        self._needed = stack.enter_context(RowSorter(scratch, run_rows=_ROWS_IN_MEMORY))
        self._stored = stack.enter_context(
            take_inventory(
                repository.store, prefix=files_prefix(repository.site), scratch=scratch, run_rows=_ROWS_IN_MEMORY
            )
        )
        self._now = int(self._stored.started.timestamp())
        self._choice = reading.choice(self._now)
        self._kept: KeptProofs = stack.enter_context(open_proofs(repository, scratch=scratch))
        self._survey = stack.enter_context(Survey(repository.site, now=self._now, scratch=scratch))
        self._fresh = stack.enter_context(RowSorter(scratch, run_rows=_ROWS_IN_MEMORY))
        self._writer: ProofWriter | None = None
        if reading.keep:
            started, every = self._stored.started, limits.journal_entries
            self._writer = ProofWriter(repository, started=started, patience=patience, every_proofs=every)

    def look(self, entries: Iterable[FileEntry]) -> None:
        """Look at all objects."""
        result = self.result
        for entry in entries:
            result.files += entry.kind is PosixKind.FILE
            add_needed(self._needed, entry, self._repository.site)
        self._whole = self._reading.whole()
        needed = needed_objects(self._needed.rows())
        for each, seen in self._survey.take(needed, self._stored.objects(), self._kept.proofs(), forget=self._whole):
            result.objects += 1
            result.stored_bytes += each.stored_bytes
            if seen.is_lost:
                self._add_damage(each, seen.reason, missing=seen.state is State.GONE)
            else:
                self._choice.tally(seen.candidate)
            self._tell()
        self._choice.settle()
        self._refuse_too_large_a_sample()

    def _refuse_too_large_a_sample(self) -> None:
        choice, allowed = self._choice, self._reading.max_bytes
        if allowed is None or not isinstance(choice, RandomSample):
            return
        candidates = (seen.candidate for seen in self._survey.seen() if not seen.is_lost)
        wanted = sum(each.stored_bytes for each in candidates if choice.needs(each))
        if wanted > allowed:
            raise ConfigurationError(
                f"the sample holds {wanted} bytes, more than the {allowed} that may be read",
                hint="allow more bytes, or ask for less confidence or a larger share; nothing was read",
            )

    def read(self) -> None:
        """Read what the choice wants."""
        try:
            if self._choice.reads:
                with Workers[Checked](self._limits, name="verify", collected=self._tell) as workers:
                    self._submit_all(workers)
                    workers.finish()
            else:
                for needed, seen in self._again():
                    self._leave(needed, seen)
        except BaseException as error:
            if self._writer and isinstance(error, Exception | KeyboardInterrupt):
                with suppress(BackupError):  # what ended the run is told; what was read before it stays proven
                    self._writer.write_down()
            raise
        finally:
            self.result.ignored = dict(self._kept.ignored)
        if self.result.refused.count and not self.result.read_objects:
            key, reason = self.result.refused.samples[0]
            raise AccessDenied(f"the repository refuses to be read: {reason}", key=key)
        if isinstance(self._choice, OldestFirst):
            self.result.due_left = self._choice.left
        if isinstance(self._choice, RandomSample):
            self.result.sample = self._choice.proof
        self._tell(last=True)

    def _submit_all(self, workers: Workers[Checked]) -> None:
        for needed, seen in self._again():
            if not self._choice.wants(seen.candidate):
                self._leave(needed, seen)
                continue

            def check(needed: NeededObject = needed, known: str | None = seen.known_sha256) -> Checked:
                return self._check(needed, known)

            def note(checked: Checked, seen: Seen = seen) -> None:
                self._note(checked, seen)

            held = min(needed.plain_bytes, PART_BYTES if needed.part is not None else READ_BYTES)
            workers.submit(check, note, memory_bytes=held * _COPIES_IN_MEMORY)

    def _again(self) -> Iterator[tuple[NeededObject, Seen]]:
        """Yield all objects that are not lost, in the same order once more."""
        for needed, seen in zip(needed_objects(self._needed.rows()), self._survey.seen(), strict=True):
            if not seen.is_lost:
                yield needed, seen

    def _note(self, checked: Checked, seen: Seen) -> None:
        needed, result = checked.needed, self.result
        if checked.refused is not None:
            result.refused.add(needed.key, checked.refused)
            self._refused_in_a_row += 1
            if self._refused_in_a_row >= _REFUSED_IN_A_ROW:
                raise AccessDenied(f"the repository refuses to be read: {checked.refused}", key=needed.key)
            self._age(seen)
            return
        self._refused_in_a_row = 0
        name = name_of(self._repository.site, needed.key)
        if checked.damage is not None:
            self._add_damage(needed, checked.damage, missing=checked.missing)
            self._prove(Proof(name, seen.read_at, seen.known_sha256, damaged_at=self._now))
            return
        result.read_objects += 1
        result.read_bytes += needed.stored_bytes
        result.hashed_pending += needed.pending and seen.known_sha256 is None
        if needed.pending and checked.sha256 is not None and seen.known_sha256 is None:
            self._survey.note_hash(needed, checked.sha256)
        self._prove(
            Proof(
                name,
                self._now,
                sha256=checked.sha256 if needed.pending else None,
                etag=checked.etag if checked.etag != needed.etag else None,
            )
        )

    def _leave(self, needed: NeededObject, seen: Seen) -> None:
        """Count an object that is not read."""
        if seen.state is State.DAMAGED_BEFORE:
            self._add_damage(needed, seen.reason, missing=False)
            return
        if seen.state is State.CHANGED:
            if needed.uses[0].sha256 is None and seen.known_sha256 is None and needed.checksum is None:
                self._add_damage(needed, f"{seen.reason}, and no SHA-256 proves its bytes", missing=False)
                return
            self.result.doubtful.add(needed.key, seen.reason)
        self._age(seen)

    def _age(self, seen: Seen) -> None:
        result, age = self.result, self._now - seen.proven_at
        result.never_read += seen.never_read
        result.oldest_seconds = max(age, result.oldest_seconds or 0)
        most = self._reading.max_age_seconds
        result.over_age += most is not None and age > most

    def _add_damage(self, needed: NeededObject, reason: str, *, missing: bool) -> None:
        self.result.damaged_count += 1
        if len(self.result.damaged) < SAMPLES:
            files = tuple(use.file for use in needed.uses)
            self.result.damaged.append(DamagedObject(needed.key, reason, missing, len(files), files[:_FILES_NAMED]))

    def _prove(self, proof: Proof) -> None:
        if self._writer is None:
            return
        self._fresh.add([proof.name, proof.read_at, proof.sha256, proof.etag, proof.damaged_at])
        if self._writes_down:
            try:
                self._writer.add(proof)
            except BackupError:
                self._writes_down = False  # what goes on failing is told at the end, with all that was found

    def keep(self) -> None:
        """Write everything that is known, from before and from now. What was found outlives that it cannot be kept."""
        writer = self._writer
        if writer is None or not self._choice.reads:
            return
        earlier_hashes = () if self._whole else self._kept.hashes()
        try:
            writer.finish(
                updated_proofs(self._survey.proofs(), (Proof(*row) for row in self._fresh.rows())),
                merged_hashes(self._survey.hashes(), earlier_hashes),
                taken_in=self._kept.taken_in,
                summary=self._summary(),
            )
            self.result.run_id = writer.run_id
        except BackupError as error:
            self.result.unkept = error
        self.result.ignored = dict(self._kept.ignored)

    def _summary(self) -> dict[str, object]:
        result = self.result
        return {
            "started": self._now,
            "objects": result.objects,
            "stored_bytes": result.stored_bytes,
            "read_objects": result.read_objects,
            "read_bytes": result.read_bytes,
            "damaged": result.damaged_count,
            "over_age": result.over_age,
            "seed": result.sample.seed if result.sample else None,
        }

    def _tell(self, *, last: bool = False) -> None:
        if self._progress and (last or time.monotonic() - self._told >= _PROGRESS_SECONDS):
            self._told = time.monotonic()
            self._progress(self.result.objects, self.result.read_bytes)
