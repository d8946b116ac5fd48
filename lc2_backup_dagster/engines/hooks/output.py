"""Takes the output of a command: bounded in memory, told to the log as it comes, never a secret in either.

A command may write without end, and faster than anybody reads. Of what it writes only the beginning and the end are
kept; the log gets lines until they come too fast, and then how many it did not get. What is not kept or told costs no
more than being counted.
"""

import time
from collections.abc import Callable

from lc2_backup_dagster.engines.hooks.hook import Output
from lc2_backup_dagster.engines.hooks.ports import Say
from lc2_backup_dagster.engines.hooks.redaction import HIDDEN, Redaction, ValueFilter

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
BURST_LINES = 50
LINES_PER_SECOND = 2.0
_LINE_BYTES = 4096
_SHOWN_CHARACTERS = 500
_KEY_BEGIN, _KEY_END = b"-----BEGIN ", b"-----END "


class HookOutput:
    """Collects the output of one command.

    Args:
        redaction: what must not be shown.
        say: takes lines for the log.
        clock: a clock that only goes forward, in seconds.
    """

    def __init__(self, redaction: Redaction, *, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._redaction = redaction
        self._filter = ValueFilter(redaction.values)
        self._log = _LineLog(redaction, say=say, clock=clock)
        self._head = bytearray()
        self._tail = bytearray()
        self._written = 0
        self._kept_of = 0

    def write(self, chunk: bytes) -> None:
        """Take a piece of the output."""
        self._written += len(chunk)
        self._take(self._filter.feed(chunk))

    def end(self) -> Output:
        """Return what is kept, and tell the log what it did not get."""
        self._take(self._filter.end())
        self._log.end()
        dropped = self._kept_of - len(self._head) - len(self._tail)
        if dropped <= 0:
            return Output(self._clean(bytes(self._head + self._tail)), self._written, 0)
        # Cut at lines: half a line may be half of something that would have been hidden.
        head = bytes(self._head[: self._head.rfind(b"\n") + 1] or self._head)
        tail = bytes(self._tail[self._tail.find(b"\n") + 1 :])
        if (begun := tail.find(_KEY_END)) >= 0 and tail.find(_KEY_BEGIN, 0, begun) < 0:
            tail = HIDDEN.encode() + b"\n" + tail[begun:]
        dropped = self._kept_of - len(head) - len(tail)
        between = f"… {dropped} bytes are not kept …"
        return Output("\n".join((self._clean(head).rstrip("\n"), between, self._clean(tail))), self._written, dropped)

    def _take(self, shown: bytes) -> None:
        self._kept_of += len(shown)
        self._log.feed(shown)
        if (room := HEAD_BYTES - len(self._head)) > 0:
            self._head += shown[:room]
            shown = shown[room:]
        self._tail += shown[-TAIL_BYTES:]
        del self._tail[:-TAIL_BYTES]

    def _clean(self, kept: bytes) -> str:
        lines = kept.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
        return "\n".join(self._redaction.lines(lines))


class _LineLog:
    """Cuts a stream into lines and hands them on, no more than a bucket of tokens allows."""

    def __init__(self, redaction: Redaction, *, say: Say, clock: Callable[[], float]) -> None:
        self._redaction = redaction
        self._say = say
        self._clock = clock
        self._tokens = float(BURST_LINES)
        self._filled = clock()
        self._line = bytearray()
        self._skipped = 0
        self._in_key = False

    def feed(self, chunk: bytes) -> None:
        while chunk:
            if not self._has_token():
                self._skip(chunk)
                return
            line, newline, chunk = chunk.partition(b"\n")
            self._line += line[: _LINE_BYTES - len(self._line)]
            if newline:
                self._tell()

    def end(self) -> None:
        if self._line:
            self._tell()
        self._tell_skipped()

    def _has_token(self) -> bool:
        now = self._clock()
        self._tokens = min(BURST_LINES, self._tokens + (now - self._filled) * LINES_PER_SECOND)
        self._filled = now
        return self._tokens >= 1

    def _skip(self, chunk: bytes) -> None:
        self._skipped += chunk.count(b"\n")
        begins, ends = chunk.rfind(_KEY_BEGIN), chunk.rfind(_KEY_END)
        if begins != ends:
            self._in_key = begins > ends
        rest = chunk[chunk.rfind(b"\n") + 1 :]
        if len(rest) < len(chunk):
            self._line.clear()
        self._line += rest[: _LINE_BYTES - len(self._line)]

    def _tell(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        self._tokens -= 1
        hidden = self._in_key
        if _KEY_BEGIN in line or _KEY_END in line:
            self._in_key = line.rfind(_KEY_BEGIN) > line.rfind(_KEY_END)
        text = line.decode("utf-8", "replace").strip("\r\n")
        if hidden or self._in_key or not text.strip():
            return
        self._tell_skipped()
        for shown in self._redaction.lines([text]):
            self._say(shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…")

    def _tell_skipped(self) -> None:
        if self._skipped:
            skipped, self._skipped = self._skipped, 0
            self._say(f"… {skipped} lines came too fast to be shown …")
