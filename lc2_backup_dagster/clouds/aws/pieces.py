"""Arithmetic of multipart uploads: how large the parts are, how streams are cut, how many are in flight."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from lc2_backup_dagster.model.errors import SourceChanged

MIB = 1 << 20
MAX_PARTS = 10_000
"""Most parts of one upload; S3's own limit."""

Result = TypeVar("Result")


def part_size(size_bytes: int, *, smallest: int) -> int:
    """Return how large parts must be so that 10,000 are enough, in whole MiB but for ``smallest`` itself."""
    needed = -(-size_bytes // MAX_PARTS)
    return max(smallest, -(-needed // MIB) * MIB)


def exact_parts(key: str, chunks: Iterable[bytes], *, size_bytes: int, length: int) -> Iterator[bytes]:
    """Cut chunks of any length into pieces of ``length`` bytes, the last one shorter.

    Raises:
        SourceChanged: they do not add up to ``size_bytes``; before the last piece is handed out.
    """
    buffer = bytearray()
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > size_bytes:
            break
        buffer += chunk
        # Not the last piece: that one waits until the stream has ended where it should.
        while len(buffer) > length:
            yield bytes(buffer[:length])
            del buffer[:length]
    if total != size_bytes:
        came = "more" if total > size_bytes else str(total)
        raise SourceChanged(f"write '{key}': {size_bytes} bytes were announced, {came} came", key=key)
    yield bytes(buffer)


def in_flight(calls: Iterable[Callable[[], Result]], at_once: int) -> list[Result]:
    """Run calls in threads, drawing the next one only when there is room, and return their results in order."""
    results: list[Result] = []
    with ThreadPoolExecutor(at_once, thread_name_prefix="s3-part") as pool:
        running: deque[Future[Result]] = deque()
        try:
            for call in calls:
                running.append(pool.submit(call))
                if len(running) >= at_once:
                    results.append(running.popleft().result())
            results.extend(future.result() for future in running)
        except BaseException:
            for future in running:
                future.cancel()
            raise
    return results
