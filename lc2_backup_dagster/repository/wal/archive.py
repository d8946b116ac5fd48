"""The archived WAL of one database system: segments, partials, history files, the position, the gaps.

Segments and history files are create-only. A reader sees an object whole or not at all: half a segment lies under
another key, ``<segment>.partial/<end LSN>``, which counts only while the segment itself is absent (L-16).
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.clock import from_text, to_text
from lc2_backup_dagster.model.errors import (
    AlreadyExists,
    ConfigurationError,
    ObjectNotFound,
    PartCorrupt,
    PartMissing,
)
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository import layout
from lc2_backup_dagster.repository.sealing import Sealer
from lc2_backup_dagster.repository.wal.header import (
    HEADER_LIMIT_BYTES,
    Position,
    Sample,
    WalGap,
    WalHeader,
    WalSigner,
    split_object,
)
from lc2_backup_dagster.repository.wal.names import is_segment_name, is_timeline, lsn_text, lsn_value, segment_name
from lc2_backup_dagster.repository.wal.upload import WalUpload, open_sealed

_PARTIAL = re.compile(r"([0-9A-F]{24})\.partial/([0-9A-F]{16})")
# A receiver replaces a partial every few seconds; a reader that always comes too late is not one that should wait on.
_GIVES_WAY_TRIES = 5
_GAP = re.compile(r"([0-9A-F]{8})-([0-9A-F]{16})-([0-9A-F]{16})\.json")


@dataclass(frozen=True, slots=True, order=True)
class StoredSegment:
    """A whole segment as the store lists it."""

    name: str
    stored_bytes: int
    modified: datetime


@dataclass(frozen=True, slots=True, order=True)
class StoredPartial:
    """The beginning of a segment, up to ``end_lsn``."""

    name: str
    end_lsn: int


@dataclass(frozen=True, slots=True)
class StoredTimeline:
    """Everything of one timeline: whole segments in order, partials in order of segment and end."""

    segments: tuple[StoredSegment, ...]
    partials: tuple[StoredPartial, ...]


class WalArchive:
    """WAL of one system. Safe to use from several threads.

    Args:
        store: the repository's store.
        site: whose WAL.
        system_identifier: whose, as PostgreSQL says it.
        sealer: the site's sealer.
        signer: the site's signer of headers.
    """

    def __init__(
        self, store: ObjectStore, *, site: SiteId, system_identifier: str, sealer: Sealer, signer: WalSigner
    ) -> None:
        self.system_identifier = system_identifier
        self.store = store
        self._prefix = layout.wal_system_prefix(site, system_identifier)
        self._sealer = sealer
        self._signer = signer
        self._memory = threading.Lock()

    def segment_upload(self, name: str, plain: bytes, *, samples: Sequence[Sample] = ()) -> WalUpload:
        """Return a whole segment on its way, for a writer that has several in flight."""
        return self._upload(layout.wal_segment_key(self._prefix, _checked(name)), f"WAL segment {name}", plain, samples)

    def partial_upload(self, name: str, *, end_lsn: int, plain: bytes, samples: Sequence[Sample] = ()) -> WalUpload:
        """Return the beginning of a segment on its way."""
        key = layout.wal_partial_key(self._prefix, _checked(name), end_lsn)
        return self._upload(key, f"WAL segment {name} up to {lsn_text(end_lsn)}", plain, samples)

    def put_segment(self, name: str, plain: bytes, *, samples: Sequence[Sample] = ()) -> None:
        """Store a whole segment, read it back, decode and compare it; idempotent for the same bytes.

        Raises:
            WalDiverged: it is archived already with other content; nothing was changed.
            PartCorrupt: what the store gives back is not what was put.
            StoreUnavailable: the outcome is unknown; put it again.
        """
        _carry(self.segment_upload(name, plain, samples=samples))

    def put_partial(self, name: str, *, end_lsn: int, plain: bytes, samples: Sequence[Sample] = ()) -> None:
        """Store the beginning of a segment like ``put_segment``; older beginnings stay until ``drop_partials``."""
        _carry(self.partial_upload(name, end_lsn=end_lsn, plain=plain, samples=samples))

    def drop_partials(self, name: str, *, below: int | None = None) -> None:
        """Delete the beginnings of a segment, all or those that end before ``below``."""
        prefix = layout.wal_partial_prefix(self._prefix, _checked(name))
        keys = [item.key for item in self.store.list(prefix)]
        self.store.delete(key for key in keys if below is None or int(key[len(prefix) :], 16) < below)

    def put_history(self, timeline: int, content: bytes) -> None:
        """Store a timeline's history file; idempotent for the same bytes.

        Raises:
            WalDiverged: two histories call themselves by this number.
        """
        key = layout.wal_history_key(self._prefix, timeline)
        _carry(self._upload(key, f"the history of timeline {timeline}", content, ()))

    def history(self, timeline: int) -> bytes | None:
        """Return a timeline's history file, or None when it is certainly absent."""
        try:
            return self._read(layout.wal_history_key(self._prefix, timeline))
        except PartMissing:
            return None

    def timelines(self) -> list[int]:
        """Return every timeline with a segment, a partial or a history file, ascending."""
        return sorted(int(name, 16) for name in first_names(self.store, self._prefix) if is_timeline(name))

    def stored(self, timeline: int, *, start_after: str | None = None) -> StoredTimeline:
        """List one timeline, sorted here because a store need not list in order.

        Args:
            timeline: which.
            start_after: name of a segment; only later ones are listed.
        """
        prefix = layout.wal_timeline_prefix(self._prefix, timeline)
        after = None if start_after is None else f"{prefix}{start_after}"
        segments: list[StoredSegment] = []
        partials: list[StoredPartial] = []
        for item in self.store.list(prefix, start_after=after):
            name = item.key[len(prefix) :]
            if is_segment_name(name):
                segments.append(StoredSegment(name, item.size_bytes, item.modified))
            elif match := _PARTIAL.fullmatch(name):
                partials.append(StoredPartial(match[1], int(match[2], 16)))
        return StoredTimeline(tuple(sorted(segments)), tuple(sorted(partials)))

    def stored_from(self, timeline: int, begin: int, *, segment_bytes: int) -> StoredTimeline:
        """List one timeline from the segment on that begins at a position."""
        before = begin - segment_bytes
        return self.stored(timeline, start_after=segment_name(timeline, before, segment_bytes) if before >= 0 else None)

    def segments(self, timeline: int) -> Iterator[StoredSegment]:
        """Yield the whole segments of a timeline in order."""
        yield from self.stored(timeline).segments

    def partials(self, timeline: int) -> list[StoredPartial]:
        """Return the beginnings of segments of a timeline, in order of segment and end."""
        return list(self.stored(timeline).partials)

    def read_segment(self, name: str) -> bytes:
        """Return a whole segment, proven.

        Raises:
            PartMissing: certainly absent.
            PartCorrupt: changed, cut or moved.
        """
        return self._read(layout.wal_segment_key(self._prefix, _checked(name)))

    def read_partial(self, name: str, end_lsn: int) -> bytes:
        """Return the beginning of a segment, proven.

        A listing grows old: when the partial has given way to a longer one or to the whole segment since, the beginning
        of that one is it.

        Raises:
            PartMissing: nothing that long is there.
            PartCorrupt: changed, cut or moved.
        """
        for _ in range(_GIVES_WAY_TRIES):
            with suppress(PartMissing):
                return self._read(layout.wal_partial_key(self._prefix, _checked(name), end_lsn))
            with suppress(PartMissing):
                whole = self.read_segment(name)
                # Segments are as long as a power of two, so the end within one follows from the segment's own length.
                return whole[: (end_lsn - 1) % len(whole) + 1]
            longer = self._longer(name, end_lsn)
            with suppress(PartMissing):
                content = self._read(layout.wal_partial_key(self._prefix, name, longer))
                return content[: len(content) - (longer - end_lsn)]
        raise PartMissing(f"WAL segment {name} up to {lsn_text(end_lsn)} is not in {self.store.url}")

    def header(self, name: str) -> WalHeader:
        """Return what a whole segment's header says, without reading the segment.

        Raises:
            PartMissing: certainly absent.
            PartCorrupt: changed or moved.
        """
        return self._header(layout.wal_segment_key(self._prefix, _checked(name)))

    def partial_header(self, name: str, end_lsn: int) -> WalHeader:
        """Return what a partial's header says, or that of what it has given way to.

        Raises:
            PartMissing: nothing that long is there.
            PartCorrupt: changed or moved.
        """
        for _ in range(_GIVES_WAY_TRIES):
            with suppress(PartMissing):
                return self._header(layout.wal_partial_key(self._prefix, _checked(name), end_lsn))
            with suppress(PartMissing):
                return self.header(name)
            longer = self._longer(name, end_lsn)
            with suppress(PartMissing):
                return self._header(layout.wal_partial_key(self._prefix, name, longer))
        raise PartMissing(f"WAL segment {name} up to {lsn_text(end_lsn)} is not in {self.store.url}")

    def put_position(self, sample: Sample, timeline: int) -> None:
        """Say until when WAL is archived. Call it only when everything up to the sample's position is durable (L-13).

        Raises:
            PartCorrupt: the store did not take it.
        """
        key = layout.wal_position_key(self._prefix)
        fields = {"timeline": timeline, "lsn": lsn_text(sample.lsn), "time": to_text(sample.time)}
        body = self._signer.sign(fields, key=key)
        self.store.put(key, body, create_only=False)
        if self.store.get(key) != body:
            raise PartCorrupt(f"{key} in {self.store.url} was stored with other bytes than were sent", key=key)

    def position(self) -> Position | None:
        """Return what was said last, or None when nothing was.

        It is a claim: a reader believes it only as far as the segments that prove it are there.

        Raises:
            PartCorrupt: changed by someone without the key.
        """
        key = layout.wal_position_key(self._prefix)
        try:
            data = self.store.get(key)
        except ObjectNotFound:
            return None
        fields = self._signer.prove(data, key=key)
        try:
            return Position(int(fields["timeline"]), Sample(lsn_value(fields["lsn"]), from_text(fields["time"])))
        except (ValueError, KeyError, TypeError, ConfigurationError) as error:
            raise PartCorrupt(f"{key} is unreadable: {error!r}", key=key) from error

    def put_gap(self, gap: WalGap) -> None:
        """Record WAL that is missing for ever; idempotent."""
        key = f"{layout.wal_gap_prefix(self._prefix)}{gap.timeline:08X}-{gap.from_lsn:016X}-{gap.until_lsn:016X}.json"
        fields = {
            "timeline": gap.timeline,
            "from_lsn": lsn_text(gap.from_lsn),
            "until_lsn": lsn_text(gap.until_lsn),
        }
        try:
            self.store.put(key, self._signer.sign(fields, key=key))
        except AlreadyExists:
            return

    def gaps(self) -> list[WalGap]:
        """Return the recorded gaps, ascending by where the archive goes on."""
        prefix = layout.wal_gap_prefix(self._prefix)
        found: list[WalGap] = []
        for item in self.store.list(prefix):
            match = _GAP.fullmatch(item.key[len(prefix) :])
            if match:
                self._signer.prove(self.store.get(item.key), key=item.key)
                found.append(WalGap(*(int(group, 16) for group in match.groups())))
        return sorted(found, key=lambda gap: (gap.until_lsn, gap.from_lsn))

    def _longer(self, name: str, end_lsn: int) -> int:
        """Return the end of the longest beginning of a segment that reaches beyond a position.

        Raises:
            PartMissing: there is none.
        """
        prefix = layout.wal_partial_prefix(self._prefix, name)
        end = max((int(item.key[len(prefix) :], 16) for item in self.store.list(prefix)), default=0)
        if end <= end_lsn:
            raise PartMissing(f"WAL segment {name} up to {lsn_text(end_lsn)} is not in {self.store.url}")
        return end

    def _upload(self, key: str, what: str, plain: bytes, samples: Sequence[Sample]) -> WalUpload:
        return WalUpload(
            self.store,
            self._sealer,
            self._signer,
            key=key,
            what=what,
            plain=plain,
            samples=samples,
            memory=self._memory,
        )

    def _read(self, key: str) -> bytes:
        body = self._get(key)
        header, start = split_object(self._signer, body[:HEADER_LIMIT_BYTES], key=key)
        return open_sealed(self._sealer, header, body[start:], key=key)

    def _header(self, key: str) -> WalHeader:
        return split_object(self._signer, self._get(key, length=HEADER_LIMIT_BYTES), key=key)[0]

    def _get(self, key: str, *, length: int | None = None) -> bytes:
        try:
            return self.store.get(key, length=length)
        except ObjectNotFound as error:
            raise PartMissing(f"{key} is not in {self.store.url}", key=key) from error


def first_names(store: ObjectStore, prefix: str) -> list[str]:
    """Return what stands directly below a prefix (up to the next ``/`` or ``.``), without listing what is below that.

    A store that lists in order is asked to skip from one name to the next; any other is listed whole.
    """
    names: list[str] = []
    if not store.capabilities.ordered_listing:
        names = [_first_name(item.key[len(prefix) :]) for item in store.list(prefix)]
        return sorted(set(names))
    after: str | None = None
    while found := next(store.list(prefix, start_after=after), None):
        name = _first_name(found.key[len(prefix) :])
        names.append(name)
        # '0' is the byte behind '/', which is the one behind '.': everything below the name sorts before it.
        after = f"{prefix}{name}0"
    return names


def _first_name(rest: str) -> str:
    return re.split(r"[/.]", rest, maxsplit=1)[0]


def _checked(name: str) -> str:
    if not is_segment_name(name):
        raise ValueError(f"'{name}' is not the name of a WAL segment")
    return name


def _carry(upload: WalUpload) -> None:
    upload.seal()
    upload.create()
    upload.prove()
