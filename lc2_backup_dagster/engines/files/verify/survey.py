"""A look at every stored object without reading any: is it there, in its size, and does the store tell the same of it?

Three streams in the order of object keys are merged: what manifests need, what the store lists, and what earlier
verifications found out. What is seen of an object waits on local disk until all objects were looked at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from lc2_backup_dagster.clouds.store import ObjectInfo
from lc2_backup_dagster.engines.files.manifest.identity import name_of
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.engines.files.verify.choices import Candidate
from lc2_backup_dagster.engines.files.verify.needed import NeededObject
from lc2_backup_dagster.engines.files.verify.proofs import KnownHash, Proof
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.model.site import SiteId

FUTURE_SECONDS = 3600
"""A time further ahead than this proves nothing: a clock was wrong (L-24). Nor is a later write a later version."""

_ROWS_IN_MEMORY = 10_000  # of rows that come in order
_UNSORTED_ROWS_IN_MEMORY = 50_000


class State(StrEnum):
    """What a look at an object says."""

    SOUND = "sound"
    GONE = "gone"
    RESIZED = "resized"
    CHANGED = "changed"
    DAMAGED_BEFORE = "damaged before"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at one object said.

    Attributes:
        key: the object.
        state: in one word.
        reason: in a sentence, for people; empty when it is sound.
        stored_bytes: the length it must have.
        proven_at: when it was read whole last, or stored where it never was; seconds since 1970.
        never_read: whether it was not read since it was stored.
        read_at: when it was read whole, by any earlier verification; None when it never was.
        known_sha256: what was read then, of a copy made by the store.
    """

    key: str
    state: State
    reason: str
    stored_bytes: int
    proven_at: int
    never_read: bool
    read_at: int | None
    known_sha256: str | None

    @property
    def is_lost(self) -> bool:
        """Whether it is certainly damaged, so that reading it tells nothing more."""
        return self.state in (State.GONE, State.RESIZED)

    @property
    def candidate(self) -> Candidate:
        """What a choice is told of it."""
        doubtful = self.state in (State.CHANGED, State.DAMAGED_BEFORE)
        return Candidate(self.key, self.stored_bytes, self.proven_at, self.never_read, doubtful)


def look(needed: NeededObject, found: ObjectInfo | None, proof: Proof | None, *, now: int) -> Seen:
    """Judge one object by what is known of it without reading it.

    Args:
        needed: what is promised of it.
        found: what the store lists, or None where it lists nothing.
        proof: what earlier verifications found out.
        now: seconds since 1970 by the store's clock.
    """
    known = proof.sha256 if proof is not None and needed.part is None else None
    read_at = proof.read_at if proof is not None else None
    if read_at is not None and read_at > now + FUTURE_SECONDS:
        read_at = None
    stored_at = min(now, int(found.modified.timestamp())) if found is not None else now
    never_read = read_at is None or stored_at > read_at + FUTURE_SECONDS
    state, reason = _state(needed, found, proof)
    return Seen(
        key=needed.key,
        state=state,
        reason=reason,
        stored_bytes=needed.stored_bytes,
        proven_at=stored_at if never_read or read_at is None else min(now, read_at),
        never_read=never_read,
        read_at=read_at,
        known_sha256=known,
    )


def _state(needed: NeededObject, found: ObjectInfo | None, proof: Proof | None) -> tuple[State, str]:
    if found is None:
        return State.GONE, "it is gone"
    if found.size_bytes != needed.stored_bytes:
        return State.RESIZED, f"it holds {found.size_bytes} bytes, promised {needed.stored_bytes}"
    if proof is not None and proof.damaged_at is not None:
        when = to_text(datetime.fromtimestamp(proof.damaged_at, UTC))
        return State.DAMAGED_BEFORE, f"it was found damaged at {when} and was not read whole since"
    return _as_the_store_tells(needed, found, proof) if needed.part is None else (State.SOUND, "")


