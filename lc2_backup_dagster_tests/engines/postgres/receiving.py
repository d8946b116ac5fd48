"""A receiver in a thread, a store that can be away, and what a server's own WAL directory says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lc2_backup_dagster.clouds.local.store import DirectoryStore
from lc2_backup_dagster.demo.servers.postgres import PostgresServer
from lc2_backup_dagster.engines.postgres.servers.replication import identify_system
from lc2_backup_dagster.engines.postgres.servers.server import Server
from lc2_backup_dagster.engines.postgres.wal.receiver import ReceiverOptions, WalReceiver
from lc2_backup_dagster.engines.postgres.wal.status import ReceiverStatus
from lc2_backup_dagster.model.clock import SystemClock
from lc2_backup_dagster.model.errors import StoreUnavailable
from lc2_backup_dagster.model.site import SiteId
from lc2_backup_dagster.repository.site import SiteRepository
from lc2_backup_dagster.repository.wal.archive import WalArchive
from lc2_backup_dagster_tests.builders import a_repository
from lc2_backup_dagster_tests.engines.postgres.asking import until
from lc2_backup_dagster_tests.fixtures_postgres import backup_server

SLOT = "lc2_test"
SEGMENT = 16 << 20
PATIENCE_SECONDS = 60.0


class MoodyStore(DirectoryStore):
    """A directory that can be away, or take no WAL (but still what is said of it), and counts what it refused."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, create=True)
        self.away = False
        self.frozen = False
        self.refused = 0

    def put(self, key: str, body: bytes, *, create_only: bool = True) -> Any:
        if (self.away and key.startswith("wal/")) or (self.frozen and "/0000" in key):
            self.refused += 1
            raise StoreUnavailable("the store is away")
        return super().put(key, body, create_only=create_only)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        if self.away and key.startswith("wal/"):
            raise StoreUnavailable("the store is away")
        return super().get(key, start=start, length=length)


def a_wal_repository(store: DirectoryStore, wrapper: Any = None) -> SiteRepository:
    return a_repository(store, SiteId("retail", "liferay"), wrapper=wrapper, clock=SystemClock())


class Receiving:
    """A receiver at work."""

    def __init__(self, server: Server, repository: SiteRepository, **options: Any) -> None:
        self.statuses: list[ReceiverStatus] = []
        self.notices: list[str] = []
        self.error: BaseException | None = None
        settings = {"slot": SLOT, "partial_seconds": 1, "busy_seconds": 3.0, "finish_seconds": 10.0, **options}
        self.receiver = WalReceiver(
            server,
            repository.wal,
            ReceiverOptions(**settings),
            on_status=self.statuses.append,
            on_notice=self.notices.append,
        )
        self._thread = threading.Thread(target=self._run, name="receiving")

    def _run(self) -> None:
        try:
            self.receiver.run()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def start(self) -> "Receiving":
        self._thread.start()
        return self

    def stop(self) -> None:
        self.receiver.stop()
        self.end()

    def end(self) -> None:
        """Wait until it has ended by itself."""
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            self.receiver.stop()
            self._thread.join()
            raise AssertionError(f"the receiver has not ended by itself: {self.notices}")

    def failed(self) -> BaseException:
        self.end()
        assert self.error is not None
        return self.error

    @property
    def last(self) -> ReceiverStatus:
        return self.statuses[-1]

    def noticed(self, text: str) -> bool:
        return any(text in each for each in self.notices)


@contextmanager
def receiving(server: PostgresServer, repository: SiteRepository, **options: Any) -> Iterator[Receiving]:
    """Receive until the end of the block; a failure of the receiver is a failure of the test."""
    at_work = Receiving(backup_server(server), repository, **options).start()
    try:
        yield at_work
    finally:
        at_work.receiver.stop()
        at_work.end()
    assert at_work.error is None, at_work.error


def archive_of(server: PostgresServer, repository: SiteRepository) -> WalArchive:
    return repository.wal(identify_system(backup_server(server)).system_identifier)


def asked(server: PostgresServer, sql: str, *values: Any) -> Any:
    with server.server().connect() as connection:
        row = connection.execute(sql, values).fetchone()
    return None if row is None else row[0]


def flushed(server: PostgresServer) -> int:
    return int(asked(server, "SELECT pg_current_wal_flush_lsn() - '0/0'"))


def confirmed(server: PostgresServer) -> int:
    return int(asked(server, "SELECT restart_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = %s", SLOT) or 0)


def write(server: PostgresServer, megabytes: float = 1.0) -> None:
    """Write about so much WAL, that does not compress well."""
    rows = int(megabytes * 950)
    server.execute(
        "CREATE TABLE IF NOT EXISTS written (i int, t text)",
        f"INSERT INTO written SELECT i, repeat(md5(random()::text), 30) FROM generate_series(1, {rows}) i",
    )


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until(condition, what=what, seconds=PATIENCE_SECONDS)


def drop_slot(server: PostgresServer, slot: str = SLOT) -> None:
    """Drop the slot once the server has noticed that its receiver is gone."""

    def free() -> bool:
        return not asked(server, "SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot)

    wait_for(free, "the slot is free")
    server.execute(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'")


def compare_with_server(server: PostgresServer, archive: WalArchive, *, timeline: int = 1) -> int:
    """Assert that what is archived is byte for byte what the server has; return how many segments both have."""
    directory = server.data_directory / "pg_wal"
    compared = 0
    for segment in archive.segments(timeline):
        if (directory / segment.name).exists():
            assert archive.read_segment(segment.name) == (directory / segment.name).read_bytes(), segment.name
            compared += 1
    for partial in archive.partials(timeline):
        content = archive.read_partial(partial.name, partial.end_lsn)
        assert len(content) == partial.end_lsn % SEGMENT
        if (directory / partial.name).exists():
            with (directory / partial.name).open("rb") as file:
                assert content == file.read(len(content)), partial
    return compared


def archived_until(archive: WalArchive, *, timeline: int = 1) -> int:
    """Return the end of what is stored without a hole, from the first segment on."""
    names = [each.name for each in archive.segments(timeline)]
    partials = archive.partials(timeline)
    starts = [int(name[8:16], 16) * 256 + int(name[16:], 16) for name in names]
    assert starts == list(range(starts[0], starts[0] + len(starts))) if starts else True, "there is a hole"
    end = (starts[-1] + 1) * SEGMENT if starts else 0
    return max([end, *(each.end_lsn for each in partials)])
