"""Send what a restore writes to the disk at once, and let go of it in the operating system's page cache.

Otherwise nothing is written before a tenth of the memory is dirty, and everything waits for the disk at the end; and a
restore pushes out of memory what the machine's other programs need, or in a container fills the memory it is allowed.
What is read back later comes from the disk, which is what a restore should be judged by.
"""

import os
from collections import deque

_STEP_BYTES = 32 << 20
# The disk has this much to do while the next step is written; what it has not finished then stays in memory.
_BEHIND_BYTES = 64 << 20
# Small files are left to the operating system: it writes many of them with one request.
_SMALL_BYTES = 1 << 20


class PageCache:
    """What one lane has written and the disk may not have yet. Its files are written one after the other."""

    def __init__(self) -> None:
        self._sent = 0  # how far the file under way was sent to the disk
        self._behind: deque[tuple[int, int, int]] = deque()  # descriptor of our own, begin, end
        self._behind_bytes = 0

    def wrote(self, descriptor: int, end: int) -> None:
        """Take note that a file was written up to a position; of one file the positions ascend."""
        if end - self._sent >= _STEP_BYTES:
            self._send(descriptor, end)

    def finished(self, descriptor: int, end: int) -> None:
        """Take note that the file is complete; the next call is of another one."""
        if end - self._sent >= _SMALL_BYTES:
            self._send(descriptor, end)
        self._sent = 0

    def _send(self, descriptor: int, end: int) -> None:
        begin, self._sent = self._sent, end
        _let_go(descriptor, begin, end)  # begins to write; what is not written yet cannot go
        self._behind.append((os.dup(descriptor), begin, end))
        self._behind_bytes += end - begin
        while self._behind_bytes > _BEHIND_BYTES:
            self._drop()

    def _drop(self) -> None:
        descriptor, begin, end = self._behind.popleft()
        self._behind_bytes -= end - begin
        try:
            _let_go(descriptor, begin, end)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of everything; also after a failure."""
        while self._behind:
            self._drop()


def _let_go(descriptor: int, begin: int, end: int) -> None:
    if hasattr(os, "posix_fadvise"):  # not on macOS
        os.posix_fadvise(descriptor, begin, end - begin, os.POSIX_FADV_DONTNEED)