def _as_the_store_tells(needed: NeededObject, found: ObjectInfo, proof: Proof | None) -> tuple[State, str]:
    """Compare what a listing tells of a copy for nothing with what the store told before."""
    if found.checksum is not None and needed.checksum is not None:
        if found.checksum == needed.checksum:
            return State.SOUND, ""
        if found.checksum.partition(":")[0] == needed.checksum.partition(":")[0]:
            return State.CHANGED, f"its checksum is {found.checksum} instead of {needed.checksum}"
    etag = needed.etag if proof is None or proof.etag is None else proof.etag
    if None not in (etag, found.etag) and etag != found.etag:
        return State.CHANGED, f"its etag is {found.etag} instead of {etag}"
    return State.SOUND, ""


class Survey:
    """What was seen of all objects, and what is known of them from before; a context manager.

    Args:
        site: whose files.
        now: seconds since 1970 by the store's clock.
        scratch: folder for what does not fit into memory.
    """

    def __init__(self, site: SiteId, *, now: int, scratch: Path | None) -> None:
        self._site = site
        self._now = now
        self._seen = RowSorter(scratch, run_rows=_ROWS_IN_MEMORY)
        self._proofs = RowSorter(scratch, run_rows=_ROWS_IN_MEMORY)
        self._hashes = RowSorter(scratch, run_rows=_UNSORTED_ROWS_IN_MEMORY)

    def take(
        self,
        needed: Iterable[NeededObject],
        stored: Iterable[ObjectInfo],
        proofs: Iterable[Proof],
        *,
        forget: bool,
    ) -> Iterator[tuple[NeededObject, Seen]]:
        """Look at every object and yield what was seen.

        Args:
            needed: the objects, ascending by key.
            stored: what the store lists, ascending by key.
            proofs: what earlier verifications found out, ascending by name.
            forget: whether proofs of objects that are not needed are of no use any more.
        """
        listed, known = iter(stored), iter(proofs)
        found, proof = next(listed, None), next(known, None)
        for each in needed:
            name = name_of(self._site, each.key)
            while found is not None and found.key < each.key:
                found = next(listed, None)
            while proof is not None and proof.name < name:
                if not forget:
                    self._keep(proof)
                proof = next(known, None)
            of_this = proof if proof is not None and proof.name == name else None
            seen = look(each, found if found is not None and found.key == each.key else None, of_this, now=self._now)
            if of_this is not None:
                self._keep_needed(each, of_this)
                proof = next(known, None)
            self._add(seen)
            yield each, seen
        while proof is not None:
            if not forget:
                self._keep(proof)
            proof = next(known, None)

    def seen(self) -> Iterator[Seen]:
        """Yield what was seen, in the same order once more."""
        for key, state, reason, *rest in self._seen.rows():
            yield Seen(key, State(state), reason, *rest)

    def proofs(self) -> Iterator[Proof]:
        """Yield what is known from before and still of use, ascending by name."""
        return (Proof(*row) for row in self._proofs.rows())

    def hashes(self) -> Iterator[KnownHash]:
        """Yield the SHA-256 that manifests still lack, those that are noted now among them, ascending by file."""
        return (KnownHash(*row) for row in self._hashes.rows())

    def note_hash(self, needed: NeededObject, sha256: str) -> None:
        """Take the SHA-256 of a copy made by the store whose manifests lack it."""
        name = name_of(self._site, needed.key)
        for use in needed.uses:
            self._hashes.add([use.file, name, sha256])

    def _keep_needed(self, needed: NeededObject, proof: Proof) -> None:
        if needed.pending and proof.sha256 is not None:
            self.note_hash(needed, proof.sha256)
        self._keep(proof)

    def _keep(self, proof: Proof) -> None:
        self._proofs.add([proof.name, proof.read_at, proof.sha256, proof.etag, proof.damaged_at])

    def _add(self, seen: Seen) -> None:
        self._seen.add(
            [
                seen.key,
                str(seen.state),
                seen.reason,
                seen.stored_bytes,
                seen.proven_at,
                seen.never_read,
                seen.read_at,
                seen.known_sha256,
            ]
        )

    def close(self) -> None:
        """Free memory and disk."""
        for sorter in (self._seen, self._proofs, self._hashes):
            sorter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
