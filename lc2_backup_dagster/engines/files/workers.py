"""Worker threads behind a gate: work starts only while the bytes it may hold fit into a budget.

So memory depends neither on the number of files nor on their size, and many small pieces of work may still run at
once where each waits for a distant store.
"""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

_R = TypeVar("_R")
_IDLE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use.

    Attributes:
        max_concurrency: worker threads.
        memory_bytes: bytes of file contents in memory, whatever form they have. A single piece of work that needs
            more runs alone.
        journal_entries: copied files after which a capture writes its journal at the latest (or 5 seconds, or
            256 MiB); what a killed run has to copy again.
        bytes_per_second: what a capture may take from the source, copies by the store included; None for no limit.
    """

    max_concurrency: int = 8
    memory_bytes: int = 112 * 1024 * 1024
    journal_entries: int = 2000
    bytes_per_second: int | None = None


class ByteGate:
    """Lets threads through while what they hold together fits; one that needs more than all passes alone.

    Args:
        limit_bytes: what fits.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._changed = threading.Condition()

    @contextmanager
    def room(self, needed: int) -> Generator[None]:
        """Wait for room and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held_bytes or self._held_bytes + needed <= self._limit_bytes)
            self._held_bytes += needed
        try:
            yield
        finally:
            with self._changed:
                self._held_bytes -= needed
                self._changed.notify_all()


class Workers(Generic[_R]):
    """Runs work in threads and hands every result to the thread that submits; a context manager.

    Leaving it by an exception starts nothing more and waits for what runs.

    Args:
        limits: what may be used.
        name: of the threads.
        collected: called in the submitting thread after one or more results were handed over.
        stopping: called before waiting when the run fails, so that long work can give up.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        name: str,
        collected: Callable[[], None] | None = None,
        stopping: Callable[[], None] | None = None,
    ) -> None:
        self._limits = limits
        self._collected = collected
        self._stopping = stopping
        self._pool = ThreadPoolExecutor(limits.max_concurrency, thread_name_prefix=name)
        self._running: dict[Future[_R], tuple[Callable[[_R], None], int]] = {}
        self._held_bytes = 0

    def submit(self, work: Callable[[], _R], done: Callable[[_R], None], *, memory_bytes: int) -> None:
        """Start work, after waiting for room; results of other work may be handed over meanwhile.

        Args:
            work: runs in a thread.
            done: gets its result, in the calling thread.
            memory_bytes: what it may hold at once.

        Raises:
            Exception: what other work ended with.
        """
        needed = memory_bytes + _IDLE_BYTES
        while self._running and (
            self._held_bytes + needed > self._limits.memory_bytes
            or len(self._running) >= 2 * self._limits.max_concurrency
        ):
            self._collect()
        self._held_bytes += needed
        self._running[self._pool.submit(work)] = (done, needed)

    def finish(self) -> None:
        """Wait for everything submitted."""
        while self._running:
            self._collect()

    def _collect(self) -> None:
        finished, _ = wait(self._running, return_when=FIRST_COMPLETED)
        for future in finished:
            done, needed = self._running.pop(future)
            self._held_bytes -= needed
            done(future.result())
        if self._collected:
            self._collected()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._stopping:
            self._stopping()
        self._pool.shutdown(wait=True, cancel_futures=True)
