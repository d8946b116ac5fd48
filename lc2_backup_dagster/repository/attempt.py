"""One attempt to make a backup: begins with a record, writes its data, and commits with a record, or never was.

Order of writes (each is harmless without the next): heartbeat → ``begin`` → parts, each read back → manifest, read
back → ``commit``. A reader believes the ``commit`` record only.

The work of an attempt may be cut into steps that are processes of their own, on several machines: the first begins and
hands over, others join, one of them commits. A step that joins never ends the attempt by its failure, so that it can
be run again; what keeps a step of a superseded attempt from doing harm is the fence, as everywhere.
"""

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from lc2_backup_dagster import __version__
from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.clock import Clock, from_text, to_text
from lc2_backup_dagster.model.errors import AlreadyExists, BackupError, ComponentBusy, Fenced, PartCorrupt
from lc2_backup_dagster.model.site import BackupKind, Component, SiteId
from lc2_backup_dagster.model.window import Moment
from lc2_backup_dagster.repository import canonical, layout
from lc2_backup_dagster.repository.history import CommittedBackup, History, RunningAttempt
from lc2_backup_dagster.repository.lease import Heartbeat, wait_until_silent
from lc2_backup_dagster.repository.log import CommitLog
from lc2_backup_dagster.repository.manifest import (
    EncryptionEntry,
    Manifest,
    MomentEntry,
    StrategyEntry,
    decode_manifest,
    encode_manifest,
    stream_entry,
)
from lc2_backup_dagster.repository.parts import Part, Stream, StreamWriter, SupportsRead, WriteOptions, put_sealed
from lc2_backup_dagster.repository.record import Initiator, RecordType
from lc2_backup_dagster.repository.sealing import CIPHER, Sealer


@dataclass(frozen=True, slots=True)
class ManifestDraft:
    """What an engine knows of a finished capture; the attempt adds the rest.

    Attributes:
        kind: how the backup was made.
        moment: when its data was true.
        window: the window it fills, or None when its moment lies in no window that was asked for.
        strategy: what was chosen and why, two texts.
        streams: everything written with ``write_stream`` that a restore needs.
        details: facts of the component, JSON values.
        summary: further numbers for lists; JSON values.
        parent: the backup an incremental stands on.
    """

    kind: BackupKind
    moment: Moment
    window: str | None
    strategy: tuple[str, str]
    streams: Sequence[Stream]
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What an attempt needs of its site's repository."""

    store: ObjectStore
    site: SiteId
    repository_id: str
    log: CommitLog
    sealer: Sealer
    clock: Clock
    options: WriteOptions


