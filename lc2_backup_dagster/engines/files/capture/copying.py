"""The copy of one piece of work, run in worker threads: a bundle, a big file, or a server-side copy.

Every function returns what was captured; what could not be is named in the outcome, never dropped (L-22). An error of
the repository's own store is no fault of a file and ends the run.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.capture.source import SourceFiles, Unreadable, Vanished
from lc2_backup_dagster.engines.files.manifest.entry import Bundled, Copied, FileEntry, Location, Parts, Protection
from lc2_backup_dagster.engines.files.manifest.identity import bundle_identity, file_identity, object_key
from lc2_backup_dagster.engines.files.ports import CapturingAttempt, SiteObjects
from lc2_backup_dagster.engines.files.workers import ByteGate
from lc2_backup_dagster.model.errors import AccessDenied, ObjectNotFound, SourceChanged
from lc2_backup_dagster.repository.parts import Part

PART_BYTES = 8 * 1024 * 1024
SMALL_BYTES = 1024 * 1024
BUNDLE_BYTES = 4 * 1024 * 1024
BUNDLE_FILES = 512
_COPIES_WHEN_SEALED = 5  # compressed, encrypted, read back, decrypted, decompressed


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file: an entry, or the reason why there is none.

    Attributes:
        key: the file.
        entry: its entry, or None.
        unreadable: why it could not be read, or None; with neither an entry nor a reason it vanished.
        again: whether another version than the listed one was captured.
        taken_over: whether a dead attempt had copied it already.
    """

    key: str
    entry: FileEntry | None = None
    unreadable: str | None = None
    again: bool = False
    taken_over: bool = False


@dataclass(slots=True)
class Outcome:
    """What one piece of work came to.

    Attributes:
        results: one for each file, in the order of the work.
        copied_bytes: plain bytes copied.
        stored_bytes: bytes the repository grew by.
    """

    results: list[Result] = field(default_factory=list[Result])
    copied_bytes: int = 0
    stored_bytes: int = 0


class Stopped(Exception):
    """The run is ending; long copies give up between two parts. Never leaves this engine."""


