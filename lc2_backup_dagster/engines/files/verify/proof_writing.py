"""A verification writes down what it finds out: as it goes, so that a killed one loses little, and whole at its end."""

import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

from lc2_backup_dagster.engines.files.capture.source import Patience
from lc2_backup_dagster.engines.files.ports import SiteObjects
from lc2_backup_dagster.engines.files.verify.proof_sets import HASHES, OBJECTS, RESULTS, seal_headed, written_down_key
from lc2_backup_dagster.engines.files.verify.proofs import KnownHash, Proof, encode_hash, encode_proof
from lc2_backup_dagster.model.errors import AlreadyExists, PartCorrupt
from lc2_backup_dagster.repository import canonical
from lc2_backup_dagster.repository.layout import verified_prefix
from lc2_backup_dagster.repository.manifest import stream_entry
from lc2_backup_dagster.repository.parts import Stream, StreamWriter, WriteOptions

_EVERY_SECONDS = 30.0
# What a run holds of them beside all else is about five times this, for each of two streams in turn.
_OPTIONS = WriteOptions(part_bytes=2 * 1024 * 1024, in_flight=2)


class ProofWriter:
    """Writes the folder of one verification.

    Args:
        repository: where to.
        started: when the verification began, by the store's clock.
        patience: how often things are tried again.
        every_proofs: write down at the latest after so many objects…
        monotonic: seconds that only grow.
        every_seconds: …or so many seconds by it.

    Attributes:
        run_id: name of the folder.
    """

    def __init__(
        self,
        repository: SiteObjects,
        *,
        started: datetime,
        patience: Patience,
        every_proofs: int,
        monotonic: Callable[[], float] = time.monotonic,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self.run_id = f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        self._repository = repository
        self._patience = patience
        self._prefix = verified_prefix(repository.site)
        self._monotonic = monotonic
        self._every_proofs = every_proofs
        self._every_seconds = every_seconds
        self._written = monotonic()
        self._waiting: list[bytes] = []
        self._count = 0

    def add(self, proof: Proof) -> None:
        """Take what was found out of one object; writes it down when it is time."""
        self._waiting.append(encode_proof(proof))
        if len(self._waiting) >= self._every_proofs or self._monotonic() - self._written >= self._every_seconds:
            self.write_down()

    def write_down(self) -> None:
        """Write down what was taken since the last time.

        Raises:
            AccessDenied: results must not be written.
        """
        if self._waiting:
            self._put(written_down_key(self._prefix, self.run_id, self._count), b"".join(self._waiting))
            self._count += 1
            self._waiting = []
        self._written = self._monotonic()

    def finish(
        self,
        proofs: Iterable[Proof],
        hashes: Iterable[KnownHash],
        *,
        taken_in: dict[str, int | None],
        summary: dict[str, Any],
    ) -> None:
        """Write everything that is known; from the last write on it replaces all that was taken in.

        Args:
            proofs: of every object, ascending by name.
            hashes: of copies made by the store, ascending by file.
            taken_in: as ``KeptProofs.taken_in``.
            summary: what the verification did, JSON values without fractions.
        """
        streams = {
            OBJECTS: self._stream(OBJECTS, (encode_proof(each) for each in proofs)),
            HASHES: self._stream(HASHES, (encode_hash(each) for each in hashes)),
        }
        told = {
            "taken_in": taken_in,
            "streams": {name: stream_entry(stream) for name, stream in streams.items()},
            "summary": summary,
        }
        self._put(f"{self._prefix}{self.run_id}/{RESULTS}", canonical.encode(told))

    def _stream(self, name: str, lines: Iterable[bytes]) -> Stream:
        store, sealer = self._repository.store, self._repository.sealer
        prefix = f"{self._prefix}{self.run_id}/"
        with StreamWriter(store, sealer, prefix=prefix, name=name, options=_OPTIONS) as writer:
            for line in lines:
                writer.write(line)
        return writer.stream

    def _put(self, key: str, plain: bytes) -> None:
        store = self._repository.store
        stored = seal_headed(self._repository.sealer, key, plain)

        def put() -> None:
            with suppress(AlreadyExists):  # our own, when the answer was lost: nobody else seals the same bytes
                store.put(key, stored)
            if store.get(key) != stored:
                raise PartCorrupt(f"{key} in {store.url} was stored with other bytes than were sent", key=key)

        self._patience.through_outages(put)
