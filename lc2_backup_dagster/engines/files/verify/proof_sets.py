"""Where the results of verifications lie, and which of them count (FORMAT.md, "Results of verifications").

Every verification has a folder of its own, named after its time: ``verified/<site>/<run id>/``. While it runs it writes
down what it has read (``read/000000``, …). At its end it writes everything that is known, its own results merged with
those of all before it, and then ``results``, which names what it took in. So normally the newest folder says all;
of a run that died, what it wrote down counts; and of two that ran at once, both. Nothing is ever overwritten, and
nobody waits for anybody.

Whoever can change what lies here could make damage look proven, so all of it is sealed like contents are, and where a
site is encrypted, what is not is ignored. What is ignored makes objects unread, never damaged.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from lc2_backup_dagster.engines.files.manifest.lines import read_lines
from lc2_backup_dagster.engines.files.ports import SiteObjects
from lc2_backup_dagster.engines.files.scratch import RowSorter
from lc2_backup_dagster.engines.files.verify.proofs import (
    KnownHash,
    Proof,
    decode_hash,
    decode_proof,
    merged_hashes,
    merged_proofs,
)
from lc2_backup_dagster.model.errors import (
    AccessDenied,
    FormatNotSupported,
    IntegrityError,
    ManifestCorrupt,
    ObjectNotFound,
    PartCorrupt,
)
from lc2_backup_dagster.repository import canonical
from lc2_backup_dagster.repository.layout import FORMAT_VERSION, PART_DIGITS, verified_prefix
from lc2_backup_dagster.repository.parts import Part, Stream
from lc2_backup_dagster.repository.reading import StoredStream
from lc2_backup_dagster.repository.sealing import Sealer

RESULTS = "results"
OBJECTS = "objects"
HASHES = "hashes"
READ = "read"
_HEADER_BYTES = 4096
_SCRATCH_ROWS = 5_000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ProofSet:
    """The results of one verification that came to its end.

    Attributes:
        run_id: its folder.
        key_id: data key of its streams.
        streams: name → stream.
    """

    run_id: str
    key_id: str | None
    streams: dict[str, Stream]


@dataclass(slots=True)
class KeptProofs:
    """What all verifications found out so far; a context manager that frees its scratch space.

    Attributes:
        sets: results that count.
        taken_in: what a new set that contains all of these replaces: mapping of run id → number of objects that a
            run wrote down which has not come to its end, or None for one that will never be of use again.
        over: runs that left something here, all of which results that count contain.
        ignored: what could not be believed or read, with the reason; objects it told of are unread.
    """

    repository: SiteObjects
    sets: list[ProofSet]
    taken_in: dict[str, int | None]
    over: set[str]
    ignored: dict[str, str]
    _written_down: RowSorter

    def proofs(self) -> Iterator[Proof]:
        """Yield what is known of every object, ascending by name."""
        streams = [self._lines(each, OBJECTS, decode_proof) for each in self.sets]
        return merged_proofs(*streams, (Proof(*row) for row in self._written_down.rows()))

    def hashes(self) -> Generator[KnownHash]:
        """Yield the SHA-256 of copies made by the store, ascending by file.

        Those of runs that died are not among them: the next verification sorts them in.
        """
        return merged_hashes(*(self._lines(each, HASHES, decode_hash) for each in self.sets))

    def _lines(self, found: ProofSet, name: str, decode: Callable[..., _T]) -> Iterator[_T]:
        prefix = f"{verified_prefix(self.repository.site)}{found.run_id}/"
        stored = StoredStream(
            self.repository.store,
            self.repository.sealer,
            prefix=prefix,
            stream=found.streams[name],
            key_id=found.key_id,
        )
        try:
            with stored.open() as reader:
                for number, line in enumerate(read_lines(reader, f"{prefix}{name}"), start=1):
                    yield decode(line, where=f"{prefix}{name} line {number}")
        except IntegrityError as error:
            self.ignored[f"{prefix}{name}"] = error.message

    def take_written_down(self, key: str) -> None:
        """Read what a run that did not come to its end wrote down into one object.

        Raises:
            IntegrityError: it cannot be believed.
        """
        plain, _ = open_headed(self.repository, key)
        for line in plain.splitlines():
            proof = decode_proof(line, where=key)
            self._written_down.add([proof.name, proof.read_at, proof.sha256, proof.etag, proof.damaged_at])

    def close(self) -> None:
        """Free memory and disk."""
        self._written_down.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_proofs(repository: SiteObjects, *, scratch: Path | None, written_down: bool = True) -> KeptProofs:
    """Find what earlier verifications of a site's files wrote.

    Args:
        repository: the site's part of the repository.
        scratch: folder for what does not fit into memory.
        written_down: whether to read what runs that died wrote down.

    Raises:
        StoreUnavailable: the repository cannot be read now; nothing is concluded from that (L-28).
        FormatNotSupported: written by a newer version.
    """
    kept = KeptProofs(repository, [], {}, set(), {}, RowSorter(scratch, run_rows=_SCRATCH_ROWS))
    try:
        prefix = verified_prefix(repository.site)
        try:
            runs = _runs(repository, prefix)
            superseded = _add_sets(kept, prefix, runs)
            kept.over = {each for each in runs if superseded.get(each, 0) is None}
            if written_down:
                _add_written_down(kept, prefix, runs, superseded)
        except AccessDenied as error:  # whoever may not read results can still do without them
            kept.ignored[prefix] = error.message
        return kept
    except BaseException:
        kept.close()
        raise


@contextmanager
def known_hashes(repository: SiteObjects) -> Generator[Iterator[KnownHash]]:
    """Open the SHA-256 that verifications found out of copies made by the store, ascending by file.

    Captures and restores are the better for them and do without: results that cannot be believed, or may not be
    read, give none.

    Raises:
        StoreUnavailable: the repository cannot be read now.
    """
    try:
        kept = open_proofs(repository, scratch=None, written_down=False)
    except FormatNotSupported:
        yield iter(())
        return
    with kept, closing(kept.hashes()) as hashes:
        yield hashes


@dataclass(slots=True)
class _Run:
    complete: bool = False
    read: int = 0
    """Objects it wrote down, numbered from 0."""


def _runs(repository: SiteObjects, prefix: str) -> dict[str, _Run]:
    runs = defaultdict[str, _Run](_Run)
    for found in repository.store.list(prefix):
        run_id, _, rest = found.key[len(prefix) :].partition("/")
        name, _, number = rest.partition("/")
        run = runs[run_id]  # also of what is left of a folder that was deleted in part
        if rest == RESULTS:
            run.complete = True
        elif name == READ and number.isdecimal():
            run.read = max(run.read, int(number) + 1)
    return runs


def _add_sets(kept: KeptProofs, prefix: str, runs: dict[str, _Run]) -> dict[str, int | None]:
    """Read the results that no newer ones have taken in; return what was taken in, as in ``taken_in``."""
    superseded: dict[str, int | None] = {}
    for run_id in sorted((each for each, run in runs.items() if run.complete), reverse=True):
        if superseded.get(run_id, 0) is None:
            kept.taken_in[run_id] = None
            continue
        key = f"{prefix}{run_id}/{RESULTS}"
        try:
            found, taken_in = _results(kept.repository, key, run_id)
        except FormatNotSupported:
            raise
        except (IntegrityError, ObjectNotFound) as error:
            kept.ignored[key] = error.message
            continue
        kept.sets.append(found)
        kept.taken_in[run_id] = None
        for other, read in taken_in.items():
            before = superseded.get(other, 0)
            superseded[other] = None if before is None or read is None else max(before, read)
    # Names are times, and a clock may have been ahead: what was read first is not for certain the latest.
    kept.sets = [each for each in kept.sets if superseded.get(each.run_id, 0) is not None]
    return superseded


def _add_written_down(kept: KeptProofs, prefix: str, runs: dict[str, _Run], superseded: dict[str, int | None]) -> None:
    for run_id, run in runs.items():
        done = superseded.get(run_id, 0)
        if run_id in kept.taken_in or done is None:
            continue
        for number in range(done, run.read):
            key = written_down_key(prefix, run_id, number)
            try:
                kept.take_written_down(key)
            except FormatNotSupported:
                raise
            except (IntegrityError, ObjectNotFound) as error:
                kept.ignored[key] = error.message
        # Of one whose results cannot be believed nothing else is to be had.
        kept.taken_in[run_id] = None if run.complete else run.read


def written_down_key(prefix: str, run_id: str, number: int) -> str:
    """Return where a run writes down what it has read so far."""
    return f"{prefix}{run_id}/{READ}/{number:0{PART_DIGITS}d}"


def _results(repository: SiteObjects, key: str, run_id: str) -> tuple[ProofSet, dict[str, int | None]]:
    plain, key_id = open_headed(repository, key)
    try:
        fields = canonical.decode_object(plain)
        streams = {
            name: Stream(name, tuple(Part(*part) for part in fields["streams"][name])) for name in (OBJECTS, HASHES)
        }
        return ProofSet(run_id, key_id, streams), dict(fields["taken_in"])
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestCorrupt(f"{key} is unreadable: {error!r}", key=key) from error


def seal_headed(sealer: Sealer, key: str, plain: bytes) -> bytes:
    """Return an object that says itself with which data key it is sealed."""
    header: dict[str, Any] = {"format": FORMAT_VERSION, "key_id": sealer.key_id}
    return canonical.encode(header) + b"\n" + sealer.seal(plain, key=key)


def open_headed(repository: SiteObjects, key: str) -> tuple[bytes, str | None]:
    """Fetch and open an object written with ``seal_headed``; return its content and its data key.

    Raises:
        ObjectNotFound: certainly absent.
        PartCorrupt: changed, cut, moved, or not sealed although the site is encrypted.
        FormatNotSupported: written by a newer version.
    """
    stored = repository.store.get(key)
    end = stored.find(b"\n", 0, _HEADER_BYTES)
    try:
        header = canonical.decode_object(stored[: max(end, 0)])
        version, key_id = header["format"], header["key_id"]
    except (ValueError, KeyError) as error:
        raise PartCorrupt(f"{key} has no header", key=key) from error
    if version != FORMAT_VERSION:
        raise FormatNotSupported(f"{key} has format {version}", hint="use a newer lc2-backup")
    if key_id is None and repository.sealer.key_id is not None:
        raise PartCorrupt(f"{key} is not encrypted, though this site is", key=key)
    return repository.sealer.unseal(stored[end + 1 :], key=key, key_id=key_id), key_id