class Copier:
    """Copies files of one source into the repository, for one attempt.

    Args:
        attempt: whose capture this is.
        repository: where the contents go.
        source: where they come from.
        source_id: name of the source, part of every identity.
        generation: makes the identities unlike those of every other attempt, and of every other process that works
            for this one.
        sealing_bytes: memory for sealing and reading back. It is apart from that for reading, so that many workers
            may wait for a distant source while few hold the five forms that a part has in between.
        stopping: set when the run is ending; long copies then give up.
    """

    def __init__(
        self,
        attempt: CapturingAttempt,
        repository: SiteObjects,
        source: SourceFiles,
        *,
        source_id: str,
        generation: str,
        sealing_bytes: int,
        stopping: threading.Event,
    ) -> None:
        self._attempt = attempt
        self._repository = repository
        self._site = repository.site
        self._source = source
        self._source_id = source_id
        self._generation = generation
        self._key_id = repository.sealer.key_id
        self._sealing = ByteGate(sealing_bytes)
        self._begun: set[str] = set()
        self.stopping = stopping

    def bundle(self, members: Sequence[ObjectInfo]) -> Outcome:
        """Read small files one after the other and seal them together.

        A file that outgrew its place in the bundle since it was listed is copied alone afterwards.
        """
        outcome = Outcome()
        bodies: list[bytes] = []
        plain_bytes = 0
        inside: list[tuple[int, ObjectInfo, int, bytes, bool]] = []
        outgrown: list[tuple[int, ObjectInfo]] = []
        for info in members:
            self._go_on()
            place = len(outcome.results)
            outcome.results.append(Result(info.key))
            try:
                found, body, again = self._source.capture(info, self._small)
            except _Outgrown as late:
                outgrown.append((place, late.info))
            except (Vanished, Unreadable) as error:
                outcome.results[place] = _lost(info, error)
            else:
                inside.append((place, found, plain_bytes, hashlib.sha256(body).digest(), again))
                bodies.append(body)
                plain_bytes += len(body)
                del body
        if inside:
            identity = bundle_identity([self._identity(found, Protection.CLIENT, 0) for _, found, *_ in inside])
            part = self._seal(object_key(self._site, identity), bodies)
            outcome.copied_bytes, outcome.stored_bytes = plain_bytes, part.stored_bytes
            for place, found, offset, digest, again in inside:
                location = Bundled(identity, self._key_id, offset, found.size_bytes, part)
                outcome.results[place] = Result(found.key, _entry(found, location, digest.hex()), again=again)
        for place, info in outgrown:
            alone = self.big(info)
            outcome.results[place] = replace(alone.results[0], again=alone.results[0].entry is not None)
            outcome.copied_bytes += alone.copied_bytes
            outcome.stored_bytes += alone.stored_bytes
        return outcome

    def big(self, info: ObjectInfo) -> Outcome:
        """Read one file and seal it in parts."""
        return self._alone(info, self._in_parts)

    def server_side(self, info: ObjectInfo) -> Outcome:
        """Let the store copy one file."""
        return self._alone(info, self._by_the_store)

    def again(self, entry: FileEntry, info: ObjectInfo) -> Outcome:
        """Take over what a dead attempt copied, if all of it is really there; copy it otherwise."""
        if all(self._is_there(key, part, entry.size_bytes) for key, part in entry.stored_objects(self._site)):
            return Outcome([Result(entry.key, entry, taken_over=True)])
        return self.server_side(info) if entry.protection is Protection.STORE else self.big(info)

    def _alone(self, info: ObjectInfo, copy: Callable[[ObjectInfo, int], tuple[FileEntry, int]]) -> Outcome:
        try:
            entry, stored_bytes = self._source.capture(info, copy)
        except (Vanished, Unreadable) as error:
            return Outcome([_lost(info, error)])
        result = Result(entry.key, entry, again=_differs(info, entry))
        return Outcome([result], copied_bytes=entry.size_bytes, stored_bytes=stored_bytes)

    def _small(self, info: ObjectInfo, turn: int) -> tuple[ObjectInfo, bytes, bool]:
        if info.size_bytes > SMALL_BYTES:
            raise _Outgrown(info)
        content = self._source.read(info, piece_bytes=SMALL_BYTES)
        body = b"".join(content)
        return content.info, body, turn > 0

    def _in_parts(self, info: ObjectInfo, turn: int) -> tuple[FileEntry, int]:
        identity = self._identity(info, Protection.CLIENT, turn)
        several = info.size_bytes > PART_BYTES
        digest = hashlib.sha256()
        parts: list[Part] = []
        content = self._source.read(info, piece_bytes=PART_BYTES)
        for number, piece in enumerate(content):
            self._go_on()
            digest.update(piece)
            key = object_key(self._site, identity, part=number if several else None)
            parts.append(self._seal(key, [piece]))
        location = Parts(identity, self._key_id, tuple(parts))
        return _entry(content.info, location, digest.hexdigest()), sum(part.stored_bytes for part in parts)

    def _seal(self, key: str, pieces: list[bytes]) -> Part:
        """Seal the pieces as one object; empties the list, so that nothing is held twice."""
        size_bytes = sum(len(piece) for piece in pieces)
        with self._sealing.room(size_bytes * _COPIES_WHEN_SEALED):
            plain = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            return self._attempt.put_sealed(key, plain)

    def _by_the_store(self, info: ObjectInfo, turn: int) -> tuple[FileEntry, int]:
        self._go_on()
        identity = self._identity(info, Protection.STORE, turn)
        key = object_key(self._site, identity)
        destination = self._repository.store
        # No other attempt ever writes this key. It can be there only when the answer to our own copy was lost.
        again = key in self._begun
        self._begun.add(key)
        if not (again and self._is_there(key, None, info.size_bytes)):
            self._source.rate.take(info.size_bytes)
            try:
                destination.copy_from(
                    self._source.store,
                    info.key,
                    key,
                    size_bytes=info.size_bytes,
                    if_match=info.etag,
                    version=self._source.version_of(info),
                )
            except ObjectNotFound as error:
                raise Vanished from error
            except AccessDenied as error:
                self._source.probe(info)  # Unreadable when the source refuses the file itself
                raise error
        stored = destination.stat(key)
        self._begun.discard(key)
        if stored.size_bytes != info.size_bytes:
            raise SourceChanged(f"{info.key!r} was copied with another size than was listed", key=info.key)
        if info.etag is None:
            now = self._source.stat(info)
            if (now.size_bytes, now.modified) != (info.size_bytes, info.modified):
                raise SourceChanged(f"{info.key!r} changed while it was copied", key=info.key)
        location = Copied(identity, stored.etag, stored.checksum, stored.encryption, stored.encryption_key_id)
        return _entry(info, location, None, facts=stored), stored.size_bytes

    def _is_there(self, key: str, part: Part | None, size_bytes: int) -> bool:
        try:
            found = self._source.patience.through_outages(lambda: self._repository.store.stat(key))
        except ObjectNotFound:
            return False
        return found.size_bytes == (size_bytes if part is None else part.stored_bytes)

    def _identity(self, info: ObjectInfo, protection: Protection, turn: int) -> str:
        generation = f"{self._generation}.{turn}" if turn else self._generation
        return file_identity(info, source_id=self._source_id, protection=protection, generation=generation)

    def _go_on(self) -> None:
        if self.stopping.is_set():
            raise Stopped


class _Outgrown(Exception):
    def __init__(self, info: ObjectInfo) -> None:
        super().__init__(info.key)
        self.info = info


def _lost(info: ObjectInfo, error: Exception) -> Result:
    return Result(info.key, unreadable=str(error) if isinstance(error, Unreadable) else None)


def _differs(info: ObjectInfo, entry: FileEntry) -> bool:
    return (info.size_bytes, info.etag, info.modified) != (entry.size_bytes, entry.etag, entry.modified)


def _entry(info: ObjectInfo, location: Location, sha256: str | None, *, facts: ObjectInfo | None = None) -> FileEntry:
    told = facts or info
    return FileEntry(
        key=info.key,
        size_bytes=info.size_bytes,
        modified=info.modified,
        location=location,
        etag=info.etag,
        version=info.version,
        content_type=told.content_type,
        metadata=dict(told.metadata),
        tags=dict(told.tags),
        headers=dict(told.headers),
        sha256=sha256,
        posix=info.posix,
    )
