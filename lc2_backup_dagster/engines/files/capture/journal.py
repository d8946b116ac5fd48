"""What an attempt has finished, written down as it goes, so that the next one need not copy it again.

A journal object holds entries (like the manifest, but in order of completion) and a last line with their SHA-256. It
is written after the contents it names were stored and read back, and believed only whole: what a killed attempt did
not write down is copied again, what it wrote down is checked to be there before it is taken over.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lc2_backup_dagster.engines.files.manifest.entry import FileEntry, decode_entry
from lc2_backup_dagster.engines.files.ports import CapturingAttempt, SiteObjects
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.model.errors import IntegrityError, ManifestCorrupt, ObjectNotFound
from lc2_backup_dagster.model.site import Component, SiteId
from lc2_backup_dagster.repository.canonical import sha256
from lc2_backup_dagster.repository.layout import PART_DIGITS, backup_prefix

_EVERY_BYTES = 256 * 1024 * 1024
_EVERY_SECONDS = 5.0


def journal_prefix(site: SiteId, attempt_id: str) -> str:
    """Return the folder of an attempt's journal; garbage once the attempt, or one that resumed it, has committed."""
    return f"{backup_prefix(site, Component.FILES, attempt_id)}journal/"


class Journal:
    """Writes the journal of a running attempt.

    Args:
        attempt: whose journal it is.
        site: whose files.
        lane: name of the lane whose journal it is, where several processes write one for the attempt at once.
        monotonic: seconds that only grow.
        every_entries: write at the latest after so many entries…
        every_bytes: …or copied bytes…
        every_seconds: …or seconds.
    """

    def __init__(
        self,
        attempt: CapturingAttempt,
        site: SiteId,
        *,
        lane: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        every_entries: int = 2000,
        every_bytes: int = _EVERY_BYTES,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._attempt = attempt
        self._prefix = journal_prefix(site, attempt.backup_id) + (f"{lane}/" if lane else "")
        self._monotonic = monotonic
        self._every_entries = every_entries
        self._every_bytes = every_bytes
        self._every_seconds = every_seconds
        self._written = monotonic()
        self._lines: list[bytes] = []
        self._size_bytes = 0
        self._count = 0

    def add(self, line: bytes, *, size_bytes: int) -> None:
        """Take an entry whose content is stored."""
        self._lines.append(line)
        self._size_bytes += size_bytes

    def write_if_due(self) -> None:
        """Write what was taken, if it is enough or old enough, and make sure that the attempt is alive.

        Raises:
            Fenced: the attempt was superseded.
        """
        due = (
            len(self._lines) >= self._every_entries
            or self._size_bytes >= self._every_bytes
            or self._monotonic() - self._written >= self._every_seconds
        )
        if due:
            self.write()

    def write(self) -> None:
        """Write what was taken, and make sure that the attempt is alive.

        Raises:
            Fenced: the attempt was superseded.
        """
        self._attempt.check_alive()
        if self._lines:
            body = b"".join(self._lines)
            trailer = json.dumps({"sha256": sha256(body)}, separators=(",", ":")).encode() + b"\n"
            self._attempt.put_sealed(f"{self._prefix}{self._count:0{PART_DIGITS}d}", body + trailer)
            self._count += 1
            self._lines, self._size_bytes = [], 0
        self._written = self._monotonic()


@dataclass(slots=True)
class FinishedWork:
    """What dead attempts left; a context manager that frees its scratch space.

    Attributes:
        damaged: keys of journal objects that could not be believed; what they named is copied again.
    """

    damaged: list[str]
    _sorter: RowSorter

    def entries(self) -> Iterator[FileEntry]:
        """Yield the entries in ascending order, a key perhaps several times, the newest last."""
        for _, line in self._sorter.rows():
            yield decode_entry(line.encode("ascii"), where="journal")

    def close(self) -> None:
        """Free memory and disk."""
        self._sorter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journals(
    repository: SiteObjects,
    attempts: Sequence[str],
    *,
    own: str | None = None,
    wanted: Callable[[str], bool] | None = None,
    scratch: Path | None,
    run_rows: int = 20_000,
) -> FinishedWork:
    """Read the journals of dead attempts, oldest first, and of earlier tries of the attempt itself.

    Args:
        repository: where they lie.
        attempts: ids of the attempts.
        own: what the keys of the journals of earlier tries begin with, or None where there are none.
        wanted: says which files matter; all when None.
        scratch: folder for what does not fit into memory.
        run_rows: entries kept in memory.

    Raises:
        StoreUnavailable: the store cannot be read now; nothing is concluded from that (L-28).
    """
    sorter = RowSorter(scratch, run_rows=run_rows)
    damaged: list[str] = []
    try:
        prefixes = [journal_prefix(repository.site, attempt) for attempt in attempts]
        for prefix in (*prefixes, own) if own else prefixes:
            # Sorted: stores may list out of order, and of two entries for one key the newer one must come last.
            for key in sorted(found.key for found in repository.store.list(prefix)):
                try:
                    entries = _read(repository, key)
                except (IntegrityError, ObjectNotFound):
                    damaged.append(key)
                    continue
                for entry, line in entries:
                    if wanted is None or wanted(entry.key):
                        sorter.add([entry.key, line.decode("ascii")])
        return FinishedWork(damaged, sorter)
    except BaseException:
        sorter.close()
        raise


def _read(repository: SiteObjects, key: str) -> list[tuple[FileEntry, bytes]]:
    plain = repository.sealer.unseal(repository.store.get(key), key=key, key_id=repository.sealer.key_id)
    body, trailer = _split(plain, key)
    if trailer != {"sha256": sha256(body)}:
        raise ManifestCorrupt(f"{key} is cut or damaged", key=key)
    lines = body.splitlines(keepends=True)
    return [(decode_entry(line, where=f"{key} line {number}"), line) for number, line in enumerate(lines, start=1)]


def _split(plain: bytes, key: str) -> tuple[bytes, object]:
    start = plain.rfind(b"\n", 0, -1) + 1
    try:
        return plain[:start], json.loads(plain[start:])
    except ValueError as error:
        raise ManifestCorrupt(f"{key} has no trailer", key=key) from error
