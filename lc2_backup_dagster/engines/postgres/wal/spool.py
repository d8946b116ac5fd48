"""Hand archived WAL to a recovering server, fetched ahead, through a directory of its own.

``restore_command`` is a shell loop that asks for a file and waits for it or for the word that it is absent; everything
else happens in this process, which holds the keys. A file appears under its name only when it is whole (L-16). Absent
is only what the source states as absent: whatever else goes wrong ends the recovery, because a server that takes an
outage for the end of the archive would come up too early.
"""

import os
import shlex
import shutil
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

from lc2_backup_dagster.engines.postgres.ports import Progress, no_progress
from lc2_backup_dagster.engines.postgres.servers.account import Account, give_to
from lc2_backup_dagster.engines.postgres.servers.scratch import private_place

_AT_ONCE = 4
_AHEAD_BYTES = 128 << 20
_LOOK_SECONDS = 0.02
# Codes above 125 end the recovery instead of meaning "not in the archive" (manual, "restore_command").
_SCRIPT = """\
here=${0%/*}
if [ -e "$here/ready/$1" ]; then
    : > "$here/taken/$1" || exit 255
    mv "$here/ready/$1" "$2" || exit 255
    exit 0
fi
: > "$here/wanted/$1" || exit 255
while :; do
    if [ -e "$here/ready/$1" ]; then mv "$here/ready/$1" "$2" || exit 255; exit 0; fi
    if [ -e "$here/absent/$1" ]; then exit 1; fi
    if [ -e "$here/failed" ] || ! kill -0 "$PPID" 2>/dev/null; then exit 255; fi
    sleep 0.02
done
"""


class WalSource(Protocol):
    """Archived WAL. Called from several threads."""

    def fetch(self, name: str) -> bytes | None:
        """Return a whole segment or a history file; None only when it is certainly not there."""
        ...

    def upcoming(self, name: str) -> Iterable[str]:
        """Yield the segments that will probably be asked for after this one, in order."""
        ...


class WalSpool:
    """The directory between an archive and a recovering server; a context manager.

    Args:
        source: the archive.
        account: who runs the server.
        segment_bytes: bounds how many segments are fetched ahead.
        on_progress: told the bytes fetched.

    Attributes:
        failure: what ended the recovery, or None.
        fetched: names of the files that were handed out or made ready.
    """

    def __init__(
        self, source: WalSource, *, account: Account | None, segment_bytes: int, on_progress: Progress = no_progress
    ) -> None:
        self._source = source
        self._account = account
        self._ahead = max(2, min(32, _AHEAD_BYTES // segment_bytes))
        self._on_progress = on_progress
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._done_bytes = 0
        self.failure: BaseException | None = None
        self.fetched: set[str] = set()

    @property
    def restore_command(self) -> str:
        """The setting; nothing in it is secret."""
        script = shlex.quote(str(self._place / "fetch.sh")).replace("%", "%%")
        return f"exec /bin/sh {script} %f %p"

    def __enter__(self) -> Self:
        self._place = private_place(self._account)
        for name in ("wanted", "taken", "ready", "absent"):
            folder = self._place / name
            folder.mkdir(mode=0o700)
            give_to(self._account, folder)
        script = self._place / "fetch.sh"
        script.write_text(_SCRIPT, encoding="ascii")
        give_to(self._account, script)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="wal-spool")
        self._thread = threading.Thread(target=self._run, name="wal-spool", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._place, ignore_errors=True)

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            for asked in sorted([*(self._place / "wanted").iterdir(), *(self._place / "taken").iterdir()]):
                asked.unlink()
                if asked.parent.name == "wanted":  # what was taken was fetched ahead, and is not fetched once more
                    self._begin(asked.name)
                for following in self._following(asked.name):
                    self._begin(following)

    def _following(self, name: str) -> list[str]:
        names: list[str] = []
        for following in self._source.upcoming(name):
            if len(names) == self._ahead:
                break
            names.append(following)
        return names

    def _begin(self, name: str) -> None:
        with self._lock:
            if name in self._running or any((self._place / where / name).exists() for where in ("ready", "absent")):
                return
            self._running.add(name)
        self._pool.submit(self._fetch, name)

    def _fetch(self, name: str) -> None:
        try:
            content = self._source.fetch(name)
            self._hand_out(name, content)
        except BaseException as error:  # noqa: BLE001 - it is raised by the thread that runs the recovery
            self.failure = self.failure or error
            (self._place / "failed").touch()
        finally:
            with self._lock:
                self._running.discard(name)

    def _hand_out(self, name: str, content: bytes | None) -> None:
        if content is None:
            (self._place / "absent" / name).touch()
            return
        partial = self._place / f"{name}.partial"
        with partial.open("wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o600)
            give_to(self._account, file.fileno())
        partial.rename(self._place / "ready" / name)
        with self._lock:
            self.fetched.add(name)
            self._done_bytes += len(content)
            self._on_progress(self._done_bytes, None)
