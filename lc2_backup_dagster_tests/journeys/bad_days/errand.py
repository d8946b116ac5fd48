"""One verb carried out by a process of its own, which dies, waits or reports exactly where a test wants it to.

The processes are forked from a server that has imported everything once, so a test can have many of them. What they
do is the real thing: the site is loaded from its file and opened, only its repository's store is looked over.
"""

import dataclasses
import json
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Imported here for the fork server: every errand has them at once.
import boto3  # noqa: F401
import psycopg  # noqa: F401
import tink  # noqa: F401
import zstandard  # noqa: F401
from tink import streaming_aead  # noqa: F401

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.engines.files import workers
from lc2_backup_dagster.engines.files.capture import transfer
from lc2_backup_dagster.model.errors import BackupError
from lc2_backup_dagster.model.window import Window, WindowLength
from lc2_backup_dagster.operations.capture import files as capture_files
from lc2_backup_dagster.operations.capture.bind_recovery_point import bind_recovery_point
from lc2_backup_dagster.operations.capture.database import capture_database
from lc2_backup_dagster.operations.capture.dump import capture_database_dump
from lc2_backup_dagster.operations.capture.files import capture_site_files
from lc2_backup_dagster.operations.restore.request import RestoreRequest
from lc2_backup_dagster.operations.restore.run import restore
from lc2_backup_dagster.operations.site_context import SiteContext
from lc2_backup_dagster.operations.wal.receive import receive_wal
from lc2_backup_dagster.repository import lease
from lc2_backup_dagster.repository.record import Initiator
from lc2_backup_dagster.repository.site import SiteRepository, open_site_repository
from lc2_backup_dagster.sites.assembly import OpenSite, open_key, open_site
from lc2_backup_dagster.sites.loader import load_sites

BEAT_SECONDS, LEASE_SECONDS, LOOK_SECONDS = 0.1, 0.5, 0.05
"""A lease in tests: as in the service a beat is a fraction of it, only all is shorter."""


@dataclass(frozen=True)
class Place:
    """A place in the life of an errand: before the ``count``-th call on the store that fits.

    Attributes:
        call: ``put``, ``get``, ``copy`` or ``delete``, a space, and a pattern for the beginning of the key.
        count: which of them.
    """

    call: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.call}#{self.count}"


@dataclass(frozen=True)
class Errand:
    """What a process does.

    Attributes:
        file: the site file.
        environment: what it names.
        result: where the process writes how it ended; absent when it was killed.
        verb: one of ``VERBS``.
        argument: of ``restore``: the point and the name of the database.
        actor: who asks.
        die_at: where it sends ``signal`` to itself.
        signal: KILL, TERM or STOP.
        wait_at: where it says ``<result>.waiting`` and waits until ``<result>.go`` exists.
        lease_seconds: how long a silent attempt holds its component.
        journal_entries: of a files capture: files after which finished work is written down.
    """

    file: Path
    environment: dict[str, str]
    result: Path
    verb: str
    argument: tuple[str, str] = ("", "")
    actor: str = "tester"
    die_at: Place | None = None
    signal: int = signal.SIGKILL
    wait_at: Place | None = None
    lease_seconds: float = LEASE_SECONDS
    journal_entries: int = 4

    @property
    def waiting(self) -> Path:
        return self.result.with_suffix(".waiting")

    @property
    def go(self) -> Path:
        return self.result.with_suffix(".go")


class WatchedStore:
    """A store that asks before every call that a test may be interested in."""

    def __init__(self, inner: ObjectStore, before: Callable[[str, str], None]) -> None:
        self._inner = inner
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> Any:
        self._before("put", key)
        return self._inner.put(key, body, create_only=create_only)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        self._before("get", key)
        return self._inner.get(key, start=start, length=length)

    def copy_from(self, source: ObjectStore, source_key: str, key: str, **options: Any) -> Any:
        self._before("copy", key)
        return self._inner.copy_from(source, source_key, key, **options)

    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[Any]:
        self._before("list", prefix)
        return self._inner.list(prefix, start_after=start_after)

    def delete(self, keys: Iterable[str]) -> None:
        wanted = list(keys)
        for key in wanted:
            self._before("delete", key)
        self._inner.delete(wanted)


