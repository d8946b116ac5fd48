"""The lease of an attempt: a heartbeat object, judged by the store's own clock.

The lease is a courtesy that spares two live attempts each other's work. It keeps nothing safe: the commit log's
fence does (``history.py``). So a paused process, a wrong clock or a deleted heartbeat can cost time, never data.

An attempt whose work is cut into steps has nobody who beats between two of them. The step that ends says so in its
last beat, and the lease is longer then: the next step may wait for its process to be scheduled.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import BackupError, ObjectNotFound
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository import canonical, layout

BEAT_SECONDS = 8.0
LEASE_SECONDS = 40.0
PAUSE_SECONDS = 900.0
"""How long an attempt may lie between two of its steps: a cluster adds a machine and pulls an image in that time."""


class Heartbeat:
    """Writes an attempt's heartbeat in a thread until it ends in one of three ways.

    Several steps of one attempt may beat at once; the last beat counts.

    Args:
        store: the repository's store.
        site: whose attempt.
        attempt_id: whose heartbeat.
        holder: who, for people who look at the object.
    """

    def __init__(self, store: ObjectStore, site: SiteId, attempt_id: str, *, holder: str) -> None:
        self._store = store
        self._key = layout.heartbeat_key(site, attempt_id)
        self._holder = holder
        self._stopped = threading.Event()
        self._beats = 0
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat once, then go on in the background."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and remove the object; the log already says that the attempt ended."""
        self.leave()
        try:
            self._store.delete([self._key])
        except BackupError:
            return  # an old heartbeat of an ended attempt means nothing to anyone

    def leave(self) -> None:
        """End the thread and leave the last beat: unless another step beats on, the lease runs out."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def pause(self) -> None:
        """End the thread with a beat that lets the attempt wait for its next step.

        Raises:
            StoreUnavailable: it could not be written; the lease runs out as usual.
        """
        self.leave()
        self._beat(pause=True)

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            try:
                self._beat()
            except BackupError:
                continue  # a missed beat; when the store stays away, the parts fail and say so

    def _beat(self, *, pause: bool = False) -> None:
        self._beats += 1
        told: dict[str, int | str] = {"beat": self._beats, "holder": self._holder}
        if pause:
            told["lease_seconds"] = int(PAUSE_SECONDS)
        self._store.put(self._key, canonical.encode(told), create_only=False)


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """The last beat of an attempt.

    Attributes:
        at: when, by the store's clock.
        lease: how long the attempt counts as alive without another one.
    """

    at: datetime
    lease: timedelta


def last_sign_of_life(store: ObjectStore, site: SiteId, attempt_id: str) -> SignOfLife | None:
    """Return the last beat, or None when the heartbeat object is certainly absent."""
    key = layout.heartbeat_key(site, attempt_id)
    try:
        # In this order: a beat in between makes the time newer than the lease, and the next look sees both.
        lease = _lease_of(store.get(key))
        return SignOfLife(store.stat(key).modified, lease)
    except ObjectNotFound:
        return None


def wait_until_silent(
    store: ObjectStore,
    site: SiteId,
    attempt_id: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    step_seconds: float = 1.0,
) -> bool:
    """Watch an attempt's heartbeat: True when it went silent past its lease, False as soon as it beats again.

    Takes at most about one lease; an attempt that lies between two steps for longer than that is alive at once. An
    attempt without a heartbeat object is silent: it is written before ``begin`` and removed after the end.
    """
    usual = timedelta(seconds=LEASE_SECONDS)
    first = seen = last_sign_of_life(store, site, attempt_id)
    while first is not None and seen is not None:
        remaining = seen.at + seen.lease - store.now()
        if remaining < timedelta(0):
            break
        if seen.at > first.at or (seen.lease > usual and remaining > usual):
            return False
        sleep(step_seconds)
        seen = last_sign_of_life(store, site, attempt_id)
    return True


def _lease_of(body: bytes) -> timedelta:
    """Read how long a beat counts. Nobody signs heartbeats: nothing in one makes a lease longer than a pause."""
    try:
        told = float(json.loads(body).get("lease_seconds", LEASE_SECONDS))
    except (ValueError, TypeError, AttributeError, OverflowError):
        told = LEASE_SECONDS
    longest = max(PAUSE_SECONDS, LEASE_SECONDS)
    return timedelta(seconds=min(told, longest) if told > LEASE_SECONDS else LEASE_SECONDS)
