"""Compare two stores (or prefixes of them): every key, byte, content type and metadata."""

import heapq
import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

from lc2_backup_dagster.clouds.store import ObjectReader, ObjectStore, PosixKind
from lc2_backup_dagster.demo.comparison.differences import Differences, Findings
from lc2_backup_dagster.model.errors import ObjectNotFound

_CHUNK_BYTES = 1 << 20
_SORTED_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class _Side:
    store: ObjectStore
    prefix: str


def compare_stores(
    left: ObjectStore,
    left_prefix: str,
    right: ObjectStore,
    right_prefix: str,
    *,
    ignore: Callable[[str], bool] = lambda _: False,
    workers: int = 8,
    progress: Callable[[int], None] = lambda _: None,
) -> Differences:
    """Compare all objects below two prefixes.

    Listings are sorted here, on disk beyond 100,000 keys, because not every store lists in byte order; memory stays
    bounded at about 2 MiB per worker. Content type and user metadata are compared where both stores keep them.

    Args:
        left: what was backed up.
        left_prefix: taken off its keys before they are compared.
        right: what was restored.
        right_prefix: the same on the right.
        ignore: which keys, without the prefix, to leave out on both sides (generated files, for example).
        workers: objects compared at once.
        progress: told the bytes of each pair that was read, from this thread.

    Raises:
        StoreUnavailable, AccessDenied, BucketNotFound: a side cannot be read.
    """
    findings = Findings()
    sides = _Side(left, left_prefix), _Side(right, right_prefix)
    if not (left.capabilities.user_metadata and right.capabilities.user_metadata):
        findings.note("content types and metadata are not compared: one of the stores does not keep them")
    with ExitStack() as stack:
        ours, theirs = (_sorted_listing(side, ignore, stack) for side in sides)
        pool = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="compare"))
        pending: set[Future[_Verdict]] = set()
        try:
            for key in _common_keys(ours, theirs, findings):
                if len(pending) >= 4 * workers:
                    pending = _collect(pending, findings, progress)
                pending.add(pool.submit(_compare_pair, *sides, key))
            while pending:
                pending = _collect(pending, findings, progress)
        finally:
            for future in pending:
                future.cancel()
    return findings.result()


@dataclass(frozen=True, slots=True)
class _Verdict:
    key: str
    read_bytes: int
    details: tuple[str, ...]


def _collect(
    pending: set[Future[_Verdict]], findings: Findings, progress: Callable[[int], None]
) -> set[Future[_Verdict]]:
    done, left = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        verdict = future.result()
        findings.count("bytes", verdict.read_bytes)
        for detail in verdict.details:
            findings.add(f"object {verdict.key}", detail)
        progress(verdict.read_bytes)
    return left


def _sorted_listing(side: _Side, ignore: Callable[[str], bool], stack: ExitStack) -> Iterator[bytes]:
    """Return the keys of the files below the prefix, without it, in byte order; folders and links have no bytes."""
    files = (info for info in side.store.list(side.prefix) if info.kind is PosixKind.FILE)
    listing = (info.key[len(side.prefix) :] for info in files)
    keys = (key.encode() for key in listing if not ignore(key))
    runs: list[Iterator[bytes]] = []
    while run := sorted(islice(keys, _SORTED_AT_ONCE)):
        if len(run) < _SORTED_AT_ONCE:
            runs.append(iter(run))
            break
        # Escaped, because a key may hold a line feed.
        file = stack.enter_context(tempfile.TemporaryFile("w+", encoding="ascii"))  # noqa: SIM115 - closed by the stack
        file.writelines(f"{json.dumps(key.decode())}\n" for key in run)
        file.seek(0)
        runs.append(json.loads(line).encode() for line in file)
    return heapq.merge(*runs)


def _common_keys(left: Iterator[bytes], right: Iterator[bytes], findings: Findings) -> Iterator[str]:
    """Yield the keys of both sides; report those of one side only."""
    ours, theirs = _without_repeats(left, "left", findings), _without_repeats(right, "right", findings)
    a, b = next(ours, None), next(theirs, None)
    while a is not None or b is not None:
        findings.count("objects")
        if b is None or (a is not None and a < b):
            findings.add(f"object {(a or b'').decode()}", "only on the left")
            a = next(ours, None)
        elif a is None or b < a:
            findings.add(f"object {b.decode()}", "only on the right")
            b = next(theirs, None)
        else:
            yield a.decode()
            a, b = next(ours, None), next(theirs, None)


def _without_repeats(keys: Iterator[bytes], side: str, findings: Findings) -> Iterator[bytes]:
    last: bytes | None = None
    for key in keys:
        if key == last:
            findings.add(f"object {key.decode()}", f"listed twice on the {side}")
        else:
            yield key
        last = key


def _compare_pair(left: _Side, right: _Side, key: str) -> _Verdict:
    with ExitStack() as stack:
        try:
            ours = stack.enter_context(left.store.open(left.prefix + key))
            theirs = stack.enter_context(right.store.open(right.prefix + key))
        except ObjectNotFound as error:
            return _Verdict(key, 0, (f"vanished during the comparison: {error.message}",))
        details: list[str] = []
        a, b = ours.info, theirs.info
        if left.store.capabilities.user_metadata and right.store.capabilities.user_metadata:
            if a.content_type != b.content_type:
                details.append(f"content type {a.content_type!r} on the left, {b.content_type!r} on the right")
            if dict(a.metadata) != dict(b.metadata):
                details.append(f"metadata {dict(a.metadata)} on the left, {dict(b.metadata)} on the right")
        if a.size_bytes != b.size_bytes:
            details.append(f"{a.size_bytes:,} bytes on the left, {b.size_bytes:,} on the right")
            return _Verdict(key, 0, tuple(details))
        offset = 0
        while True:
            chunk, other = _read(ours), _read(theirs)
            if chunk != other:
                details.append(f"contents differ from byte {offset + _first_difference(chunk, other):,} on")
                break
            offset += len(chunk)
            if not chunk:
                if offset != a.size_bytes:
                    details.append(f"only {offset:,} of {a.size_bytes:,} bytes could be read on both sides")
                break
    return _Verdict(key, offset, tuple(details))


def _read(reader: ObjectReader) -> bytes:
    """Read exactly one chunk (less at the end only), so that both sides are cut alike."""
    pieces: list[bytes] = []
    left = _CHUNK_BYTES
    while left and (piece := reader.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _first_difference(chunk: bytes, other: bytes) -> int:
    shorter = min(len(chunk), len(other))
    return next((index for index in range(shorter) if chunk[index] != other[index]), shorter)
