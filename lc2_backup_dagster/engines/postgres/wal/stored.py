"""What is stored of segments that are received again: nothing takes its place before both are known to be one history.

The same bytes under the same key are compared by their upload. Here is what lies under another key: a beginning that
ends elsewhere, the whole of which a beginning is sent, and the segment before the one where receiving begins. A server
that was set back and has written on since may be past all of them, and sends another history under their names.
"""

import hashlib
import time
from collections.abc import Callable

from lc2_backup_dagster.engines.postgres.wal.messages import WalPiece
from lc2_backup_dagster.engines.postgres.wal.stream import WalStream
from lc2_backup_dagster.model.errors import PartMissing, ServerUnavailable, SlotLost, WalDiverged
from lc2_backup_dagster.repository.wal.archive import WalArchive
from lc2_backup_dagster.repository.wal.names import lsn_text, parse_segment, segment_name, segment_start
from lc2_backup_dagster.repository.wal.timelines import TimelinePath

_SILENCE_SECONDS = 60.0


class StoredBeginnings:
    """What an earlier connection has left of the segments that one connection receives on a timeline.

    Args:
        archive: where it lies.
        timeline: the timeline.
        start: first position of the segment where receiving begins.
        segment_bytes: the server's ``wal_segment_size``.
    """

    def __init__(self, archive: WalArchive, *, timeline: int, start: int, segment_bytes: int) -> None:
        self._archive = archive
        self._segment_bytes = segment_bytes
        stored = archive.stored_from(timeline, start, segment_bytes=segment_bytes)
        self._whole = {each.name for each in stored.segments}
        self._ends: dict[str, list[int]] = {}
        for each in stored.partials:
            self._ends.setdefault(each.name, []).append(each.end_lsn)

    def has(self, name: str) -> bool:
        """Say whether beginnings of a segment were stored."""
        return name in self._ends

    def require(self, name: str, received: memoryview) -> None:
        """Compare what was received of a segment with what is stored of it, one object after the other.

        What reaches further than what was received is compared as far as that, and again with the next call.

        Raises:
            WalDiverged: it is another history.
            PartCorrupt: what is stored is damaged.
            StoreUnavailable: it cannot be read now.
        """
        start = parse_segment(name, self._segment_bytes)[1]
        ends = self._ends.get(name, [])
        if not ends and name not in self._whole:
            return
        further: list[int] = []
        for end in ends:
            try:
                stored = self._archive.read_partial(name, end)
            except PartMissing:
                continue  # it has given way to a longer one since it was listed
            _require_same(name, stored, received, start=start, what=f"its beginning up to {lsn_text(end)}")
            if end - start > len(received):
                further.append(end)
        if name in self._whole and len(received) < self._segment_bytes:
            _require_same(name, self._archive.read_segment(name), received, start=start, what="the whole segment")
        if name in self._ends:
            self._ends[name] = further


def drop_beginnings(archive: WalArchive, name: str, *, segment_bytes: int, ends: list[int]) -> None:
    """Delete the beginnings of a segment that is stored whole, when they are beginnings of it.

    Raises:
        WalDiverged: one is not; nothing of the segment was deleted.
    """
    start = parse_segment(name, segment_bytes)[1]
    whole = memoryview(archive.read_segment(name))
    for end in ends:
        what = f"its beginning up to {lsn_text(end)}"
        _require_same(name, archive.read_partial(name, end), whole, start=start, what=what)
    archive.drop_partials(name)


def require_same_predecessor(
    stream: WalStream,
    archive: WalArchive,
    path: TimelinePath,
    *,
    begin: int,
    segment_bytes: int,
    stopping: Callable[[], bool],
) -> None:
    """Receive the whole segment before the one where receiving begins once more, and compare it.

    Nothing is compared where it is not stored, or where the server no longer has it: neither is wrong.

    Args:
        stream: a connection that does not stream.
        archive: the system's archive.
        path: the server's way of timelines.
        begin: first position of the segment where receiving begins.
        segment_bytes: the server's ``wal_segment_size``.
        stopping: whether to leave it.

    Raises:
        WalDiverged: the server has another history there.
        BackupError: the connection, or the store, failed.
    """
    start = begin - segment_bytes
    if start < 0:
        return
    leg = path.serving(start, segment_bytes)
    if leg.left_at is not None and segment_start(leg.left_at, segment_bytes) < begin:
        return
    name = segment_name(leg.timeline, start, segment_bytes)
    try:
        stored = archive.header(name)
    except PartMissing:
        return
    try:
        digest = _received(stream, start, leg.timeline, segment_bytes, stopping)
    except SlotLost:
        stream.leave(refused=True)
        return
    if digest is not None and digest != stored.plain_sha256:
        raise _diverged(name, "the whole segment", f"has SHA-256 {stored.plain_sha256[:12]}…, sent {digest[:12]}…")


def _received(
    stream: WalStream, start: int, timeline: int, segment_bytes: int, stopping: Callable[[], bool]
) -> str | None:
    """Return the SHA-256 of a segment as the server has it, or None when it was not sent to the end."""
    stream.start(start, timeline, keeping=False)
    digest, at, end = hashlib.sha256(), start, start + segment_bytes
    heard = time.monotonic()
    while at < end and not stopping():
        try:
            message = stream.next()
        except EOFError:
            break
        if isinstance(message, WalPiece):
            if message.start != at:
                raise ServerUnavailable(f"WAL came out of order: {lsn_text(message.start)} instead of {lsn_text(at)}")
            piece = message.content[: end - at]
            digest.update(piece)
            at, heard = at + len(piece), time.monotonic()
        elif message is None:
            if time.monotonic() - heard > _SILENCE_SECONDS:
                raise ServerUnavailable(f"the server does not send WAL at {lsn_text(at)} that it has")
            stream.wait(reading=True)
    stream.leave()
    return digest.hexdigest() if at == end else None


def _require_same(name: str, stored: bytes, received: memoryview, *, start: int, what: str) -> None:
    shared = min(len(stored), len(received))
    if memoryview(stored)[:shared] != received[:shared]:
        raise _diverged(name, what, f"has other bytes than what was received up to {lsn_text(start + len(received))}")


def _diverged(name: str, what: str, difference: str) -> WalDiverged:
    return WalDiverged(
        f"WAL segment {name} is archived already with other content: {what} {difference}",
        hint="the server was set back without a new timeline, or two servers write under one name; find out which "
        "history is right before anything is deleted. Nothing of it was confirmed to the server",
    )
