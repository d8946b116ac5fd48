"""WAL objects on their way: sealed and proven several at once, created one after the other, confirmed in order.

The order of creation keeps holes out of the archive whatever dies when; the order of confirmation makes "durable" one
position. While the store is away an upload is tried again and again, and the ones behind it wait.
"""

import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from lc2_backup_dagster.model.errors import StoreUnavailable
from lc2_backup_dagster.repository.wal.upload import WalUpload

_LONGEST_PAUSE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Durable:
    """An upload that is in the repository, proven, with everything before it.

    Attributes:
        name: the segment.
        timeline: its timeline.
        end: first position behind it.
        whole: it is the whole segment.
    """

    name: str
    timeline: int
    end: int
    whole: bool


class OrderedUploads:
    """A bounded queue of uploads.

    Args:
        workers: uploads that are sealed or proven at once.
        limit: uploads that may be on their way, including those that wait.
        wake: called from worker threads when something is done.
    """

    def __init__(self, *, workers: int, limit: int, wake: Callable[[], None]) -> None:
        self._limit = limit
        self._wake = wake
        self._given_up = threading.Event()
        self._trouble: str | None = None
        self._waiting: deque[tuple[Durable, Future[None]]] = deque()
        self._before: threading.Event | None = None
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="wal-upload")

    @property
    def full(self) -> bool:
        """Whether another upload would be too many."""
        return len(self._waiting) >= self._limit

    @property
    def on_their_way(self) -> int:
        """Uploads that are not durable yet."""
        return len(self._waiting)

    @property
    def trouble(self) -> str | None:
        """Why nothing becomes durable just now, or None."""
        return self._trouble

    def submit(self, what: Durable, upload: WalUpload) -> None:
        """Send an object on its way behind all earlier ones."""
        created = threading.Event()
        future = self._pool.submit(self._carry, upload, self._before, created)
        future.add_done_callback(lambda done: self._wake())
        self._waiting.append((what, future))
        self._before = created

    def collect(self) -> list[Durable]:
        """Return what has become durable since the last call, in order.

        Raises:
            BackupError: an upload failed for good; nothing behind it will be created.
        """
        done: list[Durable] = []
        while self._waiting and self._waiting[0][1].done():
            what, future = self._waiting.popleft()
            future.result()
            done.append(what)
        return done

    def give_up(self) -> None:
        """Stop trying: what is not created yet never will be. Returns when no worker runs any more."""
        self._given_up.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _carry(self, upload: WalUpload, before: threading.Event | None, created: threading.Event) -> None:
        try:
            upload.seal()
            while before is not None and not before.wait(0.5):
                self._require_going()
            self._require_going()
            self._again_and_again(upload.create)
        except BaseException:
            # The ones behind must not be created: a later object would hide that this one is missing.
            self._given_up.set()
            raise
        finally:
            created.set()
        try:
            self._again_and_again(upload.prove)
        except BaseException:
            self._given_up.set()
            raise

    def _again_and_again(self, step: Callable[[], None]) -> None:
        pause = 0.25
        while True:
            try:
                step()
            except StoreUnavailable as error:
                self._trouble = str(error)
                self._wake()
                if self._given_up.wait(pause * (0.5 + random.random())):  # noqa: S311 - jitter, not a secret
                    raise
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
            else:
                self._trouble = None
                return

    def _require_going(self) -> None:
        if self._given_up.is_set():
            raise StoreUnavailable("an upload of WAL was given up before it began; nothing of it is confirmed")
