"""The commit log: one create-only object per change, so that a commit happens once, for everyone, or not at all.

Appending is optimistic: read the head, decide on what the log says, create ``head + 1`` with "fail if it exists".
Whoever loses reads what the winner wrote and decides again. So two writers never act on the same state, whatever
their hosts, clocks and pauses.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.clock import Clock, to_text
from lc2_backup_dagster.model.errors import (
    AlreadyExists,
    ConfigurationError,
    LogCorrupt,
    ObjectNotFound,
    StoreUnavailable,
)
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.history import History
from lc2_backup_dagster.repository.record import Initiator, Record, RecordType, decode_record, encode_record

_READERS = 8
_APPEND_TRIES = 100


class CommitLog:
    """The log of one site.

    Args:
        store: the repository's store.
        site: whose log.
        repository_id: bound into every record.
        clock: stamps records.
        key_id: the key that signs new records, or None where encryption is off.
        log_keys: key id → HMAC key, to prove records.
        signed_from: sequence from which on an unsigned record is a forgery, or None.
    """

    def __init__(
        self,
        store: ObjectStore,
        site: SiteId,
        *,
        repository_id: str,
        clock: Clock,
        key_id: str | None,
        log_keys: dict[str, bytes],
        signed_from: int | None,
    ) -> None:
        self._store = store
        self._site = site
        self._repository_id = repository_id
        self._clock = clock
        self._key_id = key_id
        self._log_keys = log_keys
        self._signed_from = signed_from
        self._history = History()
        self._lock = threading.RLock()

    def history(self) -> History:
        """Read what was appended since the last call and return the folded state.

        Raises:
            LogCorrupt: a gap, a broken chain or a forged record.
        """
        with self._lock:
            for record in self.records(after=self._history.sequence, after_sha256=self._history.head_sha256):
                self._history.apply([record])
            return self._history

    @property
    def known(self) -> History:
        """The state as of the last read or append; reads nothing."""
        return self._history

    def records(self, *, after: int = 0, after_sha256: str = "0" * 64) -> Iterator[Record]:
        """Yield proven records in order.

        Args:
            after: sequence of the last record already known.
            after_sha256: its hash.

        Raises:
            LogCorrupt: a gap, a broken chain or a forged record.
        """
        sequence, previous = after, after_sha256
        for number, data in self._fetch(after):
            sequence += 1
            if number != sequence:
                raise LogCorrupt(
                    f"record {sequence} of the log of {self._site} is missing, record {number} exists",
                    hint="someone deleted part of the log; look for it in the bucket's older versions",
                    sequence=sequence,
                )
            record = decode_record(
                data,
                repository_id=self._repository_id,
                site=str(self._site),
                sequence=sequence,
                previous_sha256=previous,
                log_keys=self._log_keys,
                signed_from=self._signed_from,
            )
            previous = record.sha256
            yield record

    def append(self, type: RecordType, *, initiator: Initiator, decide: Callable[[History], dict[str, Any]]) -> Record:
        """Append one record, deciding its body on the log as it stands right before it.

        Args:
            type: what the record says.
            initiator: who says it.
            decide: called with the folded log, perhaps several times; returns the body, or raises to append nothing.

        Raises:
            ConfigurationError: the body contradicts the log, like an undelete of what was purged; nothing was appended.
            StoreUnavailable: the store cannot be reached; nothing was appended.
        """
        for _ in range(_APPEND_TRIES):
            with self._lock:
                history = self.history()
                sequence, previous = history.sequence + 1, history.head_sha256
                data = encode_record(
                    repository_id=self._repository_id,
                    site=str(self._site),
                    sequence=sequence,
                    type=type,
                    time=to_text(self._clock.now()),
                    initiator=initiator,
                    body=decide(history),
                    previous_sha256=previous,
                    key_id=self._key_id,
                    log_keys=self._log_keys,
                )
                record = decode_record(
                    data,
                    repository_id=self._repository_id,
                    site=str(self._site),
                    sequence=sequence,
                    previous_sha256=previous,
                    log_keys=self._log_keys,
                    signed_from=self._signed_from,
                )
                try:
                    history.require_fits(record)
                except LogCorrupt as error:
                    raise ConfigurationError(
                        f"a record {type} of {self._site} is refused: {error.message}",
                        hint="nothing was written; look at what the log says with lc2-backup list",
                    ) from error
                if not self._create(layout.log_key(self._site, sequence), data):
                    continue  # someone else was faster; read what they wrote and decide again
                # Folded from memory: the record is there, and a store that goes away now must not hide it.
                history.apply([record])
                return record
        raise StoreUnavailable(f"the log of {self._site} is contended: {_APPEND_TRIES} appends lost the race")

    def _create(self, key: str, data: bytes) -> bool:
        try:
            self._store.put(key, data)
        except AlreadyExists:
            return self._store.get(key) == data  # a retried request may have won before its answer was lost
        except StoreUnavailable:
            # The answer was lost; only reading back tells who won. Absence is only believed when it is certain.
            return self._stored(key, data)
        try:
            # A store that says yes and keeps nothing is not believed: a commit is what can be read.
            return self._stored(key, data)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, ObjectNotFound):
                raise
            return True  # the store accepted it and cannot be asked now

    def _stored(self, key: str, data: bytes) -> bool:
        """Say whether the record at the key is ours.

        Raises:
            StoreUnavailable: it cannot be told, or (caused by ``ObjectNotFound``) nothing is there.
        """
        try:
            return self._store.get(key) == data
        except ObjectNotFound as error:
            raise StoreUnavailable(f"{key} could not be written to {self._store.url}; nothing was appended") from error

    def _fetch(self, after: int) -> Iterator[tuple[int, bytes]]:
        prefix = layout.log_prefix(self._site)
        keys = sorted(
            item.key
            for item in self._store.list(prefix, start_after=layout.log_key(self._site, after) if after else None)
            if "/" not in item.key[len(prefix) :]
        )
        if not keys:
            return
        with ThreadPoolExecutor(_READERS, thread_name_prefix="log") as pool:
            # Windows of bounded size: a long log is never held in memory as bytes.
            for start in range(0, len(keys), 512):
                window = keys[start : start + 512]
                for key, data in zip(window, pool.map(self._store.get, window), strict=True):
                    yield _sequence_of(key), data


def _sequence_of(key: str) -> int:
    name = key.rpartition("/")[2].removesuffix(".json")
    if len(name) != layout.SEQUENCE_DIGITS or not name.isdecimal():
        raise LogCorrupt(f"{key} is not a record of the commit log", hint="remove the foreign object", key=key)
    return int(name)
