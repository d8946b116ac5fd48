"""Lines in the order of their keys, although some are known only later.

A manifest is sorted, but files are copied in parallel and bundles wait for their members, while millions of unchanged
files pass by. What cannot be written yet waits in memory, and beyond a bound on local disk. Used by one thread.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from lc2_backup_dagster.engines.files.scratch import ScratchFile

_PIECE_BYTES = 1 << 20


class Slot:
    """A place in the order. Filled with bytes (none for a file that turned out to be gone), or lying on disk."""

    __slots__ = ("_content", "_range")

    def __init__(self) -> None:
        self._content: bytes | bytearray | None = None
        self._range: tuple[int, int] | None = None

    @property
    def known(self) -> bool:
        """Whether the place may be written."""
        return self._content is not None or self._range is not None

    @property
    def content(self) -> bytes | bytearray | None:
        """The bytes when they are in memory."""
        return self._content

    @content.setter
    def content(self, value: bytes | bytearray) -> None:
        self._content = value

    @property
    def range(self) -> tuple[int, int] | None:
        """Offset and length when they are on disk."""
        return self._range

    @range.setter
    def range(self, value: tuple[int, int]) -> None:
        self._range, self._content = value, None


class OrderedLines:
    """Writes lines in order; a context manager that frees its scratch space.

    Args:
        write: takes the bytes in order.
        folder: where scratch files lie.
        memory_bytes: waiting bytes kept in memory.
    """

    def __init__(
        self, write: Callable[[bytes], object], *, folder: Path | None, memory_bytes: int = 8 * 1024 * 1024
    ) -> None:
        self._write = write
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._slots: deque[Slot] = deque()
        self._waiting_bytes = 0
        self._file: ScratchFile | None = None
        self._outgoing = bytearray()

    def add(self, line: bytes) -> None:
        """Take the next line."""
        if not self._slots:
            self._send(line)
            return
        tail = self._slots[-1]
        if isinstance(tail.content, bytearray):
            tail.content += line
        else:
            following = Slot()
            following.content = bytearray(line)
            self._slots.append(following)
        self._wait_for(len(line))

    def reserve(self) -> Slot:
        """Take the next place for a line that ``fill`` will bring."""
        slot = Slot()
        self._slots.append(slot)
        return slot

    def fill(self, slot: Slot, line: bytes) -> None:
        """Bring the line of a place; empty when there is none after all."""
        slot.content = line
        self._wait_for(len(line))

    def drain(self) -> None:
        """Write what is known from the front on."""
        while self._slots and self._slots[0].known:
            slot = self._slots.popleft()
            if slot.content is not None:
                self._waiting_bytes -= len(slot.content)
                self._send(slot.content)
            elif slot.range is not None:
                self._send_from_disk(*slot.range)
        if not self._slots and self._file is not None:
            self._file.clear()

    def finish(self) -> None:
        """Write the rest; every place must be filled."""
        self.drain()
        if self._slots:
            raise RuntimeError(f"{len(self._slots)} places were never filled")
        self._flush()

    def _wait_for(self, count: int) -> None:
        self._waiting_bytes += count
        if self._waiting_bytes > self._memory_bytes:
            self.drain()
        if self._waiting_bytes > self._memory_bytes:
            self._spill()

    def _spill(self) -> None:
        """Move all known bytes to disk; neighbours become one range, so places do not grow with the lines."""
        if self._file is None:
            self._file = ScratchFile(self._folder)
        kept: deque[Slot] = deque()
        for slot in self._slots:
            if slot.content is not None:
                slot.range = (self._file.append(bytes(slot.content)), len(slot.content))
            before = kept[-1].range if kept else None
            if slot.range and before and before[0] + before[1] == slot.range[0]:
                kept[-1].range = (before[0], before[1] + slot.range[1])
            else:
                kept.append(slot)
        self._slots = kept
        self._waiting_bytes = 0

    def _send_from_disk(self, offset: int, length: int) -> None:
        assert self._file is not None
        for start in range(0, length, _PIECE_BYTES):
            self._send(self._file.read(offset + start, min(_PIECE_BYTES, length - start)))

    def _send(self, data: bytes | bytearray) -> None:
        self._outgoing += data
        if len(self._outgoing) >= _PIECE_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._write(bytes(self._outgoing))
        self._outgoing = bytearray()

    def close(self) -> None:
        """Free the scratch space."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
