"""The lease of an attempt: a heartbeat object, judged by the store's own clock.

The lease is a courtesy that spares two live attempts each other's work. It keeps nothing safe: the commit log's
fence does (``history.py``). So a paused process, a wrong clock or a deleted heartbeat can cost time, never data.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from lc2_backup_dagster.clouds.store import ObjectStore
from lc2_backup_dagster.model.errors import BackupError, ObjectNotFound
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository import canonical, layout

BEAT_SECONDS = 8.0
LEASE_SECONDS = 40.0


class Heartbeat:
    """Writes an attempt's heartbeat in a thread until stopped.

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
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._store.delete([self._key])
        except BackupError:
            return  # an old heartbeat of an ended attempt means nothing to anyone

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            try:
                self._beat()
            except BackupError:
                continue  # a missed beat; when the store stays away, the parts fail and say so

    def _beat(self) -> None:
        self._beats += 1
        body = canonical.encode({"beat": self._beats, "holder": self._holder})
        self._store.put(self._key, body, create_only=False)


def last_sign_of_life(store: ObjectStore, site: SiteId, attempt_id: str) -> datetime | None:
    """Return the store's time of the last beat, or None when the heartbeat object is certainly absent."""
    try:
        return store.stat(layout.heartbeat_key(site, attempt_id)).modified
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

    Takes at most about one lease. An attempt without a heartbeat object is silent: it is written before ``begin``
    and removed after the end.
    """
    first = seen = last_sign_of_life(store, site, attempt_id)
    while first is not None and seen is not None and store.now() - seen <= timedelta(seconds=LEASE_SECONDS):
        if seen > first:
            return False
        sleep(step_seconds)
        seen = last_sign_of_life(store, site, attempt_id)
    return True
