"""One connection of a receiver: slot, starting point, the stream, a switch of timelines, the orderly end."""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.wal.intake import WalIntake
from lc2_backup_dagster.engines.postgres.wal.ledger import WalLedger
from lc2_backup_dagster.engines.postgres.wal.messages import Keepalive
from lc2_backup_dagster.engines.postgres.wal.samples import PositionSampler
from lc2_backup_dagster.engines.postgres.wal.slot import SlotHealth, WalLimits, read_limits, read_slot, require_kept
from lc2_backup_dagster.engines.postgres.wal.start import ReceiveFrom, receive_from
from lc2_backup_dagster.engines.postgres.wal.status import ReceiverState
from lc2_backup_dagster.engines.postgres.wal.stored import require_same_predecessor
from lc2_backup_dagster.engines.postgres.wal.stream import WalStream, busy_slot
from lc2_backup_dagster.engines.postgres.wal.uploads import OrderedUploads
from lc2_backup_dagster.model.errors import ServerUnavailable, SlotLost, WalDiverged
from lc2_backup_dagster.repository.wal.archive import WalArchive
from lc2_backup_dagster.repository.wal.header import WalGap
from lc2_backup_dagster.repository.wal.names import lsn_text, segment_name, segment_start
from lc2_backup_dagster.repository.wal.timelines import TimelinePath, timeline_path

if TYPE_CHECKING:
    import psycopg

