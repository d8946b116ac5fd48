"""Received WAL on its way to uploads: one segment is being filled, cut when it is full or has waited long enough."""

import time
from collections.abc import Callable

from lc2_backup_dagster.engines.postgres.wal.samples import PositionSampler
from lc2_backup_dagster.engines.postgres.wal.stored import StoredBeginnings
from lc2_backup_dagster.engines.postgres.wal.uploads import Durable, OrderedUploads
from lc2_backup_dagster.model.errors import ServerUnavailable
from lc2_backup_dagster.repository.wal.archive import WalArchive
from lc2_backup_dagster.repository.wal.names import lsn_text, segment_name

# A beginning is sent on its way early enough to be in the repository when it is as old as it may be.
_PARTIAL_SHARE = 0.75
# More than any message holds (MAX_SEND_SIZE of walsender.c, 16 pages).
_MESSAGE_BYTES = 1 << 20


class WalIntake:
    """The segment being filled, on one timeline.

    Args:
        archive: where WAL goes.
        uploads: the way there.
        sampler: what was observed.
        timeline: the timeline.
        start: first position of a segment, where receiving begins.
        segment_bytes: the server's ``wal_segment_size``.
        partial_seconds: longest time received WAL may wait.
        now: a clock that only goes forward.
    """

    def __init__(
        self,
        archive: WalArchive,
        uploads: OrderedUploads,
        sampler: PositionSampler,
        *,
        timeline: int,
        start: int,
        segment_bytes: int,
        partial_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._archive = archive
        self._uploads = uploads
        self._sampler = sampler
        self.timeline = timeline
        self._segment_bytes = segment_bytes
        self._patience = partial_seconds * _PARTIAL_SHARE
        self._now = now
        self._begin = start
        self._buffer = bytearray(segment_bytes)
        self._filled = 0
        self._sent = start
        self._waiting_since: float | None = None
        self._partial_on_its_way = False
        self._stored = StoredBeginnings(archive, timeline=timeline, start=start, segment_bytes=segment_bytes)
        self._with_partials: set[str] = set()

    @property
    def sent_until(self) -> int:
        """End of what is on its way or stored."""
        return self._sent

    @property
    def end(self) -> int:
        """First position that was not received."""
        return self._begin + self._filled

    @property
    def may_read(self) -> bool:
        """Whether another message has room without one more upload than there may be."""
        return not self._uploads.full or self._segment_bytes - self._filled > _MESSAGE_BYTES

    def add(self, start: int, content: memoryview) -> None:
        """Take the next bytes.

        Raises:
            ServerUnavailable: they do not follow what was received; the stream begins anew.
            WalDiverged: what is stored of the segment is of another history.
        """
        if start != self.end:
            raise ServerUnavailable(f"WAL came out of order: {lsn_text(start)} instead of {lsn_text(self.end)}")
        while len(content):
            piece = content[: self._segment_bytes - self._filled]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            content = content[len(piece) :]
            if self._filled == self._segment_bytes:
                self._cut_whole()
            elif self._waiting_since is None:
                self._waiting_since = self._now()

    def cut_when_due(self) -> None:
        """Send the beginning of the segment on its way when its oldest new byte has waited long enough."""
        since = self._waiting_since
        if since is not None and self._now() - since >= self._patience and not self._uploads.full:
            self.cut()

    def cut(self) -> None:
        """Send what there is of the segment on its way, unless it is already, or another beginning of it is.

        Raises:
            WalDiverged: what is stored of the segment is of another history.
        """
        if self.end == self._sent or self._partial_on_its_way:
            return
        name = self._name()
        self._stored.require(name, memoryview(self._buffer)[: self._filled])
        upload = self._archive.partial_upload(
            name,
            end_lsn=self.end,
            plain=bytes(memoryview(self._buffer)[: self._filled]),
            samples=self._sampler.within(self._begin, self.end, timeline=self.timeline),
        )
        self._uploads.submit(Durable(name, self.timeline, self.end, whole=False), upload)
        self._with_partials.add(name)
        self._partial_on_its_way = True
        self._sent, self._waiting_since = self.end, None

    def became_durable(self, what: Durable) -> None:
        """Take notice that an upload has ended."""
        if not what.whole:
            self._partial_on_its_way = False

    def had_partials(self, name: str) -> bool:
        """Say, once, whether beginnings of a segment were sent, or stored earlier, before the whole."""
        if name not in self._with_partials:
            return False
        self._with_partials.discard(name)
        return True

    def _cut_whole(self) -> None:
        name, end = self._name(), self.end
        self._stored.require(name, memoryview(self._buffer))
        if self._stored.has(name):
            self._with_partials.add(name)
        samples = self._sampler.within(self._begin, end, timeline=self.timeline)
        upload = self._archive.segment_upload(name, bytes(self._buffer), samples=samples)
        self._uploads.submit(Durable(name, self.timeline, end, whole=True), upload)
        self._sampler.forget(end)
        self._begin, self._filled, self._sent, self._waiting_since = end, 0, end, None

    def _name(self) -> str:
        return segment_name(self.timeline, self._begin, self._segment_bytes)