@dataclass
class Watch:
    """Counts calls and does at their places what the errand says."""

    errand: Errand
    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: list[str] = field(default_factory=list)
    seen: dict[Place, int] = field(default_factory=dict)

    def __call__(self, operation: str, key: str) -> None:
        call = f"{operation} {key}"
        with self.lock:
            self.calls.append(call)
            dies, waits = self._is_at(self.errand.die_at, call), self._is_at(self.errand.wait_at, call)
        if dies:
            os.kill(os.getpid(), self.errand.signal)
            if self.errand.signal == signal.SIGKILL:
                time.sleep(60)
        if waits:
            self.errand.waiting.touch()
            while not self.errand.go.exists():
                time.sleep(0.01)

    def _is_at(self, place: Place | None, call: str) -> bool:
        if place is None or re.match(place.call, call) is None:
            return False
        self.seen[place] = self.seen.get(place, 0) + 1
        return self.seen[place] == place.count


def watched(opened: OpenSite, before: Callable[[str, str], None]) -> SiteContext:
    """Return the site with a repository whose store asks ``before`` every call."""
    destination = opened.definition.destination
    store = WatchedStore(opened.destination_store, before)

    def open_repository(create: bool, /) -> SiteRepository:
        return open_site_repository(store, opened.site_id, wrapper=open_key(destination), create=create)

    return replace(opened.context, open_repository=open_repository)


def _window(length: WindowLength) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"window": Window.around(now, length=length), "asked_at": now}


VERBS: dict[str, Callable[[SiteContext, Initiator, Errand], Any]] = {
    "database": lambda context, initiator, _: capture_database(
        context, **_window(WindowLength.HOURLY), initiator=initiator
    ),
    "database_dump": lambda context, initiator, _: capture_database_dump(
        context, **_window(WindowLength.DAILY), initiator=initiator
    ),
    "files": lambda context, initiator, _: capture_site_files(
        context, **_window(WindowLength.DAILY), initiator=initiator
    ),
    "recovery_point": lambda context, initiator, _: bind_recovery_point(
        context, window=_window(WindowLength.DAILY)["window"], initiator=initiator
    ),
    "receive_wal": lambda context, initiator, _: receive_wal(context, initiator=initiator, once=True),
    "restore": lambda context, initiator, errand: restore(
        context,
        RestoreRequest(errand.argument[0], target_database=errand.argument[1], files_prefix="restored/"),
        now=datetime.now(UTC),
        initiator=initiator,
    ),
}


def shorten_waits(errand: Errand) -> None:
    """Make waits short and work fine-grained; what is done and in which order stays as it is."""
    lease.BEAT_SECONDS, lease.LEASE_SECONDS = BEAT_SECONDS, errand.lease_seconds
    lease.wait_until_silent.__kwdefaults__["step_seconds"] = LOOK_SECONDS
    transfer.BUNDLE_FILES = 4
    capture_files.Limits = lambda **given: workers.Limits(journal_entries=errand.journal_entries, **given)


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def carry_out(errand: Errand) -> None:
    """Be the process of an errand."""
    # As a run worker has it: a request to end is an exception, and what is under way cleans up behind itself.
    signal.signal(signal.SIGTERM, _interrupted)
    shorten_waits(errand)
    loaded = load_sites([errand.file], environment=errand.environment)
    watch = Watch(errand)
    context = watched(open_site(loaded.sites[0], environment=errand.environment), watch)
    told: dict[str, Any] = {}
    try:
        done = VERBS[errand.verb](context, Initiator(actor=errand.actor, source="cli"), errand)
        told["backup_id"] = getattr(getattr(done, "backup", None), "backup_id", None)
    except BackupError as error:
        told |= {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        told["attributes"] = {name: str(value) for name, value in error.attributes.items()}
    except KeyboardInterrupt:
        told["error"] = "KeyboardInterrupt"
    except BaseException:  # noqa: BLE001 - the process ends here, and the test shows what happened
        told |= {"error": "a bug", "message": traceback.format_exc()}
    errand.result.write_text(json.dumps({**told, "calls": watch.calls}))
    sys.exit(1 if "error" in told else 0)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), and what it told, which is nothing when killed."""

    code: int
    told: dict[str, Any]

    @property
    def calls(self) -> list[str]:
        return self.told["calls"]


class Running:
    """A process on its errand."""

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self.process = context.Process(target=carry_out, args=(errand,))
        self.process.start()

    def wait_until_waiting(self) -> None:
        while not self.errand.waiting.exists():
            assert self.process.is_alive(), self.end().told
            time.sleep(0.01)

    def let_go(self) -> None:
        self.errand.go.touch()

    def send(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self, *, seconds: float = 240) -> Ended:
        self.process.join(seconds)
        assert self.process.exitcode is not None, "the process did not end"
        told = json.loads(self.errand.result.read_text()) if self.errand.result.exists() else {}
        assert told.get("error") != "a bug", told["message"]
        return Ended(self.process.exitcode, told)

    def close(self) -> None:
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()


def changed(errand: Errand, **fields: Any) -> Errand:
    return dataclasses.replace(errand, **fields)