_TELL_SECONDS = 1.0
# Messages taken before everything else gets its turn; each holds up to 128 KiB.
_MESSAGES_AT_ONCE = 64
# Longest wait, with ``once``, for what was inserted but not flushed when it began.
_UNFLUSHED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connection's work needs of the receiver.

    Attributes:
        server: the server.
        slot: name of the slot.
        partial_seconds: longest time received WAL waits.
        once: end when everything is archived that there was at the start.
        finish_seconds: how long the end waits for what is on its way.
        wake: readable when an upload has ended or the receiver shall stop.
        stopping: whether the receiver shall stop.
        enter: from system identifier and segment size to archive, uploads and ledger.
        on_notice: takes a sentence for the log.
        on_turn: called all the time with what is being done.
    """

    server: Server
    slot: str
    partial_seconds: float
    once: bool
    finish_seconds: float
    wake: socket.socket
    stopping: Callable[[], bool]
    enter: Callable[[str, int], tuple[WalArchive, OrderedUploads, WalLedger]]
    on_notice: Callable[[str], None]
    on_turn: Callable[[ReceiverState], None]


class ConnectionWork:
    """The work of one connection; ``run`` once.

    Attributes:
        server_end: how far the server's WAL goes, as it said last.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._sampler: PositionSampler | None = None
        self._intake: WalIntake | None = None
        self._told_at = 0.0
        self._told = 0
        self._target: int | None = None
        self._reached_at: float | None = None
        self.server_end = 0

    @property
    def timeline(self) -> int | None:
        """The timeline being received."""
        return self._intake.timeline if self._intake else None

    @property
    def received(self) -> int:
        """End of what was received."""
        return self._intake.end if self._intake else 0

    @property
    def health(self) -> SlotHealth | None:
        """What the server said of the slot last."""
        return self._sampler.health if self._sampler else None

    @property
    def trouble(self) -> str | None:
        """Why the server's side tells nothing new."""
        return self._sampler.trouble if self._sampler else None

    def run(self) -> bool:
        """Receive until the receiver shall stop, or everything wanted is archived; True then.

        Raises:
            TransientError: the connection, or the store, failed; come back later.
            BackupError: as ``WalReceiver.run``.
        """
        around = self._around
        around.on_turn(ReceiverState.CONNECTING)
        with around.server.connect(replication=True) as connection:
            stream = WalStream(connection, server=around.server, slot=around.slot, wake=around.wake)
            system, timeline, flushed = stream.identify()
            with around.server.connect() as sql:
                limits = read_limits(sql)
                self._archive, self._uploads, self._ledger = around.enter(system, limits.segment_bytes)
                self._segment_bytes = limits.segment_bytes
                health = self._free_slot(sql, stream)
            path = self._archive_histories(stream, timeline)
            restart_lsn = flushed if health.restart_lsn is None else health.restart_lsn
            self._restart_lsn = health.restart_lsn or 0
            begin = receive_from(self._archive, path, restart_lsn=restart_lsn, segment_bytes=limits.segment_bytes)
            self._require_same_history(begin, timeline, flushed, limits)
            self.server_end = flushed
            if around.once:
                self._target = flushed
            begin = self._behind_known_gap(begin, path)
            require_same_predecessor(
                stream,
                self._archive,
                path,
                begin=begin.lsn,
                segment_bytes=limits.segment_bytes,
                stopping=around.stopping,
            )
            sampler = PositionSampler(around.server, slot=around.slot)
            self._sampler = sampler
            sampler.start()
            try:
                self._receive(stream, begin, limits)
            except SlotLost as error:
                self._refuse_gap(begin, path, error)
            finally:
                sampler.stop()
        return True

    def _free_slot(self, sql: "psycopg.Connection[Any]", stream: WalStream) -> SlotHealth:
        """Return the slot, made where it is absent, that the server keeps and nobody uses."""
        around = self._around
        health = read_slot(sql, around.slot, server=around.server)
        if health is None:
            stream.create_slot()
            around.on_notice(f"made the replication slot '{around.slot}'")
            health = read_slot(sql, around.slot, server=around.server)
        if health is None:
            raise ServerUnavailable(f"the replication slot '{around.slot}' has vanished again")
        require_kept(health, around.slot, server=around.server)
        if health.user is not None:
            raise busy_slot(around.slot, around.server, health.user)
        return health

    def _receive(self, stream: WalStream, begin: ReceiveFrom, limits: WalLimits) -> None:
        stream.start(begin.lsn, begin.timeline)
        self._around.on_notice(
            f"receiving WAL of system {self._archive.system_identifier} from {lsn_text(begin.lsn)} on timeline "
            f"{begin.timeline}; {limits.warning}"
        )
        if begin.stored_until is not None:
            # What the slot had passed was confirmed by a receiver before; no more than what is stored.
            confirmed = min(self._restart_lsn, begin.stored_until)
            self._ledger.begin(start=begin.lsn, timeline=begin.timeline, durable=confirmed)
        else:
            self._ledger.begin(start=begin.lsn, timeline=begin.timeline, durable=0)
        self._ledger.sweep(begin.timeline, start_after=self._before(begin), segment_bytes=self._segment_bytes)
        self._follow(stream, begin)

    def _archive_histories(self, stream: WalStream, timeline: int) -> TimelinePath:
        """Archive the history files that lead to the server's timeline, and return the way."""
        content = stream.history(timeline) if timeline > 1 else None
        if timeline > 1 and content is None:
            raise ServerUnavailable(f"{self._around.server} does not tell the history of its timeline {timeline}")
        path = timeline_path(timeline, content)
        if content is not None:
            self._archive.put_history(timeline, content)
        for leg in path.legs[:-1]:
            # An ancestor's own file may be gone from the server; the newest one names all ancestors anyway.
            older = stream.history(leg.timeline) if leg.timeline > 1 else None
            if older is not None:
                self._archive.put_history(leg.timeline, older)
        return path

    def _require_same_history(self, begin: ReceiveFrom, timeline: int, flushed: int, limits: WalLimits) -> None:
        """Refuse a server that has less WAL on its timeline than is archived of it.

        Raises:
            ServerUnavailable: it is a standby, which may catch up.
            WalDiverged: it is a primary.
        """
        stored = max(begin.lsn, begin.stored_until or 0)
        if begin.timeline != timeline or stored <= flushed:
            return
        where = (
            f"{lsn_text(stored)} of timeline {timeline} is archived, {self._around.server} is at {lsn_text(flushed)}"
        )
        if limits.in_recovery:
            raise ServerUnavailable(f"the standby is behind the archive: {where}")
        raise WalDiverged(
            f"the archive holds WAL that the server does not have: {where}",
            hint="the server was set back without a new timeline; find out which history is right. A server that was "
            "restored must be promoted, and takes a new timeline then",
        )

    def _behind_known_gap(self, begin: ReceiveFrom, path: TimelinePath) -> ReceiveFrom:
        """Begin behind a gap that is recorded already: the server was asked for that WAL once, and had removed it."""
        if begin.lsn == begin.kept_from:
            return begin
        gap = self._gap(begin, path)
        if gap not in self._archive.gaps():
            return begin
        self._around.on_notice(f"WAL {_span(gap)} is missing for ever, as recorded; receiving goes on behind it")
        return ReceiveFrom(gap.until_lsn, gap.timeline, gap.until_lsn, None)

    def _refuse_gap(self, begin: ReceiveFrom, path: TimelinePath, error: SlotLost) -> None:
        """Record what the server has removed before it was archived.

        Raises:
            SlotLost: always; it names the gap where there is one.
        """
        if begin.lsn == begin.kept_from or self.received > begin.lsn:
            raise error
        gap = self._gap(begin, path)
        self._archive.put_gap(gap)
        raise SlotLost(
            f"WAL {_span(gap)} was removed by {self._around.server} before it was archived",
            hint="the gap is recorded. Start the receiver again, it goes on behind the gap; then take a new full "
            "backup: nothing between can be restored",
            gap=gap,
        ) from error

    def _gap(self, begin: ReceiveFrom, path: TimelinePath) -> WalGap:
        return WalGap(path.serving(begin.kept_from, self._segment_bytes).timeline, begin.lsn, begin.kept_from)

    def _before(self, begin: ReceiveFrom) -> str | None:
        before = begin.lsn - 64 * self._segment_bytes
        return segment_name(begin.timeline, before, self._segment_bytes) if before >= 0 else None

    def _follow(self, stream: WalStream, begin: ReceiveFrom) -> None:
        timeline, start = begin.timeline, begin.lsn
        while True:
            intake = self._new_intake(timeline, start)
            if not self._stream_timeline(stream, intake):
                self._finish(stream, intake)
                return
            timeline, switched_at = stream.next_timeline()
            self._around.on_notice(
                f"timeline {intake.timeline} was left at {lsn_text(switched_at)} for timeline {timeline}"
            )
            while intake.end != intake.sent_until:
                # The rest of the old timeline goes first; an earlier beginning of the segment may be on its way.
                intake.cut()
                self._take_durable(intake)
                stream.wait(reading=False)
                self._around.on_turn(ReceiverState.STREAMING)
            self._ledger.leave(switched_at)
            self._archive_histories(stream, timeline)
            start = segment_start(switched_at, self._segment_bytes)
            stream.start(start, timeline)

    def _new_intake(self, timeline: int, start: int) -> WalIntake:
        assert self._sampler is not None
        self._intake = WalIntake(
            self._archive,
            self._uploads,
            self._sampler,
            timeline=timeline,
            start=start,
            segment_bytes=self._segment_bytes,
            partial_seconds=self._around.partial_seconds,
        )
        return self._intake

    def _stream_timeline(self, stream: WalStream, intake: WalIntake) -> bool:
        """Receive one timeline; True when the server has left it, False when the receiver shall end."""
        uploads = self._uploads
        while True:
            self._take_durable(intake)
            self._tell(stream, intake)
            if self._around.stopping() or self._all_there(intake):
                return False
            idle = True
            for _ in range(_MESSAGES_AT_ONCE):
                if not intake.may_read:
                    break
                try:
                    message = stream.next()
                except EOFError:
                    return True
                if message is None:
                    break
                idle = False
                self.server_end = max(self.server_end, message.server_end)
                if isinstance(message, Keepalive):
                    if message.reply_wanted:
                        self._told_at = 0.0
                else:
                    intake.add(message.start, message.content)
            intake.cut_when_due()
            held_back = uploads.trouble and not intake.may_read
            self._around.on_turn(ReceiverState.HELD_BACK if held_back else ReceiverState.STREAMING)
            if idle:
                stream.wait(reading=intake.may_read)

    def _take_durable(self, intake: WalIntake) -> None:
        assert self._sampler is not None
        for what in self._uploads.collect():
            intake.became_durable(what)
            self._ledger.add(what, had_partials=not what.whole or intake.had_partials(what.name))
        self._ledger.state(self._sampler)

    def _tell(self, stream: WalStream, intake: WalIntake) -> None:
        """Confirm what is durable: at once when that is news, and often enough that the server knows we live."""
        durable = self._confirmable()
        now = time.monotonic()
        if durable > self._told or now - self._told_at >= _TELL_SECONDS:
            stream.tell(received=max(intake.end, durable), durable=durable)
            self._told, self._told_at = durable, now

    def _confirmable(self) -> int:
        """Return what the server may be told; 0, which says nothing, while the slot is further than what is durable."""
        return self._ledger.durable if self._ledger.durable >= self._restart_lsn else 0

    def _all_there(self, intake: WalIntake) -> bool:
        """Say, with ``once``, whether what the server had is received; a sample's position is flushed a bit later."""
        if self._target is None or intake.end < self._target:
            return False
        assert self._sampler is not None
        if self._reached_at is None:
            self._reached_at = time.monotonic()
        newest = self._sampler.newest
        return (newest is not None and newest.lsn <= intake.end) or (
            time.monotonic() - self._reached_at > _UNFLUSHED_SECONDS
        )

    def _finish(self, stream: WalStream, intake: WalIntake) -> None:
        """Store what was received, confirm it, and end the stream in order."""
        assert self._sampler is not None
        deadline = time.monotonic() + self._around.finish_seconds
        while (intake.end != intake.sent_until or self._uploads.on_their_way) and time.monotonic() < deadline:
            intake.cut()
            self._around.on_turn(ReceiverState.STOPPING)
            stream.wait(reading=False)
            self._take_durable(intake)
            self._tell(stream, intake)
        self._ledger.finish(self._sampler)
        stream.tell(received=max(intake.end, self._ledger.durable), durable=self._confirmable())
        with closing(stream):
            left = intake.end - self._ledger.durable
            if self._ledger.durable and left > 0:
                self._around.on_notice(f"{left} bytes could not be stored in time; the server keeps them")


def _span(gap: WalGap) -> str:
    return f"from {lsn_text(gap.from_lsn)} to {lsn_text(gap.until_lsn)}"
