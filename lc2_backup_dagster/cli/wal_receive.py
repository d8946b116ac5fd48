"""``wal-receive``: archive WAL of a site for as long as it runs."""

import json
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from types import FrameType

import click
from rich.status import Status

from lc2_backup_dagster.cli.session import Session, pass_session, size_text
from lc2_backup_dagster.engines.postgres.wal.receiver import WalReceiver
from lc2_backup_dagster.engines.postgres.wal.status import ReceiverStatus
from lc2_backup_dagster.model.clock import to_text
from lc2_backup_dagster.operations.capture.heap import give_back_large_buffers
from lc2_backup_dagster.operations.wal.receive import receive_wal
from lc2_backup_dagster.repository.wal.names import lsn_text

_STATUS_SECONDS = {"json": 10.0, "log": 60.0, "terminal": 1.0}


@click.command("wal-receive")
@click.argument("site")
@click.option("--once", is_flag=True, help="Archive what there is now, and end.")
@pass_session
def wal_receive(session: Session, site: str, once: bool) -> None:
    """Receive WAL of SITE into its repository, until TERM or Ctrl-C.

    Runs for as long as the database does, as a service of its own. The server is told that WAL has arrived only after
    it was read back from the repository, so a receiver that dies loses nothing. With --json one line for each event.
    """
    context = session.open(site)
    give_back_large_buffers()
    with _Report(session).shown() as report, _stopped_by_signals() as stop_with:
        receive_wal(
            context,
            initiator=session.initiator,
            once=once,
            on_start=stop_with,
            on_status=report.status,
            on_notice=report.notice,
        )
    report.end()


@contextmanager
def _stopped_by_signals() -> "Generator[_Stopper]":
    """Let TERM and INT end the receiver in order: what was received is stored and confirmed first."""
    stopper = _Stopper()
    before = {number: signal.signal(number, stopper.ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopper
    finally:
        for number, action in before.items():
            signal.signal(number, action)


class _Stopper:
    """Turns a signal into the end of a receiver."""

    def __init__(self) -> None:
        self._receiver: WalReceiver | None = None

    def __call__(self, receiver: WalReceiver) -> None:
        self._receiver = receiver

    def ask(self, number: int, frame: FrameType | None) -> None:
        if self._receiver is None:
            raise KeyboardInterrupt
        self._receiver.stop()


class _Report:
    """Status and notices: one line that changes on a terminal, lines in a log, JSON lines for machines."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._form = "json" if session.as_json else "terminal" if session.messages.is_terminal else "log"
        self._line: Status | None = None
        self._last: ReceiverStatus | None = None
        self._told_at = float("-inf")

    @contextmanager
    def shown(self) -> "Generator[_Report]":
        """Show the changing line where there is a terminal."""
        if self._form != "terminal":
            yield self
            return
        with self._session.messages.status("connecting") as line:
            self._line = line
            yield self

    def notice(self, text: str) -> None:
        """Tell that something happened."""
        now = to_text(datetime.now(UTC))
        if self._form == "json":
            click.echo(json.dumps({"event": "notice", "time": now, "message": text}))
        else:
            self._session.messages.print(f"{now[:19]}Z {text}", markup=False)

    def status(self, status: ReceiverStatus) -> None:
        """Tell how things stand: every change of state at once, the rest from time to time."""
        last, self._last = self._last, status
        changed = last is None or (last.state, last.trouble, bool(last.alarms)) != (
            status.state,
            status.trouble,
            bool(status.alarms),
        )
        if not changed and time.monotonic() - self._told_at < _STATUS_SECONDS[self._form]:
            return
        self._told_at = time.monotonic()
        if self._form == "json":
            click.echo(json.dumps({"event": "status", "time": to_text(datetime.now(UTC)), **_fields(status)}))
        elif self._line is not None:
            from rich.markup import escape

            self._line.update(escape(_sentence(status)))
        else:
            self._session.messages.print(f"{to_text(datetime.now(UTC))[:19]}Z {_sentence(status)}", markup=False)

    def end(self) -> None:
        """Say what was done."""
        if self._form != "json" and self._last is not None:
            last = self._last
            self._session.console.print(
                f"archived up to {lsn_text(last.durable)} on timeline {last.timeline}, restorable until "
                f"{_until(last)}; {last.segments} whole segments",
                markup=False,
            )


def _sentence(status: ReceiverStatus) -> str:
    parts = [
        f"{status.state}: {lsn_text(status.durable)} archived",
        f"{size_text(status.behind_bytes)} behind",
        f"restorable until {_until(status)}",
    ]
    if status.slot is not None:
        parts.append(f"slot {status.slot.wal_status or 'new'}, lag {size_text(status.slot.lag_bytes)}")
    parts += [f"ALARM {each}" for each in status.alarms]
    if status.trouble:
        parts.append(status.trouble)
    return "; ".join(parts)


def _until(status: ReceiverStatus) -> str:
    return f"{to_text(status.restorable_until)[:19]}Z" if status.restorable_until else "not known yet"


def _fields(status: ReceiverStatus) -> dict[str, object]:
    return {
        **asdict(status),
        "received": lsn_text(status.received),
        "durable": lsn_text(status.durable),
        "server_end": lsn_text(status.server_end),
        "behind_bytes": status.behind_bytes,
        "restorable_until": to_text(status.restorable_until) if status.restorable_until else None,
    }