class Attempt:
    """A live attempt; a context manager. Leaving it without ``commit`` ends it with an ``abort`` record.

    One that was joined, or handed over, is left running instead: between its steps it counts as alive for
    ``lease.PAUSE_SECONDS``, behind a step that failed for the usual lease.

    Attributes:
        backup_id: its id, and the id of the backup it may become.
        component: what it captures.
        bases: the backups whose shared objects it may reference.
        resumes: dead attempts of the component since its last commit; their file copies may be reused.
        prefix: its folder in the repository.
        manifest: what was committed; None before that.
    """

    def __init__(
        self,
        context: AttemptContext,
        component: Component,
        *,
        window: str | None,
        initiator: Initiator,
        bases: Sequence[str],
        sleep: Callable[[float], None],
        joined: RunningAttempt | None = None,
    ) -> None:
        self._context = context
        self.component = component
        self.window = window
        self.initiator = replace(initiator, host=initiator.host or socket.gethostname())
        self.bases = tuple(bases)
        self.resumes: tuple[str, ...] = ()
        self.started: datetime = from_text(joined.begun_at) if joined else context.clock.now()
        self.backup_id = joined.attempt_id if joined else f"{self.started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        self.prefix = layout.backup_prefix(context.site, component, self.backup_id)
        self._heartbeat = Heartbeat(context.store, context.site, self.backup_id, holder=str(self.initiator))
        self._committed: CommittedBackup | None = None
        self.manifest: Manifest | None = None
        self._sleep = sleep
        self._joined = joined is not None
        self._handed_over = False

    @classmethod
    def join(cls, context: AttemptContext, running: RunningAttempt, *, initiator: Initiator) -> "Attempt":
        """Return a running attempt for a further step of its work.

        Args:
            context: the site's repository.
            running: the attempt as the log knows it.
            initiator: who carries out the step; told in the commit, if it makes one.
        """
        return cls(
            context,
            running.component,
            window=running.window,
            initiator=initiator,
            bases=running.bases,
            sleep=time.sleep,
            joined=running,
        )

    def __enter__(self) -> Self:
        """Begin: write the heartbeat, then the ``begin`` record that takes the component.

        A joined attempt only makes sure that it is still running, and keeps its heart beating.

        Raises:
            ComponentBusy: another attempt is alive; the message says who.
            Fenced: the attempt was joined and has been superseded.
        """
        log, store = self._context.log, self._context.store
        if self._joined:
            history = log.history()
            self._require_running(history)
            # While it holds the component no other attempt of it ends: these are the ones that it took over.
            self.resumes = history.resumable(self.component)
            self._heartbeat.start()
            return self
        silent: set[str] = set()
        while holder := _holder_but(log.history(), self.component, silent):
            if not wait_until_silent(store, self._context.site, holder.attempt_id, sleep=self._sleep):
                if holder.attempt_id not in log.history().running:
                    continue  # it ended while it was watched
                raise ComponentBusy(
                    f"{self._context.site}/{self.component} is held by attempt {holder.attempt_id} of "
                    f"{holder.initiator}, begun {holder.begun_at}",
                    hint="wait until it has ended; nothing was changed",
                    attempt_id=holder.attempt_id,
                )
            silent.add(holder.attempt_id)
        self._heartbeat.start()
        try:
            log.append(RecordType.BEGIN, initiator=self.initiator, decide=lambda history: self._begin(history, silent))
        except BaseException:
            self._heartbeat.stop()
            raise
        return self

    def _begin(self, history: History, silent: set[str]) -> dict[str, Any]:
        holder = history.holder(self.component)
        if holder is not None and holder.attempt_id not in silent:
            raise ComponentBusy(
                f"{self._context.site}/{self.component} was just taken by attempt {holder.attempt_id} of "
                f"{holder.initiator}",
                hint="wait until it has ended; nothing was changed",
                attempt_id=holder.attempt_id,
            )
        for base in _no_longer_kept(history, self.bases):
            raise Fenced(f"the base {base} is no longer kept", hint="run again, it will choose another base")
        supersedes = [] if holder is None else [holder.attempt_id]
        self.resumes = (*history.resumable(self.component), *supersedes)
        return {
            "attempt": self.backup_id,
            "component": str(self.component),
            "window": self.window,
            "bases": list(self.bases),
            "resumes": list(self.resumes),
            "supersedes": supersedes,
        }

    def hand_over(self) -> None:
        """Leave the attempt to steps that will join it, once this one is left without an error."""
        self._handed_over = True

    def write_stream(self, name: str, source: SupportsRead, *, on_part: Callable[[Part], None] | None = None) -> Stream:
        """Read a producer to its end and store it in parts; an error of the producer is an error here (L-5)."""
        with self.stream_writer(name, on_part=on_part) as writer:
            while data := source.read(1 << 20):
                writer.write(data)
        return writer.stream

    @property
    def clock(self) -> Clock:
        """The clock that stamps its records: what is captured by the service's own time is stamped by it too."""
        return self._context.clock

    def stream_writer(self, name: str, *, on_part: Callable[[Part], None] | None = None) -> StreamWriter:
        """Return a writer for a producer that pushes."""
        return StreamWriter(
            self._context.store,
            self._context.sealer,
            prefix=self.prefix,
            name=name,
            options=self._context.options,
            on_part=on_part,
        )

    def put_sealed(self, key: str, plain: bytes) -> Part:
        """Seal, store and read back one object anywhere in the repository; idempotent for the same plain bytes."""
        return put_sealed(self._context.store, self._context.sealer, key, plain)

    def check_alive(self) -> None:
        """Read the log and make sure that this attempt was not superseded.

        Raises:
            Fenced: it was.
        """
        self._require_running(self._context.log.history())

    def _require_running(self, history: History) -> None:
        if self.backup_id not in history.running:
            reason = history.ended_by.get(self.backup_id, "unknown to the log")
            raise Fenced(
                f"attempt {self.backup_id} of {self._context.site}/{self.component} is no longer running: {reason}",
                hint="its commit is refused; the newer attempt goes on",
                attempt_id=self.backup_id,
            )

    def commit(self, draft: ManifestDraft) -> CommittedBackup:
        """Write the manifest, read it back, and append the ``commit`` record: from then on the backup exists.

        Raises:
            Fenced: the attempt was superseded, or a base expired or was purged since ``begin``.
        """
        self.check_alive()
        manifest, data = self._put_manifest(self._manifest(draft))

        def decide(history: History) -> dict[str, Any]:
            self._require_running(history)
            gone = _no_longer_kept(history, self.bases)
            if gone:
                raise Fenced(
                    f"the bases {', '.join(gone)} expired or were purged while attempt {self.backup_id} ran",
                    hint="run again; what they shared is copied anew",
                )
            return {
                "attempt": self.backup_id,
                "kind": str(draft.kind),
                "parent": draft.parent,
                "window": draft.window,
                "manifest_sha256": canonical.sha256(data),
                # What a capture that began after another one's commit can rely on: order without clocks.
                "summary": {**_summary(manifest, draft), "begun_sequence": history.running[self.backup_id].sequence},
            }

        self._context.log.append(RecordType.COMMIT, initiator=self.initiator, decide=decide)
        self._committed = self._context.log.known.backups[self.backup_id]
        self.manifest = manifest
        return self._committed

    def _put_manifest(self, manifest: Manifest) -> tuple[Manifest, bytes]:
        """Write the manifest and return it with its bytes, or those that an earlier try of this step has written.

        Only a joined attempt can meet one: a step that died between manifest and commit is run again. What it said of
        the data must be what this one says; when it was written, and for whom, may differ.
        """
        store, key, data = self._context.store, f"{self.prefix}manifest.json", encode_manifest(manifest)
        try:
            store.put(key, data)
        except AlreadyExists:
            found = store.get(key)
            earlier = decode_manifest(found, where=key)
            same = {"finished": earlier.finished, "initiator": earlier.initiator}
            if not self._joined or encode_manifest(manifest.model_copy(update=same)) != found:
                raise
            return earlier, found
        if store.get(key) != data:
            raise PartCorrupt(f"{key} in {store.url} was stored with other bytes than were sent", key=key)
        return manifest, data

    def _manifest(self, draft: ManifestDraft) -> Manifest:
        key_id = self._context.sealer.key_id
        return Manifest(
            format=layout.FORMAT_VERSION,
            repository_id=self._context.repository_id,
            site=str(self._context.site),
            component=self.component,
            kind=draft.kind,
            backup_id=self.backup_id,
            parent=draft.parent,
            bases=list(self.bases),
            started=to_text(self.started),
            finished=to_text(self._context.clock.now()),
            moment=MomentEntry(
                restorable_from=to_text(draft.moment.restorable_from),
                restorable_until=to_text(draft.moment.restorable_until),
                lsn=draft.moment.lsn,
                timeline=draft.moment.timeline,
            ),
            window=draft.window,
            strategy=StrategyEntry(chosen=draft.strategy[0], reason=draft.strategy[1]),
            encryption=EncryptionEntry(cipher=CIPHER, key_id=key_id) if key_id else None,
            compression="zstd",
            streams={stream.name: stream_entry(stream) for stream in draft.streams},
            details=draft.details,
            initiator=asdict(self.initiator),
            tool=f"lc2-backup {__version__}",
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._committed is not None or isinstance(error, Fenced):
            self._heartbeat.stop()
        elif error is None and (self._joined or self._handed_over):
            self._pause()
        elif self._joined:
            self._heartbeat.leave()
        else:
            try:
                self._abort(f"{type(error).__name__}: {error}" if error else "left without a commit")
            finally:
                self._heartbeat.stop()

    def _pause(self) -> None:
        try:
            self._heartbeat.pause()
        except BackupError:
            return  # the step's work is done; that the next one must come within the usual lease is no reason to fail

    def _abort(self, reason: str) -> None:
        def decide(history: History) -> dict[str, Any]:
            self._require_running(history)
            return {"attempt": self.backup_id, "reason": reason[:2000]}

        try:
            self._context.log.append(RecordType.ABORT, initiator=self.initiator, decide=decide)
        except BackupError:
            return  # the store is away or the attempt was superseded: the lease ends it, the original error is raised


def _holder_but(history: History, component: Component, silent: set[str]) -> RunningAttempt | None:
    holder = history.holder(component)
    return None if holder is None or holder.attempt_id in silent else holder


def _no_longer_kept(history: History, bases: Sequence[str]) -> list[str]:
    return [base for base in bases if base not in history.backups or history.backups[base].expired_at is not None]


def _summary(manifest: Manifest, draft: ManifestDraft) -> dict[str, Any]:
    return {
        **draft.summary,
        "plain_bytes": manifest.plain_bytes,
        "stored_bytes": manifest.stored_bytes,
        "started": manifest.started,
        "finished": manifest.finished,
        "restorable_from": manifest.moment.restorable_from,
        "restorable_until": manifest.moment.restorable_until,
        "lsn": manifest.moment.lsn,
        "strategy": manifest.strategy.chosen,
        "key_id": manifest.encryption.key_id if manifest.encryption else None,
    }
